"""Tracklight: every `log_metric` is one append to a mapped journal file; a thread delivers it."""

import time

from tracklight.tracking import MLflowTracker

from peers.side import Log, Place, Side, serve

RECOVERY_TIMEOUT_SECONDS = 60.0


def open_log(place: Place) -> Log:
    """Start the run at the server under test, also when it is slow or refuses."""
    tracker = MLflowTracker(experiment_name=place.name, tracking_uri=place.url)
    place.held.enter_context(tracker.start_run(run_name="burst"))
    return lambda value, step: tracker.log_metric("loss", value, step=step)


def recover(place: Place) -> None:
    """Start the next run in the same folder, as the next program would, until the journal left behind is gone."""
    journals = place.folder / ".tracklight" / "journals"
    left_behind = list(journals.iterdir())
    tracker = MLflowTracker(experiment_name=f"{place.name}-next", tracking_uri=place.url)
    deadline = time.monotonic() + RECOVERY_TIMEOUT_SECONDS
    with tracker.start_run(run_name="next"):
        while any(journal.exists() for journal in left_behind) and time.monotonic() < deadline:
            time.sleep(0.1)


def deliver(place: Place, points: int) -> float:
    """Seconds from starting the run to having ended it with all points answered for by the server."""
    tracker = MLflowTracker(experiment_name=place.name, tracking_uri=place.url)
    begin = time.perf_counter()
    with tracker.start_run(run_name="delivery"):
        for step in range(points):
            tracker.log_metric("loss", 1.0 / (step + 1), step=step)
    tracker.flush()
    return time.perf_counter() - begin


serve(Side(open_log=open_log, recover=recover, deliver=deliver))
