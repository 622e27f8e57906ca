"""Trackers and runs: what a program logs with."""

from tracklight.tracking.health import Health
from tracklight.tracking.mlflow_tracker import MLflowTracker
from tracklight.tracking.run import Run
from tracklight.tracking.tracker import Tracker

__all__ = ["Health", "MLflowTracker", "Run", "Tracker"]
