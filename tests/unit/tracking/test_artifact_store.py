"""Artifacts may live elsewhere than the server: what happens when that place is away."""

from __future__ import annotations

import time
from pathlib import Path

from tracklight import Tracker
from tracklight.client.connect import connect
from tracklight.testing.server_process import ServerProcess
from tracklight.wire import endpoints as api
from tracklight.wire import messages as m


def test_a_store_that_is_down_holds_up_only_the_run_with_the_artifact(
    project: Path, server: ServerProcess
) -> None:
    client = connect(server.uri)
    nowhere = m.CreateExperiment("store-is-down", artifact_location="mlflow-artifacts://127.0.0.1:9/lost")
    experiment_id = client.call(api.CREATE_EXPERIMENT, nowhere).experiment_id
    (project / "model.pkl").write_text("weights")

    tracker = Tracker("store-is-down", server.uri, strict=True)
    held_up = tracker.start_run("with-artifact")
    held_up.log_artifact("model.pkl")
    held_up.end()
    time.sleep(0.5)
    other = tracker.start_run("without")
    other.log_metric("loss", 0.1)
    other.end()

    def status(name: str) -> str | None:
        runs = client.call(api.SEARCH_RUNS, m.SearchRuns(experiment_ids=(experiment_id,))).runs
        return next((str(run.info.run_status) for run in runs if run.info.run_name == name), None)

    deadline = time.monotonic() + 30
    while status("without") != "FINISHED" and time.monotonic() < deadline:
        time.sleep(0.1)
    assert status("without") == "FINISHED"
    assert status("with-artifact") == "RUNNING"
    assert tracker.health().refused == 0
    assert not tracker.close(timeout_seconds=0.5)
    client.close()
