"""Going on with a run: what is taken back, and what stays as the first process wrote it."""

from __future__ import annotations

import pytest

from tracklight import Tracker
from tracklight.testing.server_process import ServerProcess
from tracklight.wire import endpoints as api
from tracklight.wire import messages as m


def read(tracker: Tracker, run_id: str) -> tuple[str, dict[str, str]]:
    run = tracker.client.call(api.GET_RUN, m.GetRun(run_id=tracker.resolve_run_id(run_id))).run
    return str(run.info.run_status), {tag.key: tag.value for tag in run.data.tags}


def test_a_run_that_failed_and_goes_on_well_keeps_no_old_failure(
    project: object, server: ServerProcess
) -> None:
    tracker = Tracker("resume", server.uri, strict=True)
    with pytest.raises(ZeroDivisionError), tracker.start_run("first") as run:
        raise ZeroDivisionError("boom")
    assert tracker.flush()
    status, tags = read(tracker, run.run_id)
    assert (status, tags["tracklight.end_reason"]) == ("FAILED", "ZeroDivisionError: boom")

    with tracker.start_run(run_id=run.run_id) as again:
        again.log_metric("loss", 0.1)
        assert tracker.flush()
        assert read(tracker, run.run_id)[0] == "RUNNING"
    assert tracker.flush()
    status, tags = read(tracker, run.run_id)
    assert (status, tags["tracklight.end_reason"]) == ("FINISHED", "")
    assert tags["mlflow.runName"] == "first"
    tracker.close()


def test_the_source_stays_that_of_the_process_which_began_the_run(
    project: object, server: ServerProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = Tracker("resume", server.uri, strict=True)
    with first.start_run() as run:
        pass
    first.close()
    monkeypatch.setattr("sys.argv", ["another-program.py"])
    second = Tracker("resume", server.uri, strict=True)
    with second.start_run(run_id=run.run_id):
        pass
    assert second.flush()
    assert read(second, run.run_id)[1]["mlflow.source.name"] != "another-program.py"
    second.close()
