"""Whatever a pipeline passes, `MLflowTracker` does not raise into it: mistakes are counted and kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tracklight import MLflowTracker


class Hostile:
    """A value whose every text fails."""

    def __str__(self) -> str:
        raise RuntimeError("no text")

    __repr__ = __str__


CALLS: list[Callable[[MLflowTracker, Any], None]] = [
    lambda tracker, value: tracker.log_param(value, value),
    lambda tracker, value: tracker.log_params(value),
    lambda tracker, value: tracker.log_params({"key": value}),
    lambda tracker, value: tracker.log_metric(value, 1.0),
    lambda tracker, value: tracker.log_metric("key", value),
    lambda tracker, value: tracker.log_metric("key", 1.0, step=value),
    lambda tracker, value: tracker.log_metrics(value),
    lambda tracker, value: tracker.log_metrics({"key": value, "other": 1}),
    lambda tracker, value: tracker.set_tag(value, value),
    lambda tracker, value: tracker.set_tags(value),
    lambda tracker, value: tracker.log_artifact(value),
    lambda tracker, value: tracker.log_artifact("missing", artifact_path=value),
    lambda tracker, value: tracker.log_artifacts(value),
    lambda tracker, value: tracker.log_execution_metadata(value, value, value, value),
]
VALUES = [
    None,
    1,
    1.5,
    "text",
    "",
    b"bytes",
    [1],
    {"a": {"b": 1}},
    {1: 2},
    object(),
    Hostile(),
    "\ud800",
    10**400,
    1j,
]


@pytest.fixture(scope="module")
def tracker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MLflowTracker]:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("lenient"))
        tracker = MLflowTracker("lenient", "http://127.0.0.1:9")
        yield tracker
        tracker.close(0)


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
@pytest.mark.parametrize("call", range(len(CALLS)))
def test_a_log_call_takes_anything(tracker: MLflowTracker, call: int, value: Any) -> None:
    with tracker.start_run():
        CALLS[call](tracker, value)


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_a_run_starts_with_anything_and_an_exception_of_any_text_goes_on(
    tracker: MLflowTracker, value: Any
) -> None:
    with pytest.raises(LookupError), tracker.start_run(run_name=value, tags=value) as run:
        raise LookupError(value)
    assert run.run_status == "FAILED"


def test_a_folder_that_cannot_be_written_is_said_once_and_the_training_goes_on(
    project: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("TRACKLIGHT_DIRECTORY", "/proc/nowhere")
    (project / "model.pkl").write_text("weights")
    tracker = MLflowTracker("nowhere", "http://127.0.0.1:9")
    with tracker.start_run():
        tracker.log_metric("loss", 0.1)
        tracker.log_metric("loss", 0.2)
        tracker.log_param("depth", 3)
        tracker.log_artifact("model.pkl")
    health = tracker.health()
    assert (health.dropped, health.mistakes) == (2, 1)
    assert caplog.text.count("TRACKLIGHT_DIRECTORY") == 1
    tracker.close()
    assert "4 records are lost" in capsys.readouterr().err  # start, parameter, count of dropped metrics, end
