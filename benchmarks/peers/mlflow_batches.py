"""MLflow's client with batches made by hand: 1,000 points, the most that `log_batch` takes, per request."""

import time

import mlflow
from mlflow.entities import Metric

from peers.side import Place, Side, serve

BATCH_POINTS = 1000


def deliver(place: Place, points: int) -> float:
    """Seconds from starting the run to having ended it with all points answered for by the server."""
    mlflow.set_tracking_uri(place.url)
    mlflow.set_experiment(place.name)
    client = mlflow.MlflowClient()
    begin = time.perf_counter()
    with mlflow.start_run(log_system_metrics=False) as run:
        for first in range(0, points, BATCH_POINTS):
            steps = range(first, min(first + BATCH_POINTS, points))
            batch = [Metric("loss", 1.0 / (step + 1), time.time_ns() // 1_000_000, step) for step in steps]
            client.log_batch(run.info.run_id, metrics=batch)
    return time.perf_counter() - begin


serve(Side(deliver=deliver))
