"""A run of MLflow's own client, for the sides that log to it call by call."""

import mlflow

from peers.side import Place


def start_run(place: Place) -> None:
    """Start the run at a server that answers (MLflow cannot start one otherwise), then turn to the one under test."""
    mlflow.set_tracking_uri(place.start_url)
    mlflow.set_experiment(place.name)
    mlflow.start_run(log_system_metrics=False)
    mlflow.set_tracking_uri(place.url)
