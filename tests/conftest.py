"""Fixtures that all tests share: a project of one's own, and servers that are real."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tracklight.client import connect
from tracklight.testing.faulty_server import FaultyServer, faulty_server
from tracklight.testing.server_process import ServerProcess
from tracklight.wire.endpoints import GET_EXPERIMENT
from tracklight.wire.messages import GetExperiment


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder that is the working folder, with an environment that says nothing to MLflow or us."""
    for name in list(os.environ):
        if name.startswith(("MLFLOW_", "TRACKLIGHT_")):
            monkeypatch.delenv(name)
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture(scope="session")
def server_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """One server for the session: to start one takes seconds."""
    process = ServerProcess(tmp_path_factory.mktemp("server"))
    process.start()
    yield process
    process.stop()


@pytest.fixture
def server(server_process: ServerProcess) -> ServerProcess:
    """A running server on SQLite, shared by all tests: keep to an experiment of your own.

    ``uri`` and ``database`` say where it is; a test may `stop`, `kill` and `start` it.
    """
    server_process.start()
    return server_process


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with MLflow's schema and no runs, to be copied: to make one takes a second or more."""
    database = tmp_path_factory.mktemp("template") / "mlflow.db"
    client = connect(f"sqlite:///{database}")
    client.call(GET_EXPERIMENT, GetExperiment(experiment_id="0"))
    client.close()
    with contextlib.closing(sqlite3.connect(database)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return database


@pytest.fixture
def new_database(empty_database: Path, tmp_path: Path) -> Callable[[str], Path]:
    """Make an empty database in a folder of the test's own."""

    def make(name: str) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        return Path(shutil.copy(empty_database, folder / "mlflow.db"))

    return make


@pytest.fixture
def faulty(new_database: Callable[[str], Path]) -> Iterator[FaultyServer]:
    """A server in this process with a database of its own, which does what it should until it is told otherwise."""
    with faulty_server(new_database("faulty")) as server:
        yield server
