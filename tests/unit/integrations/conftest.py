"""Prefect's own harness, once, and a tracker for each test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tracklight.testing.stored import StoredRun, read_runs
from tracklight.tracking import MLflowTracker

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
def stored_runs(tracker: MLflowTracker) -> Callable[[], list[StoredRun]]:
    """Deliver, and give the runs that the embedded store has, the oldest first."""

    def read() -> list[StoredRun]:
        assert tracker.flush()
        return read_runs(tracker.tracker.settings.embedded_database)

    return read
