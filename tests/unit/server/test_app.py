"""What the application answers by itself, around MLflow's store."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tracklight.client import Client
from tracklight.client.artifacts import list_artifacts, upload
from tracklight.client.asgi import AsgiTransport
from tracklight.errors import RequestRefusedError, ServerFailedError, ServerUnreachableError
from tracklight.server import ServerSettings, create_app
from tracklight.wire.endpoints import (
    CREATE_EXPERIMENT,
    CREATE_RUN,
    ENDPOINTS,
    GET_EXPERIMENT_BY_NAME,
    GET_METRIC_HISTORY,
    GET_RUN,
    LIST_ARTIFACTS,
    LOG_BATCH,
    SET_TAG,
)
from tracklight.wire.messages import (
    CreateExperiment,
    CreateRun,
    GetExperimentByName,
    GetMetricHistory,
    GetRun,
    ListArtifacts,
    LogBatch,
    Metric,
    Param,
    RunHeader,
    SetTag,
    Tag,
)


def new_run(client: Client, experiment_name: str = "e") -> RunHeader:
    experiment = client.call(CREATE_EXPERIMENT, CreateExperiment(experiment_name))
    return client.call(CREATE_RUN, CreateRun(experiment.experiment_id, 1000, "r")).run.info


def test_what_is_logged_is_read_back(client: Client) -> None:
    run = new_run(client)
    points = tuple(Metric("loss", 1 / (i + 1), 1000 + i, i) for i in range(998))
    client.call(LOG_BATCH, LogBatch(run.run_id, points, (Param("p", "v"),), (Tag("t", "w"),)))
    history = client.call(GET_METRIC_HISTORY, GetMetricHistory(run.run_id, "loss")).metrics
    assert sorted(history, key=lambda point: point.step) == list(points)
    data = client.call(GET_RUN, GetRun(run.run_id)).run.data
    assert data.metrics == (points[-1],)
    assert data.params == (Param("p", "v"),)
    assert Tag("t", "w") in data.tags


def test_artifacts_are_copied_to_the_root_and_listed(client: Client, database: Path, tmp_path: Path) -> None:
    run = new_run(client)
    source = tmp_path / "x.txt"
    source.write_text("x")
    upload(client, run.artifact_uri, "notes/x.txt", source)
    assert (database.parent / "artifacts") in Path(run.artifact_uri).parents
    files = client.call(LIST_ARTIFACTS, ListArtifacts(run.run_id, "notes")).files
    assert files == list_artifacts(client, run.artifact_uri, "notes")
    assert [(f.path, f.size_bytes) for f in files] == [("notes/x.txt", 1)]


def test_the_database_is_for_its_owner_alone_and_in_wal_mode(client: Client, database: Path) -> None:
    new_run(client)
    assert database.stat().st_mode & 0o077 == 0
    with sqlite3.connect(database) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    connection.close()


def test_a_stock_store_opens_the_database(client: Client, database: Path) -> None:
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    run = new_run(client)
    store = SqlAlchemyStore(f"sqlite:///{database}?timeout=1", str(database.parent))
    assert store.get_run(run.run_id).info.run_name == "r"
    store.engine.dispose()


def test_threads_write_to_one_run_and_nothing_is_lost(client: Client) -> None:
    run = new_run(client)

    def write(writer: int) -> None:
        for batch in range(5):
            points = tuple(Metric(f"m{k}", writer, batch, writer * 100 + batch) for k in range(20))
            client.call(LOG_BATCH, LogBatch(run.run_id, points))

    threads = [threading.Thread(target=write, args=(writer,)) for writer in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for key in range(20):
        assert len(client.call(GET_METRIC_HISTORY, GetMetricHistory(run.run_id, f"m{key}")).metrics) == 30


def test_a_forked_child_writes_through_connections_of_its_own(client: Client) -> None:
    run = new_run(client)
    child = os.fork()
    if child == 0:
        client.call(SET_TAG, SetTag(run.run_id, "from", "child"))
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    client.call(SET_TAG, SetTag(run.run_id, "also from", "parent"))
    tags = client.call(GET_RUN, GetRun(run.run_id)).run.data.tags
    assert {Tag("from", "child"), Tag("also from", "parent")} <= set(tags)


def test_processes_that_start_at_once_create_one_database(database: Path) -> None:
    program = (
        "import sys; from tracklight.client import connect;"
        "from tracklight.wire.endpoints import CREATE_EXPERIMENT as E;"
        "from tracklight.wire.messages import CreateExperiment as C;"
        "print(connect(sys.argv[1]).call(E, C(sys.argv[2])).experiment_id)"
    )
    starting = [
        subprocess.Popen(
            [sys.executable, "-c", program, f"sqlite:///{database}", f"e{i}"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for i in range(4)
    ]
    outputs = [process.communicate(timeout=120) for process in starting]
    assert sorted(out.strip() for out, _ in outputs) == ["1", "2", "3", "4"]
    assert [err for _, err in outputs] == [""] * 4


def test_a_locked_database_is_a_matter_of_trying_again(client: Client, database: Path) -> None:
    run = new_run(client)
    locking = sqlite3.connect(database, isolation_level=None, check_same_thread=False)
    locking.execute("BEGIN IMMEDIATE")
    try:
        with pytest.raises(ServerUnreachableError, match="database is locked") as caught:
            client.call(LOG_BATCH, LogBatch(run.run_id, (Metric("m", 1.0, 1),)))
    finally:
        locking.execute("ROLLBACK")
        locking.close()
    assert caught.value.retry_after_seconds == 1
    client.call(LOG_BATCH, LogBatch(run.run_id, (Metric("m", 1.0, 1),)))
    assert len(client.call(GET_METRIC_HISTORY, GetMetricHistory(run.run_id, "m")).metrics) == 1


def test_a_database_that_is_locked_at_the_start_is_a_matter_of_trying_again(
    client: Client, database: Path
) -> None:
    database.parent.mkdir()
    locking = sqlite3.connect(database, isolation_level=None)
    locking.execute("BEGIN EXCLUSIVE")
    try:
        with pytest.raises(ServerUnreachableError, match="cannot be opened now"):
            client.call(GET_RUN, GetRun("r"))
    finally:
        locking.close()
    new_run(client)


def test_a_file_that_is_no_database_is_said_so(client: Client, database: Path) -> None:
    database.parent.mkdir()
    database.write_bytes(b"this is a text, not a database" * 100)
    with pytest.raises(ServerFailedError, match="not a database"):
        client.call(GET_RUN, GetRun("r"))
    assert database.read_bytes().startswith(b"this is a text")


def test_a_schema_of_another_mlflow_is_refused_by_name(client: Client, database: Path) -> None:
    new_run(client)
    client.close()
    with sqlite3.connect(database) as connection:
        connection.execute("UPDATE alembic_version SET version_num = 'of the future'")
    connection.close()
    with pytest.raises(ServerFailedError, match="of the future"):
        client.call(GET_EXPERIMENT_BY_NAME, GetExperimentByName("e"))


def test_nothing_is_printed(database: Path) -> None:
    program = (
        "import sys, logging; logging.basicConfig(level=logging.INFO);"
        "from tracklight.client import connect; from tracklight.wire.endpoints import CREATE_EXPERIMENT as E;"
        "from tracklight.wire.messages import CreateExperiment as C;"
        "connect(sys.argv[1]).call(E, C('e'))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, f"sqlite:///{database}"], capture_output=True, text=True, check=True
    )
    assert (done.stdout, done.stderr) == ("", "")


@pytest.fixture
def transport(database: Path) -> Iterator[AsgiTransport]:
    settings = ServerSettings(f"sqlite:///{database}", str(database.parent), max_body_bytes=10_000)
    transport = AsgiTransport(lambda: create_app(settings), address="here")
    yield transport
    transport.close()


def test_health_and_version_need_no_database(transport: AsgiTransport, database: Path) -> None:
    import mlflow

    assert transport.send("GET", "/health").body == b"OK"
    assert transport.send("GET", "/version").body.decode() == mlflow.__version__
    assert not database.exists()


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"),
        ("POST", "/api/2.0/mlflow/registered-models/create"),
        ("DELETE", "/api/2.0/mlflow/runs/get"),
        ("GET", "/api/2.0/mlflow/runs/get/"),
    ],
)
def test_what_is_not_in_the_table_names_the_server_that_serves_it(
    transport: AsgiTransport, method: str, path: str
) -> None:
    answer = transport.send(method, path)
    assert answer.status == 501
    failure = json.loads(answer.body)
    assert failure["error_code"] == "NOT_IMPLEMENTED"
    assert "mlflow ui --backend-store-uri" in failure["message"]


def test_a_body_beyond_the_limit_is_refused(transport: AsgiTransport) -> None:
    with pytest.raises(RequestRefusedError, match="413"):
        Client(transport).call(SET_TAG, SetTag("r", "k", "v" * 10_001))


MALFORMED = [
    b"",
    b"\xff\xfe",
    b"null",
    b"[]",
    b"7",
    b'"{}"',
    b'"text"',
    b"[" * 9_000,
    b'{"a":' * 1_500,
    b'{"run_id": null}',
    b'{"run_id": {}, "metrics": {}, "params": 1, "tags": "x", "name": []}',
    b'{"run_id": "r", "metrics": [1, null, "x"], "params": [[]], "tags": [{}]}',
    b'{"run_id": "r", "metrics": [{"key": "k", "value": "much", "timestamp": 1}]}',
    b'{"run_id": "r", "key": "k", "value": 1e999, "timestamp": 99999999999999999999}',
    b'{"experiment_ids": "1", "max_results": "many", "order_by": [1], "filter": 1}',
    b'{"experiment_id": "1", "start_time": "soon", "tags": [1]}',
    b'{"run_id": "\\ud800", "key": "\\ud800", "value": "\\ud800", "name": "\\ud800"}',
]


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda endpoint: endpoint.name)
def test_a_malformed_request_is_the_callers_fault(transport: AsgiTransport, endpoint: object) -> None:
    for body in MALFORMED:
        answer = transport.send(
            endpoint.method,  # type: ignore[attr-defined]
            endpoint.full_path,  # type: ignore[attr-defined]
            query=[("max_results", body.decode("latin-1"))],
            body=body,
            content_type="application/json",
        )
        assert answer.status < 500, (body[:80], answer.body)
