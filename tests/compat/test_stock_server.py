"""Our client works with a stock MLflow server, artifacts included."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import pytest

from tracklight.client import Client, connect
from tracklight.client.artifacts import download, list_artifacts, upload
from tracklight.errors import ArtifactError, RequestRefusedError
from tracklight.wire.endpoints import (
    CREATE_EXPERIMENT,
    CREATE_RUN,
    GET_METRIC_HISTORY,
    GET_RUN,
    LOG_BATCH,
)
from tracklight.wire.messages import (
    CreateExperiment,
    CreateRun,
    GetMetricHistory,
    GetRun,
    LogBatch,
    Metric,
    RunHeader,
)


@pytest.fixture
def client(stock_server: str) -> Iterator[Client]:
    client = connect(stock_server)
    yield client
    client.close()


@pytest.fixture
def run(client: Client, request: pytest.FixtureRequest) -> RunHeader:
    experiment = client.call(CREATE_EXPERIMENT, CreateExperiment(f"client of {request.node.name}"))
    return client.call(CREATE_RUN, CreateRun(experiment.experiment_id, 1)).run.info


def test_metric_values_come_back_exactly(client: Client, run: RunHeader) -> None:
    # -0.0 is not among them: SQLite itself stores it as 0.0
    values = [0.1 + 0.2, 5e-324, 2.0**-1074, 1e308, math.pi, float(2**53 + 2)]
    client.call(LOG_BATCH, LogBatch(run.run_id, tuple(Metric("m", v, 1, i) for i, v in enumerate(values))))
    history = client.call(GET_METRIC_HISTORY, GetMetricHistory(run.run_id, "m")).metrics
    assert [point.value.hex() for point in sorted(history, key=lambda point: point.step)] == [
        value.hex() for value in values
    ]


def test_nan_comes_back_as_nan_and_infinity_as_mlflow_stores_it(client: Client, run: RunHeader) -> None:
    values = [math.nan, math.inf, -math.inf]
    client.call(LOG_BATCH, LogBatch(run.run_id, tuple(Metric(str(v), v, 1) for v in values)))
    read = {m.key: m.value for m in client.call(GET_RUN, GetRun(run.run_id)).run.data.metrics}
    assert math.isnan(read["nan"])
    assert read["inf"] == -read["-inf"] == 1.7976931348623157e308


def test_a_refusal_carries_mlflows_code_and_message(client: Client) -> None:
    with pytest.raises(RequestRefusedError, match="Run with id=0000 not found") as caught:
        client.call(GET_RUN, GetRun("0000"))
    assert (caught.value.error_code, caught.value.http_status) == ("RESOURCE_DOES_NOT_EXIST", 404)


@pytest.mark.parametrize(
    "path",
    ["a.txt", "deep/er/a.bin", "späce and ümlaut/a b.txt", "100%.txt", "a+b&c=d.txt", "semi;colon.txt"],
)
def test_an_artifact_behind_the_proxy_comes_back_whole(
    client: Client, run: RunHeader, tmp_path: Path, path: str
) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(bytes(range(256)) * 1000)
    assert run.artifact_uri.startswith("mlflow-artifacts:")
    upload(client, run.artifact_uri, path, source)
    download(client, run.artifact_uri, path, target)
    assert target.read_bytes() == source.read_bytes()
    folder, _, _ = path.rpartition("/")
    assert [(f.path, f.size_bytes) for f in list_artifacts(client, run.artifact_uri, folder)] == [
        (path, 256_000)
    ]


def test_an_empty_file_and_a_second_upload_replace_the_artifact(
    client: Client, run: RunHeader, tmp_path: Path
) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    for content in (b"long content", b""):
        source.write_bytes(content)
        upload(client, run.artifact_uri, "same.txt", source)
        download(client, run.artifact_uri, "same.txt", target)
        assert target.read_bytes() == content


def test_a_missing_artifact_leaves_no_file_behind(client: Client, run: RunHeader, tmp_path: Path) -> None:
    with pytest.raises(Exception, match=r"nothing\.txt"):
        download(client, run.artifact_uri, "nothing.txt", tmp_path / "target")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("path", ["../up.txt", "/etc/x", "a/../../up.txt", "%2e%2e/up.txt", "..%2fup.txt"])
def test_a_path_out_of_the_root_is_never_sent(
    client: Client, run: RunHeader, tmp_path: Path, path: str
) -> None:
    source = tmp_path / "source"
    source.write_text("x")
    with pytest.raises(ArtifactError, match="does not stay below"):
        upload(client, run.artifact_uri, path, source)
