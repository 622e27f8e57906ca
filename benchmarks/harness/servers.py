"""A stock MLflow server on SQLite, the same server behind slow answers, and a port that refuses."""

import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

HOST = "127.0.0.1"
START_TIMEOUT_SECONDS = 240
STOP_TIMEOUT_SECONDS = 20
SLOW_ANSWER_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class MLflowServer:
    url: str
    database: Path

    def count_points(self, experiment: str) -> tuple[int, int]:
        """The rows of an experiment's "loss", and how many steps they hold: more rows than steps are duplicates."""
        query = """
            SELECT count(*), count(DISTINCT metrics.step)
            FROM metrics JOIN runs USING (run_uuid) JOIN experiments USING (experiment_id)
            WHERE experiments.name = ? AND metrics.key = 'loss'
        """
        with closing(sqlite3.connect(self.database, timeout=60)) as connection:
            rows, steps = connection.execute(query, (experiment,)).fetchone()
        return rows, steps


@contextmanager
def run_mlflow_server(python: Path, folder: Path) -> Iterator[MLflowServer]:
    """Start `mlflow server` with one worker and without the job runner; it can take a minute to answer."""
    folder.mkdir(parents=True, exist_ok=True)
    port, database = find_free_port(), folder / "mlflow.db"
    command: list[str | Path] = [
        python,
        "-m",
        "mlflow",
        "server",
        "--host",
        HOST,
        "--port",
        str(port),
        "--workers",
        "1",
    ]
    command += [
        "--backend-store-uri",
        f"sqlite:///{database}",
        "--default-artifact-root",
        str(folder / "artifacts"),
    ]
    environment = os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=log, stderr=log, start_new_session=True
        )
    try:
        server = MLflowServer(url=f"http://{HOST}:{port}", database=database)
        wait_until_healthy(server, process, folder / "server.log")
        yield server
    finally:
        stop_session(process)


def wait_until_healthy(server: MLflowServer, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(f"{server.url}/health", timeout=5) as answer:
                if answer.status == 200:
                    return
        except (urllib.error.URLError, OSError):
            time.sleep(0.5)
    raise RuntimeError(f"MLflow's server did not answer; the end of its log:\n{log.read_text()[-2000:]}")


@contextmanager
def run_relay(server: MLflowServer, *, seconds: float, port: int | None = None) -> Iterator[str]:
    """The URL of the same server behind a relay that holds back every answer for some seconds."""
    program, port = Path(__file__).with_name("slow_answers.py"), port or find_free_port()
    command: list[str | Path] = [
        sys.executable,
        program,
        str(port),
        server.url.rpartition(":")[2],
        str(seconds),
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True)
    try:
        if not process.stdout or not process.stdout.readline():
            raise RuntimeError(f"The relay could not listen at port {port}.")
        yield f"http://{HOST}:{port}"
    finally:
        stop_session(process)


@contextmanager
def hold_refusing_port() -> Iterator[int]:
    """A port that is taken but not listened at: every connection is refused."""
    with socket.socket() as taken:
        taken.bind((HOST, 0))
        yield taken.getsockname()[1]


def find_free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def stop_session(process: subprocess.Popen[bytes]) -> None:
    """End the process and what it started in its own session."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            break
        try:
            process.wait(timeout=STOP_TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired:
            continue
    process.wait()
