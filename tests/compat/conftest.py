"""A stock MLflow server and ours, each a process of its own on an empty SQLite database."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

START_TIMEOUT_SECONDS = 180


@pytest.fixture(scope="session")
def stock_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a stock `mlflow server`, with artifacts behind its proxy."""
    folder = tmp_path_factory.mktemp("stock")
    port = free_port()
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--workers", "1", "--backend-store-uri", f"sqlite:///{folder}/mlflow.db"]
    command += ["--artifacts-destination", str(folder / "artifacts")]
    yield from running(command, folder, f"http://127.0.0.1:{port}")


@pytest.fixture(scope="session")
def our_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of Tracklight's server under uvicorn, with artifacts in a folder."""
    folder = tmp_path_factory.mktemp("ours")
    port = free_port()
    command = [sys.executable, "-m", "tracklight.server", "--port", str(port)]
    command += [
        "--backend-store-uri",
        f"sqlite:///{folder}/mlflow.db",
        "--artifact-root",
        f"{folder}/artifacts",
    ]
    yield from running(command, folder, f"http://127.0.0.1:{port}")


def running(command: list[str], folder: Path, address: str) -> Iterator[str]:
    environment = os.environ | {
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "PYTHONWARNINGS": "ignore",
        "PYTHONHASHSEED": "0",  # MLflow prints sets in its messages
    }
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=log, stderr=log, start_new_session=True
        )
        try:
            wait_until_healthy(address, process, folder / "server.log")
            yield address
        finally:
            # `mlflow server` is a process group: the worker would outlive the parent.
            os.killpg(process.pid, 15)
            process.wait(timeout=30)


def wait_until_healthy(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT_SECONDS
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()
        try:
            with urllib.request.urlopen(f"{address}/health", timeout=5) as answer:
                if answer.status == 200:
                    return
        except OSError:
            time.sleep(0.2)
    raise AssertionError(f"{address} did not answer in time:\n{log.read_text()}")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
