"""How a program ends, and what becomes of its runs: each in a process of its own."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tracklight.journal.folder import list_journals
from tracklight.model.run import RunStatus, TagKey
from tracklight.testing.faulty_server import FaultyServer
from tracklight.testing.stored import StoredRun
from tracklight.tracking.mlflow_tracker import MLflowTracker

Stored = Callable[[], list[StoredRun]]
BEGIN = """
import os, signal, sys, threading, time
from tracklight import MLflowTracker
tracker = MLflowTracker("x", strict=True)
"""


@pytest.fixture
def start(faulty: FaultyServer, project: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start a program in the project; what it prints is read with `communicate`."""
    (project / ".tracklight").mkdir()
    started: list[subprocess.Popen[str]] = []

    def begin(code: str, uri: str | None = None) -> subprocess.Popen[str]:
        (project / "train.py").write_text(BEGIN + textwrap.dedent(code))
        process = subprocess.Popen(
            [sys.executable, "train.py"],
            cwd=project,
            env=os.environ | {"MLFLOW_TRACKING_URI": uri or faulty.uri, "PYTHONUNBUFFERED": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield begin
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    _, errors = process.communicate(timeout=60)
    return process.returncode, errors


# Python forgets that it was interrupted when anything is evaluated while it exits, such as a named tuple's class.
PYTHONS_OWN = {-signal.SIGINT: 1}

IN_BLOCK = """
with tracker.start_run("a"):
    tracker.log_metric("loss", 1.0)
    {end}
"""
OPEN = """
tracker.start_run("a")
tracker.log_metric("loss", 1.0)
{end}
"""


@pytest.mark.parametrize(
    ("code", "exit_code", "run_status"),
    [
        (IN_BLOCK.format(end="pass"), 0, RunStatus.FINISHED),
        (IN_BLOCK.format(end="raise ValueError('bad data')"), 1, RunStatus.FAILED),
        (IN_BLOCK.format(end="sys.exit(0)"), 0, RunStatus.FINISHED),
        (IN_BLOCK.format(end="sys.exit()"), 0, RunStatus.FINISHED),
        (IN_BLOCK.format(end="sys.exit(1)"), 1, RunStatus.FAILED),
        (IN_BLOCK.format(end="sys.exit('no data')"), 1, RunStatus.FAILED),
        (IN_BLOCK.format(end="raise KeyboardInterrupt"), -signal.SIGINT, RunStatus.KILLED),
        (OPEN.format(end=""), 0, RunStatus.FINISHED),
        (OPEN.format(end="raise ValueError('bad data')"), 1, RunStatus.FAILED),
        (OPEN.format(end="sys.exit(0)"), 0, RunStatus.FINISHED),
        (OPEN.format(end="raise KeyboardInterrupt"), -signal.SIGINT, RunStatus.KILLED),
    ],
    ids=lambda value: (
        " ".join(value.split("\n")[3:]).strip() or "end" if isinstance(value, str) else str(value)
    ),
)
def test_a_run_ends_as_its_program_does(  # noqa: PLR0917
    start: Callable[..., subprocess.Popen[str]],
    stored: Stored,
    project: Path,
    code: str,
    exit_code: int,
    run_status: RunStatus,
) -> None:
    assert ended(start(code))[0] in (exit_code, PYTHONS_OWN.get(exit_code))
    (run,) = stored()
    assert run.run_status is run_status
    assert run.end_time_ms is not None
    assert run.history("loss") == [(0, 1.0)]
    assert list_journals(project / ".tracklight" / "journals") == []


def test_the_exception_that_ended_a_block_is_a_tag(
    start: Callable[..., subprocess.Popen[str]], stored: Stored
) -> None:
    ended(start(IN_BLOCK.format(end="raise ValueError('bad data')")))
    assert stored()[0].tags[TagKey.END_REASON] == "ValueError: bad data"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("code", [IN_BLOCK, OPEN], ids=["in a block", "open"])
@pytest.mark.parametrize(
    "what",
    ["time.sleep(60)", "[tracker.log_metric('loss', 1.0, n) for n in range(10**9)]"],
    ids=["idle", "logging"],
)
def test_a_program_that_is_asked_to_end_marks_its_run_killed_and_dies_by_the_signal(
    start: Callable[..., subprocess.Popen[str]], stored: Stored, code: str, number: signal.Signals, what: str
) -> None:
    process = start(code.format(end=f"print('ready'); {what}"))
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    time.sleep(0.02)
    process.send_signal(number)
    assert ended(process)[0] in (-number, PYTHONS_OWN.get(-number))
    (run,) = stored()
    assert run.run_status is RunStatus.KILLED


def test_a_handler_of_the_programs_own_is_kept(
    start: Callable[..., subprocess.Popen[str]], stored: Stored
) -> None:
    process = start(
        """
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))
        with tracker.start_run("a"):
            print("ready")
            time.sleep(60)
        """
    )
    assert process.stdout is not None
    process.stdout.readline()
    process.terminate()
    assert ended(process)[0] == 7
    assert stored()[0].run_status is RunStatus.FAILED


@pytest.mark.parametrize("end", ["os._exit(3)", "os.kill(os.getpid(), signal.SIGKILL)"])
def test_what_a_process_that_vanished_left_is_delivered_by_the_next_tracker(
    start: Callable[..., subprocess.Popen[str]], faulty: FaultyServer, stored: Stored, project: Path, end: str
) -> None:
    faulty.stop()
    code = f"""
    with tracker.start_run("a"):
        for step in range(500):
            tracker.log_metric("loss", float(step), step)
        open("file.txt", "w").write("kept")
        tracker.log_artifact("file.txt")
        os.remove("file.txt")
        {end}
    """
    assert ended(start(code))[0] in (3, -signal.SIGKILL)
    journals = project / ".tracklight" / "journals"
    assert len(list_journals(journals)) == 1
    faulty.start()
    tracker = MLflowTracker("x", faulty.uri, strict=True)
    with tracker.start_run("next"):
        deadline = time.monotonic() + 30
        while len(list_journals(journals)) > 1 and time.monotonic() < deadline:
            time.sleep(0.05)
    tracker.close()
    (left,) = [run for run in stored() if run.name == "a"]
    assert left.history("loss") == [(step, float(step)) for step in range(500)]
    assert left.run_status is RunStatus.KILLED
    assert left.end_time_ms is not None
    assert "ended without ending the run" in left.tags[TagKey.END_REASON]
    assert (left.artifact_folder / "file.txt").read_text() == "kept"


def test_the_end_of_a_program_waits_for_a_hung_server_no_longer_than_it_may(
    start: Callable[..., subprocess.Popen[str]], project: Path, faulty: FaultyServer, stored: Stored
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as hole:  # accepts, never answers
        uri = f"http://127.0.0.1:{hole.getsockname()[1]}"
        (project / "tracklight.toml").write_text("exit_timeout_seconds = 2.0\n")
        process = start(IN_BLOCK.format(end="print('ready')"), uri)
        assert process.stdout is not None
        process.stdout.readline()
        began = time.monotonic()
        exit_code, errors = ended(process)
        seconds = time.monotonic() - began
    assert exit_code == 0
    assert 1.5 < seconds < 6.0
    assert "records are not delivered" in errors
    assert f"tracklight sync {project / '.tracklight'}" in errors
    code = "import sys; from tracklight.cli.main import main; sys.argv[0] = 'tracklight'; main()"
    subprocess.run(
        [sys.executable, "-c", code, "sync", str(project / ".tracklight"), "--to", faulty.uri],
        check=True,
        timeout=60,
        capture_output=True,
    )
    assert stored()[0].run_status is RunStatus.FINISHED


def test_the_end_of_a_program_does_not_wait_for_a_server_that_never_was_there(
    start: Callable[..., subprocess.Popen[str]],
) -> None:
    began = time.monotonic()
    exit_code, errors = ended(start(IN_BLOCK.format(end="pass"), "http://127.0.0.1:9"))
    assert exit_code == 0
    assert "records are not delivered" in errors
    assert time.monotonic() - began < 6.0


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_children_of_a_program_may_have_trackers_of_their_own(
    start: Callable[..., subprocess.Popen[str]],
    faulty: FaultyServer,
    stored: Stored,
    project: Path,
    method: str,
) -> None:
    (project / "program.py").write_text(
        textwrap.dedent(
            f"""
            import multiprocessing
            from tracklight import MLflowTracker

            def work(number):
                tracker = MLflowTracker("x", strict=True)
                with tracker.start_run(f"child {{number}}") as run:
                    run.log_metric("loss", float(number))

            if __name__ == "__main__":
                tracker = MLflowTracker("x", strict=True)
                context = multiprocessing.get_context({method!r})
                with tracker.start_run("parent") as run:
                    run.log_metric("loss", 1.0, 0)
                    processes = [context.Process(target=work, args=(n,)) for n in range(3)]
                    for process in processes: process.start()
                    for process in processes: process.join()
                    assert [process.exitcode for process in processes] == [0, 0, 0]
                    run.log_metric("loss", 2.0, 1)
            """
        )
    )
    assert ended(start("import subprocess; sys.exit(subprocess.call([sys.executable, 'program.py']))")) == (
        0,
        "",
    )
    tracker = MLflowTracker("x", faulty.uri, strict=True)
    with tracker.start_run("sweep"):
        deadline = time.monotonic() + 20
        while sum(len(run.points) for run in stored()) < 5 and time.monotonic() < deadline:
            time.sleep(0.1)
    tracker.close()
    runs = {run.name: run for run in stored()}
    assert runs["parent"].history("loss") == [(0, 1.0), (1, 2.0)]
    assert runs["parent"].run_status is RunStatus.FINISHED
    assert [runs[f"child {number}"].history("loss") for number in range(3)] == [
        [(0, float(n))] for n in range(3)
    ]


def test_a_forked_child_logs_to_the_run_that_was_open_and_the_parent_ends_it(
    start: Callable[..., subprocess.Popen[str]], stored: Stored, project: Path
) -> None:
    code = """
    with tracker.start_run("a") as run:
        run.log_metric("loss", 0.0, 0)
        pids = []
        for child in range(1, 4):
            pid = os.fork()
            if pid == 0:
                run.log_metric("loss", float(child), child)
                tracker.close()
                os._exit(0)
            pids.append(pid)
        for pid in pids:
            assert os.waitpid(pid, 0)[1] == 0
        run.log_metric("loss", 4.0, 4)
    """
    assert ended(start(code)) == (0, "")
    (run,) = stored()
    assert run.history("loss") == [(step, float(step)) for step in range(5)]
    assert run.run_status is RunStatus.FINISHED
    assert list_journals(project / ".tracklight" / "journals") == []


def test_a_forked_child_that_dies_at_once_is_delivered_by_its_parent(
    start: Callable[..., subprocess.Popen[str]], stored: Stored, project: Path
) -> None:
    code = """
    with tracker.start_run("a") as run:
        pid = os.fork()
        if pid == 0:
            run.log_metric("loss", 1.0, 1)
            os._exit(0)
        os.waitpid(pid, 0)
    """
    assert ended(start(code)) == (0, "")
    (run,) = stored()
    assert run.history("loss") == [(1, 1.0)]
    assert run.run_status is RunStatus.FINISHED
    assert list_journals(project / ".tracklight" / "journals") == []


def test_a_second_signal_or_close_does_no_harm(
    start: Callable[..., subprocess.Popen[str]], stored: Stored
) -> None:
    code = """
    with tracker.start_run("a"):
        pass
    tracker.close()
    tracker.close()
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(10)
    """
    assert ended(start(code))[0] == -signal.SIGTERM
    assert stored()[0].run_status is RunStatus.FINISHED
