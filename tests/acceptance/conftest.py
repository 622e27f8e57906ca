"""What the acceptance tests share: programs as a user runs them, and a stock MLflow server."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
START_TIMEOUT_SECONDS = 180

RunProgram = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def run_program(project: Path) -> RunProgram:
    """Run Python in the project's folder, as ``run_program("-c", text, VARIABLE="value")``; it must end well."""

    def run(*arguments: str, timeout: float = 240, **variables: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=project,
            env=os.environ | variables,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done

    return run


@pytest.fixture
def free_port() -> int:
    """A port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass(frozen=True, slots=True)
class MlflowServer:
    """A running `mlflow` command, and what it stores where."""

    uri: str
    database: Path
    artifacts: Path


@pytest.fixture(scope="session")
def stock_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    """A stock ``mlflow server`` on SQLite, with artifacts behind its proxy."""
    folder = tmp_path_factory.mktemp("stock")
    options = ["--backend-store-uri", f"sqlite:///{folder / 'mlflow.db'}"]
    options += ["--serve-artifacts", "--artifacts-destination", str(folder / "artifacts")]
    for uri in running_mlflow("server", options, folder):
        yield MlflowServer(uri, folder / "mlflow.db", folder / "artifacts")


def running_mlflow(command: str, options: list[str], folder: Path) -> Iterator[str]:
    """Start ``mlflow COMMAND``, give its address once it answers, and stop it afterwards."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    address = f"http://127.0.0.1:{port}"
    whole = [sys.executable, "-m", "mlflow", command, "--host", "127.0.0.1", "--port", str(port)]
    environment = os.environ | {"MLFLOW_DISABLE_TELEMETRY": "true", "PYTHONWARNINGS": "ignore"}
    environment |= {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with (folder / "mlflow.log").open("wb") as log:
        process = subprocess.Popen(
            [*whole, "--workers", "1", *options],
            cwd=folder,
            env=environment,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        wait_until_healthy(address, process, folder / "mlflow.log")
        yield address
    finally:
        os.killpg(process.pid, 15)  # the command is a group: its worker would outlive it
        process.wait(timeout=30)


def wait_until_healthy(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT_SECONDS
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()
        try:
            with urllib.request.urlopen(f"{address}/health", timeout=5):
                return
        except OSError:
            time.sleep(0.2)
    raise AssertionError(f"{address} did not answer in time:\n{log.read_text()}")
