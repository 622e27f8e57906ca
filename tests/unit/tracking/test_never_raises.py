"""Whatever a pipeline passes, `MLflowTracker` does not raise into it: mistakes are counted and kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator
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
