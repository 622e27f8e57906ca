"""The document's examples, run from its own text after changing the import line alone."""

from __future__ import annotations

import re
import socket
import textwrap
import time
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path

import pytest
import structlog
from structlog.testing import capture_logs

from tracklight.testing.server_process import ServerProcess
from tracklight.testing.stored import StoredRun, read_runs
from tracklight.tracking import MLflowTracker

DOCUMENT = (Path(__file__).parent / "tracker_document.md").read_text("utf-8")
THEIR_IMPORT = "from src.ml.tracking import MLflowTracker"
OUR_IMPORT = "from tracklight.tracking import MLflowTracker"
BLOCKS = dict(re.findall(r"^#+ ([^\n]+)\n\n```python\n(.*?)^```$", DOCUMENT, re.MULTILINE | re.DOTALL))

# What a reader has besides: a training function and a file with a model.
NAMES = """
from datetime import date
losses = iter(range(100, 0, -1))
def train_epoch(): return next(losses) / 100
"""
MODEL = b"\x80\x04a model"

RunProgram = Callable[..., object]


@pytest.fixture(autouse=True)
def model_file(project: Path) -> None:
    (project / "model.pkl").write_bytes(MODEL)


@pytest.fixture
def logged_by(run_program: RunProgram, server: ServerProcess) -> Callable[[str, str], list[StoredRun]]:
    """Run a block with a tracker of an experiment, and read what the server has of it when the program is over."""

    def run(block: str, experiment: str) -> list[StoredRun]:
        program = f"{OUR_IMPORT}\n{NAMES}\ntracker = MLflowTracker(experiment_name={experiment!r})\n{block}"
        run_program("-c", program, MLFLOW_TRACKING_URI=server.uri)
        return read_runs(server.database, experiment)

    return run


def test_the_document_changes_in_its_import_line_alone() -> None:
    assert list(BLOCKS) == [
        "Basic Example",
        "Data Pipeline Metadata",
        "Configuration",
        "Logging Model Training",
        "Logging ETL Pipeline",
    ]
    assert [line for line in DOCUMENT.splitlines() if "import " in line] == [THEIR_IMPORT]


def test_data_pipeline_metadata(logged_by: Callable[[str, str], list[StoredRun]]) -> None:
    block = textwrap.indent(BLOCKS["Data Pipeline Metadata"], "    ")
    (run,) = logged_by(f"with tracker.start_run(run_name='metadata'):\n{block}", "document-metadata")

    assert run.params == {
        "trade_date": "2024-01-10",
        "partition_year": "2024",
        "partition_month": "1",
        "partition_day": "10",
    }
    assert latest(run) == {"row_count": 1500.0, "duration_seconds": 42.5}


def test_logging_model_training(logged_by: Callable[[str, str], list[StoredRun]]) -> None:
    (run,) = logged_by(BLOCKS["Logging Model Training"], "document-training")

    check_training(run)


def test_logging_an_etl_pipeline(logged_by: Callable[[str, str], list[StoredRun]]) -> None:
    (run,) = logged_by(BLOCKS["Logging ETL Pipeline"], "document-etl")

    check_etl(run)


def test_configuration_needs_no_server_and_no_network(run_program: RunProgram, project: Path) -> None:
    began = time.monotonic()
    run_program("-c", f"{OUR_IMPORT}\n{BLOCKS['Configuration']}")

    assert time.monotonic() - began < 10
    assert not (project / ".tracklight").exists()


def test_the_whole_document_runs_without_its_servers_and_arrives_later(
    run_program: RunProgram, project: Path, new_database: Callable[[str], Path]
) -> None:
    """Its addresses are localhost:5000 and a host of a compose network: neither is there."""
    skip_if_somebody_listens(5000)
    blocks = {**BLOCKS, "Data Pipeline Metadata": textwrap.indent(BLOCKS["Data Pipeline Metadata"], "    ")}
    blocks["Data Pipeline Metadata"] = f"with tracker.start_run():\n{blocks['Data Pipeline Metadata']}"
    program = "\n".join([NAMES, *blocks.values()])
    run_program("-c", program.replace(THEIR_IMPORT, OUR_IMPORT))

    database = new_database("later")
    run_program("-m", "tracklight", "sync", "--to", f"sqlite:///{database}")

    basic, metadata, training, etl = read_runs(database, "my-experiment")
    assert (basic.name, basic.run_status) == ("my-run", "FINISHED")
    assert basic.params == {"model_type": "random_forest"}
    assert latest(basic) == {"accuracy": 0.95}
    assert (basic.artifact_folder / "model.pkl").read_bytes() == MODEL
    assert metadata.params["trade_date"] == "2024-01-10"
    check_training(training)
    check_etl(etl)
    assert not list((project / ".tracklight" / "journals").iterdir())


@pytest.fixture
def structured_logging() -> Iterator[None]:
    structlog.configure()
    yield
    structlog.reset_defaults()


def test_best_practice_5_what_is_logged_is_told_to_structlog(
    server: ServerProcess, project: Path, structured_logging: None
) -> None:
    tracker = MLflowTracker("document-events", server.uri)
    with capture_logs() as events, tracker.start_run(run_name="told"):
        tracker.log_param("model_type", "random_forest")
        tracker.log_params({"depth": 3, "trees": 100})
        tracker.log_metric("accuracy", 0.95, step=3)
        tracker.log_metrics({"loss": 0.1, "f1": 0.9})
        tracker.set_tag("team", "data")
        tracker.log_artifact("model.pkl")
        tracker.log_metric("accuracy", "high")
        tracker.log_artifact("missing.pkl")
    tracker.close()

    by_name = {event["event"]: event for event in events}
    assert {
        "mlflow_run_started",
        "mlflow_param_logged",
        "mlflow_params_logged",
        "mlflow_metric_logged",
        "mlflow_metrics_logged",
        "mlflow_tag_logged",
        "mlflow_artifact_logged",
        "mlflow_metric_failed",
        "mlflow_artifact_failed",
        "mlflow_run_ended",
    } <= set(by_name)
    told = by_name["mlflow_metric_logged"]
    assert (told["key"], told["value"], told["step"]) == ("accuracy", 0.95, 3)
    assert by_name["mlflow_metric_failed"]["log_level"] == "warning"
    assert "high" in by_name["mlflow_metric_failed"]["error"]
    assert "missing.pkl" in by_name["mlflow_artifact_failed"]["error"]


def check_training(run: StoredRun) -> None:
    assert (run.name, run.run_status) == ("model-training", "FINISHED")
    assert run.params == {"learning_rate": "0.01", "batch_size": "32", "epochs": "100"}
    assert run.history("train_loss") == [(epoch, (100 - epoch) / 100) for epoch in range(100)]
    assert latest(run)["final_accuracy"] == 0.95
    assert (run.artifact_folder / "model.pkl").read_bytes() == MODEL


def check_etl(run: StoredRun) -> None:
    today = date.today().isoformat()  # noqa: DTZ011 - as in the document
    assert (run.name, run.run_status) == (f"etl-{today}", "FINISHED")
    assert run.params == {
        "source": "s3://bucket/data",
        "destination": "warehouse.table",
        "trade_date": today,
    }
    assert latest(run) == {
        "row_count": 10000.0,
        "duration_seconds": 120.5,
        "null_percentage": 0.02,
        "duplicate_percentage": 0.001,
    }


def latest(run: StoredRun) -> dict[str, float]:
    return {point.key: point.value for point in run.points}


def skip_if_somebody_listens(port: int) -> None:
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", port)) == 0:
            pytest.skip(
                f"a server of somebody else listens on port {port}, and would get the document's runs"
            )
