"""Clocks jump: nothing is lost by that, and the latest value is the one that MLflow's rule gives."""

from __future__ import annotations

import random
from collections.abc import Callable

from tracklight.testing.stored import StoredRun
from tracklight.tracking.mlflow_tracker import MLflowTracker
from tracklight.wire import endpoints as api
from tracklight.wire import messages as m

YEAR_MS = 365 * 24 * 3600 * 1000
NOW_MS = 1_700_000_000_000


def latest_values(tracker: MLflowTracker, run_id: str) -> dict[str, float]:
    assert tracker.flush()
    request = m.GetRun(run_id=tracker.resolve_run_id(run_id))
    run = tracker.tracker.client.call(api.GET_RUN, request).run
    return {metric.key: metric.value for metric in run.data.metrics}


def test_points_of_a_clock_that_jumps_all_arrive(
    tracker: MLflowTracker, stored: Callable[[], list[StoredRun]]
) -> None:
    jumps = [0, -YEAR_MS, YEAR_MS, 1, -NOW_MS + 1, 100 * YEAR_MS, 2]
    with tracker.start_run() as run:
        for number, jump in enumerate(jumps):
            run.log_metric("loss", float(number), step=number, timestamp_ms=NOW_MS + jump)
            run.log_metric("same step", float(number), timestamp_ms=NOW_MS + jump)
    latest = latest_values(tracker, run.run_id)
    assert tracker.close()
    (found,) = stored()
    assert sorted(found.history("loss")) == [(number, float(number)) for number in range(len(jumps))]
    assert len(found.history("same step")) == len(jumps)
    assert latest["loss"] == len(jumps) - 1  # the greatest step
    assert latest["same step"] == jumps.index(100 * YEAR_MS)  # the greatest time


def test_points_that_arrive_in_another_order_end_in_the_same_latest_value(
    tracker: MLflowTracker, stored: Callable[[], list[StoredRun]]
) -> None:
    steps = list(range(50))
    random.Random(20261121).shuffle(steps)
    with tracker.start_run() as run:
        for step in steps:
            run.log_metric("loss", float(step), step=step)
    latest = latest_values(tracker, run.run_id)
    assert tracker.close()
    (found,) = stored()
    assert latest["loss"] == 49
    assert len(found.history("loss")) == 50
