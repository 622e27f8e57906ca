"""Flow processes that Prefect, or the system, kills."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import UUID

import pytest

pytest.importorskip("prefect")
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.exceptions import ObjectNotFound
from prefect.settings import PREFECT_API_URL
from prefect.states import Cancelling

from tracklight.testing.stored import read_runs

pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.timeout(240)]

PROGRAM = """
import os, sys, time
from pathlib import Path
from prefect import flow
from tracklight.integrations.prefect import flow_run, hooks
from tracklight.errors import ServerError
from tracklight.tracking import MLflowTracker

tracker = MLflowTracker("etl")

@flow(name="long", **hooks(tracker))
def long(seconds: int = 60):
    with flow_run(tracker, run_name="long"):
        tracker.log_metric("started", 1)
        Path("pid").write_text(str(os.getpid()))
        time.sleep(seconds)

if __name__ == "__main__":
    if sys.argv[1] == "serve":
        long.serve(name=Path.cwd().parent.name, print_starting_message=False)
    else:
        long()
"""


@pytest.fixture
def start(project: Path) -> Iterator[Callable[[str], subprocess.Popen[bytes]]]:
    """Start the program, alone or as the runner that serves its flow."""
    started: list[subprocess.Popen[bytes]] = []
    (project / "program.py").write_text(PROGRAM)

    def start(how: str) -> subprocess.Popen[bytes]:
        environment = os.environ | {
            "PREFECT_API_URL": str(PREFECT_API_URL.value()),
            "TRACKLIGHT_EXIT_TIMEOUT_SECONDS": "60",  # to make the store takes seconds on a busy machine
            "PREFECT_RUNNER_POLL_FREQUENCY": "1",
            "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30",
        }
        with (project / "program.log").open("wb") as log:
            command = [sys.executable, "program.py", how]
            started.append(subprocess.Popen(command, cwd=project, env=environment, stdout=log, stderr=log))
        return started[-1]

    yield start
    for process in started:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def test_a_flow_process_that_is_terminated_is_a_killed_run(
    project: Path, start: Callable[[str], subprocess.Popen[bytes]]
) -> None:
    process = start("alone")
    wait_for((project / "pid").exists, project)
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == -signal.SIGTERM

    (run,) = read_runs(project / ".tracklight" / "mlflow.db")
    assert (run.run_status, run.tags["prefect.state"]) == ("KILLED", "Crashed")


def test_a_cancelled_flow_run_is_a_killed_run(
    project: Path, start: Callable[[str], subprocess.Popen[bytes]]
) -> None:
    start("serve")
    with get_client(sync_client=True) as client:
        flow_run_id = trigger(client, project)
        wait_for((project / "pid").exists, project)
        client.set_flow_run_state(flow_run_id, Cancelling(), force=True)
        wait_for(lambda: stored_state(project) == "Cancelled", project)

    (run,) = read_runs(project / ".tracklight" / "mlflow.db")
    assert run.run_status == "KILLED"
    assert run.tags["prefect.deployment_id"]


def test_a_flow_process_that_is_killed_at_once_is_a_killed_run(
    project: Path, start: Callable[[str], subprocess.Popen[bytes]]
) -> None:
    """No block and no exit handler runs; the runner calls the hook in its own process."""
    start("serve")
    with get_client(sync_client=True) as client:
        trigger(client, project)
        wait_for((project / "pid").exists, project)
        os.kill(int((project / "pid").read_text()), signal.SIGKILL)
        wait_for(lambda: stored_state(project) == "Crashed", project)

    (run,) = read_runs(project / ".tracklight" / "mlflow.db")
    assert run.run_status == "KILLED"


def trigger(client: SyncPrefectClient, project: Path) -> UUID:
    """Wait until the program serves its flow, and have it run once."""
    name = f"long/{project.parent.name}"

    def is_served() -> bool:
        try:
            return client.read_deployment_by_name(name) is not None
        except ObjectNotFound:
            return False

    wait_for(is_served, project)
    deployment = client.read_deployment_by_name(name)
    return client.create_flow_run_from_deployment(deployment.id).id


def stored_state(project: Path) -> str | None:
    """Return the state that Prefect gave the run that was killed, as far as it is stored by now."""
    database = project / ".tracklight" / "mlflow.db"
    try:
        ended = [run for run in read_runs(database) if run.run_status == "KILLED"]
    except sqlite3.OperationalError:
        return None
    return ended[0].tags.get("prefect.state") if ended else None


def wait_for(is_true: Callable[[], bool], project: Path, seconds: float = 90.0) -> None:
    deadline = time.monotonic() + seconds
    while not is_true():
        assert time.monotonic() < deadline, (project / "program.log").read_text()
        time.sleep(0.2)
