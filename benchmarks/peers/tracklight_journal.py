"""Tracklight: every `log_metric` is one append to a mapped journal file; a thread delivers it."""

import time

from tracklight.tracking import MLflowTracker

from peers.side import Log, Place, Side, serve


def open_log(place: Place) -> Log:
    """Start the run at the server under test, also when it is slow or refuses."""
    tracker = MLflowTracker(experiment_name=place.name, tracking_uri=place.url)
    place.held.enter_context(tracker.start_run(run_name="burst"))
    return lambda value, step: tracker.log_metric("loss", value, step=step)


def recover(place: Place) -> None:
    """Start the next tracker in the same folder and wait until the journal that was left is delivered."""
    tracker = MLflowTracker(experiment_name=place.name, tracking_uri=place.url)
    tracker.flush()
    tracker.close()


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
