from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tracklight.settings import Settings
from tracklight.testing.faulty_server import FaultyServer
from tracklight.testing.stored import StoredRun, read_runs
from tracklight.tracking.mlflow_tracker import MLflowTracker

MakeTracker = Callable[..., MLflowTracker]


@pytest.fixture
def make_tracker(faulty: FaultyServer, project: Path) -> Iterator[MakeTracker]:
    """Make trackers that deliver to the server that may misbehave; strict unless told otherwise."""
    made: list[MLflowTracker] = []

    def make(experiment: str = "x", **arguments: object) -> MLflowTracker:
        given = {
            "tracking_uri": faulty.uri,
            "directory": project / ".tracklight",
            "strict": True,
            **arguments,
        }
        tracker = MLflowTracker(experiment, settings=Settings(**given))
        made.append(tracker)
        return tracker

    yield make
    for tracker in made:
        tracker.close(timeout_seconds=0)


@pytest.fixture
def tracker(make_tracker: MakeTracker) -> MLflowTracker:
    return make_tracker()


@pytest.fixture
def stored(faulty: FaultyServer) -> Callable[[], list[StoredRun]]:
    """Read the runs that the server has."""
    return lambda: [run for run in read_runs(faulty.database) if not run.is_deleted]
