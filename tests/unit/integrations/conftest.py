"""Prefect's own harness, once, and a tracker for each test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tracklight.tracking import MLflowTracker
from tracklight.wire import endpoints as api
from tracklight.wire import messages as m

pytest.importorskip("prefect")
from prefect.testing.utilities import prefect_test_harness


@pytest.fixture(scope="session", autouse=True)
def prefect_server() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
        environment.setenv("DO_NOT_TRACK", "1")
        with prefect_test_harness(server_startup_timeout=120):
            yield


@pytest.fixture
def tracker(project: Path) -> Iterator[MLflowTracker]:
    tracker = MLflowTracker("etl", strict=True)
    yield tracker
    tracker.close()


@pytest.fixture
def stored_runs(tracker: MLflowTracker) -> Callable[[], list[m.Run]]:
    """Give the runs of the tracker's experiment as the embedded store has them, the oldest first."""

    def read() -> list[m.Run]:
        assert tracker.flush()
        return search_runs(tracker)

    return read


def search_runs(tracker: MLflowTracker) -> list[m.Run]:
    client = tracker.tracker.client
    found = client.call(
        api.GET_EXPERIMENT_BY_NAME, m.GetExperimentByName(experiment_name=tracker.experiment_name)
    )
    request = m.SearchRuns(
        experiment_ids=(found.experiment.experiment_id,),
        max_results=100,
        order_by=("attributes.start_time ASC",),
    )
    return list(client.call(api.SEARCH_RUNS, request).runs)


def tags_of(run: m.Run) -> dict[str, str]:
    return {tag.key: tag.value for tag in run.data.tags}


def metrics_of(run: m.Run) -> dict[str, float]:
    return {metric.key: metric.value for metric in run.data.metrics}
