"""Against a stock MLflow server: what our tracker writes is what MLflow's own client would have written."""

from __future__ import annotations

import json
import math
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tracklight.testing.stored import StoredRun, read_runs

from .conftest import MlflowServer

pytest.importorskip("mlflow.server")

OURS = """
from tracklight.tracking import MLflowTracker
tracker = MLflowTracker(experiment_name={experiment!r})
"""
THEIRS = """
import mlflow as tracker
tracker.set_experiment({experiment!r})
"""
TRAINING = """
from pathlib import Path
Path("model").mkdir(exist_ok=True)
Path("model/weights.bin").write_bytes(bytes(range(256)) * 4096)
Path("model/layers").mkdir(exist_ok=True)
Path("model/layers/0.txt").write_text("dense\\u2192relu\\n", "utf-8")
Path("empty.txt").write_bytes(b"")

with tracker.start_run(run_name="training", tags={{"team": "data", "übung": "größer"}}):
    tracker.log_param("model_type", "random forest")
    tracker.log_params({{"learning_rate": 1e-2, "batch_size": 32, "shuffle": True, "seed": None, "layers": [1, 2]}})
    for epoch in range(250):
        tracker.log_metric("train_loss", 1 / (epoch + 1), step=epoch)
        tracker.log_metrics({{"val/accuracy": epoch / 250, "val/loss": 250.0 - epoch}}, step=epoch)
    tracker.log_metric("final", 0.1 + 0.2)
    tracker.log_metric("final", 0.95)
    tracker.log_metric("best", 3, step=7)
    tracker.log_metric("best", 2, step=5)
    tracker.log_metric("not_a_number", float("nan"))
    tracker.log_metric("overflow", float("inf"))
    tracker.set_tag("stage", "draft")
    tracker.set_tag("stage", "final")
    tracker.set_tags({{"a": 1, "b": ""}})
    tracker.log_artifact("empty.txt")
    tracker.log_artifacts("model", "saved/model")
    with tracker.start_run(run_name="child", nested=True):
        tracker.log_metric("part", 1.5)
    tracker.log_metric("after_child", 1)

try:
    with tracker.start_run(run_name="failing"):
        tracker.log_param("will", "fail")
        raise ValueError("as planned")
except ValueError:
    pass
"""
# Who wrote the run, from where, and when differs by nature.
OWN_TAGS = ("tracklight.", "mlflow.source.", "mlflow.user")


def test_the_same_training_gives_the_same_runs(
    run_program: Callable[..., object], stock_server: MlflowServer, project: Path
) -> None:
    for client, experiment in ((OURS, "ours"), (THEIRS, "theirs")):
        program = (client + TRAINING).format(experiment=experiment)
        run_program(
            "-W", "ignore", "-c", program, MLFLOW_TRACKING_URI=stock_server.uri, GIT_PYTHON_REFRESH="quiet"
        )

    ours, theirs = (everything(stock_server, experiment) for experiment in ("ours", "theirs"))
    assert set(ours) == set(theirs) == {"training", "child", "failing"}
    for name in theirs:
        for part in theirs[name]:
            assert ours[name][part] == theirs[name][part], f"{part} of {name}"
    assert ours["training"]["histories"]["train_loss"][249] == (249, 1 / 250)
    assert len(ours["training"]["artifacts"]["saved/model/weights.bin"]) == 1 << 20


def everything(server: MlflowServer, experiment: str) -> dict[str, dict[str, Any]]:
    """Return all that the server has of an experiment, by run name: rows of its database, its answers, its files."""
    runs = read_runs(server.database, experiment)
    names = {run.run_id: run.name for run in runs}
    return {run.name: parts(server, run, names) for run in runs}


def parts(server: MlflowServer, run: StoredRun, names: dict[str, str]) -> dict[str, Any]:
    tags = {key: value for key, value in run.tags.items() if not key.startswith(OWN_TAGS)}
    if "mlflow.parentRunId" in tags:
        tags["mlflow.parentRunId"] = names[tags["mlflow.parentRunId"]]
    folder = server.artifacts / run.artifact_folder.relative_to("mlflow-artifacts:")
    with urllib.request.urlopen(f"{server.uri}/api/2.0/mlflow/runs/get?run_id={run.run_id}") as answer:
        stored = json.load(answer)["run"]
    return {
        "status": (run.run_status, stored["info"]["status"], stored["info"]["lifecycle_stage"]),
        "has ended": run.end_time_ms is not None and run.end_time_ms >= run.start_time_ms,
        "params": run.params,
        "tags": tags,
        "latest metrics": {
            metric["key"]: (str(metric["value"]), metric["step"])
            for metric in stored["data"].get("metrics", [])
        },
        "histories": {
            point.key: [
                (step, "NaN" if math.isnan(value) else value) for step, value in run.history(point.key)
            ]
            for point in run.points
        },
        "artifacts": {
            path.relative_to(folder).as_posix(): path.read_bytes()
            for path in folder.rglob("*")
            if path.is_file()
        },
    }
