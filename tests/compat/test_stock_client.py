"""The official MLflow client works with our server."""

from __future__ import annotations

import math

import mlflow
import pytest
from mlflow.entities import Metric, Param, RunTag
from mlflow.exceptions import MlflowException


@pytest.fixture
def stock_client(our_server: str) -> mlflow.MlflowClient:
    return mlflow.MlflowClient(tracking_uri=our_server)


def test_what_the_stock_client_logs_it_reads_back(stock_client: mlflow.MlflowClient) -> None:
    experiment_id = stock_client.create_experiment("by the stock client", tags={"team": "a"})
    run = stock_client.create_run(experiment_id, run_name="r", start_time=1000, tags={"t": "1"})
    run_id = run.info.run_id
    stock_client.log_batch(
        run_id,
        metrics=[Metric("loss", 1.0 / (step + 1), 1000 + step, step) for step in range(100)]
        + [Metric("nan", math.nan, 1, 0)],
        params=[Param("lr", "0.1")],
        tags=[RunTag("note", "x")],
    )
    stock_client.log_metric(run_id, "single", 5e-324, step=1)
    stock_client.log_param(run_id, "single", "p")
    stock_client.set_tag(run_id, "single", "t")
    stock_client.set_terminated(run_id)

    read = stock_client.get_run(run_id)
    assert read.info.status == "FINISHED"
    assert read.data.metrics["loss"] == 0.01
    assert read.data.metrics["single"] == 5e-324
    assert math.isnan(read.data.metrics["nan"])
    assert read.data.params == {"lr": "0.1", "single": "p"}
    assert {"t", "note", "single"} <= set(read.data.tags)
    assert [point.step for point in stock_client.get_metric_history(run_id, "loss")] == list(range(100))
    found = stock_client.search_runs([experiment_id], "params.lr = '0.1'")
    assert [run.info.run_id for run in found] == [run_id]
    experiment = stock_client.get_experiment_by_name("by the stock client")
    assert experiment is not None
    assert experiment.experiment_id == experiment_id
    assert "by the stock client" in [e.name for e in stock_client.search_experiments()]
    assert stock_client.list_artifacts(run_id) == []


def test_a_missing_experiment_is_none_for_the_stock_client(stock_client: mlflow.MlflowClient) -> None:
    assert stock_client.get_experiment_by_name("nobody's") is None


def test_what_is_not_served_names_the_server_that_serves_it(stock_client: mlflow.MlflowClient) -> None:
    with pytest.raises(MlflowException, match="mlflow ui --backend-store-uri"):
        stock_client.create_registered_model("m")


def test_the_fluent_interface_works(our_server: str) -> None:
    mlflow.set_tracking_uri(our_server)
    try:
        mlflow.set_experiment("fluent")
        with mlflow.start_run() as run:
            mlflow.log_metrics({"a": 1.0, "b": 2.0}, step=3)
            mlflow.log_params({"p": 1})
            mlflow.log_text("hello", "notes/hello.txt")
        client = mlflow.MlflowClient()
        assert client.get_run(run.info.run_id).data.metrics == {"a": 1.0, "b": 2.0}
        assert [file.path for file in client.list_artifacts(run.info.run_id)] == ["notes"]
    finally:
        mlflow.set_tracking_uri(None)
