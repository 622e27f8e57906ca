"""The examples, run as a person runs them, and what they leave in the embedded store."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from tracklight.testing.stored import StoredRun, read_runs

from .conftest import ROOT, running_mlflow

pytest.importorskip("sklearn")
pytest.importorskip("matplotlib")
pytest.importorskip("mlflow.server")
pytest.importorskip("pyarrow")

SWEEPS = {
    "breast-cancer": {"logistic-0.001": 40, "logistic-1": 40, "boosting": 60},
    "digits": {"mlp-16": 30, "mlp-64": 30},
}
MODEL_FILES = {"model/MLmodel", "model/model.pkl", "model/requirements.txt", "plots/training.png"}


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The project in which the demo ran, and what it printed."""
    folder = tmp_path_factory.mktemp("demo")
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_", "TRACKLIGHT_"))
    }
    command = [sys.executable, str(ROOT / "examples" / "demo.py")]
    done = subprocess.run(
        command,
        cwd=folder,
        env=kept | {"COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder, done.stdout


@pytest.fixture
def stored(demo: tuple[Path, str]) -> Callable[[str], dict[str, StoredRun]]:
    """Give the runs of an experiment by name."""
    return lambda experiment: {
        run.name: run for run in read_runs(demo[0] / ".tracklight" / "mlflow.db", experiment)
    }


def test_the_demo_ends_with_a_table_of_its_runs(demo: tuple[Path, str]) -> None:
    folder, printed = demo
    for name in ("bhavcopy-etl-2024-01-10", "breast-cancer-sweep", "boosting", "mlp-64", "digits-sweep"):
        assert re.search(rf"{name}\s+FINISHED", printed), printed
    assert f"mlflow ui --backend-store-uri sqlite:///{folder}/.tracklight/mlflow.db" in printed


def test_the_flow_logs_a_run_for_each_day(stored: Callable[[str], dict[str, StoredRun]]) -> None:
    runs = stored("bhavcopy-etl")

    assert list(runs) == [f"bhavcopy-etl-2024-01-{day}" for day in (10, 11, 12)]
    for run in runs.values():
        values = {point.key: point.value for point in run.points}
        assert values["row_count"] == 1500
        assert 0 < values["null_percentage"] < 1
        assert 0 < values["duplicate_percentage"] < 2
        assert len(run.params) == 6
        assert len(values) == 9


@pytest.mark.parametrize("name", SWEEPS)
def test_training_logs_a_sweep_of_nested_runs(
    stored: Callable[[str], dict[str, StoredRun]], name: str
) -> None:
    runs = stored(name)
    sweep = runs.pop(f"{name}-sweep")

    assert set(runs) == set(SWEEPS[name])
    for run_name, run in runs.items():
        epochs = SWEEPS[name][run_name]
        assert run.tags["mlflow.parentRunId"] == sweep.run_id
        assert run.params["model.kind"]
        assert [step for step, _ in run.history("train_loss")] == list(range(epochs))
        assert run.history("train_loss")[-1][1] < run.history("train_loss")[0][1]
        assert run.history("accuracy")[-1][1] > 0.9
        files = {path.relative_to(run.artifact_folder).as_posix() for path in run.artifact_folder.rglob("*")}
        assert files >= MODEL_FILES
    assert sweep.params["best"] in runs


@pytest.mark.filterwarnings("ignore")
def test_the_model_that_was_logged_can_be_loaded(stored: Callable[[str], dict[str, StoredRun]]) -> None:
    import mlflow.sklearn
    from sklearn.datasets import load_digits

    model = mlflow.sklearn.load_model(str(stored("digits")["mlp-64"].artifact_folder / "model"))
    digits = load_digits()

    assert model.score(digits.data, digits.target) > 0.95


def test_the_printed_command_opens_the_runs_in_mlflow(demo: tuple[Path, str], tmp_path: Path) -> None:
    folder, printed = demo
    (line,) = re.findall(r"mlflow ui .*", printed)
    _, command, *options = shlex.split(line)
    run = next(run for run in read_runs(folder / ".tracklight" / "mlflow.db") if run.name == "mlp-64")

    for uri in running_mlflow(command, options, tmp_path):
        with urllib.request.urlopen(f"{uri}/api/2.0/mlflow/runs/get?run_id={run.run_id}") as answer:
            shown = json.load(answer)["run"]
        assert shown["info"]["run_name"] == "mlp-64"
        assert {metric["key"] for metric in shown["data"]["metrics"]} == {point.key for point in run.points}
        plot = f"{uri}/get-artifact?path=plots/training.png&run_uuid={run.run_id}"
        with urllib.request.urlopen(plot) as answer:
            assert answer.read() == (run.artifact_folder / "plots" / "training.png").read_bytes()
