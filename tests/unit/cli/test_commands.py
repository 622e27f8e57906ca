"""The command, run as a person runs it: a process, in a project's folder."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tracklight.testing.server_process import ServerProcess

NOBODY = "http://127.0.0.1:9"
LEAVE_A_JOURNAL = """
from tracklight import MLflowTracker
tracker = MLflowTracker({experiment!r}, {uri!r})
with tracker.start_run("left-behind"):
    tracker.log_metric("loss", 0.5, step=1)
    tracker.log_param("depth", 3)
"""


def tracklight(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tracklight", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, "COLUMNS": "160", **environment},
    )


def leave_a_journal(experiment: str, uri: str = NOBODY) -> Path:
    program = LEAVE_A_JOURNAL.format(experiment=experiment, uri=uri)
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    assert "4 records are not delivered" in done.stderr
    assert "tracklight sync" in done.stderr
    (journal,) = Path(".tracklight/journals").iterdir()
    return journal


def test_sync_sends_what_was_left_to_another_server_and_the_journal_is_gone(
    project: Path, server: ServerProcess
) -> None:
    leave_a_journal("cli-sync")
    done = tracklight("sync", "--to", server.uri)
    assert done.returncode == 0, done.stderr
    assert "4 records" in done.stdout
    assert list((project / ".tracklight" / "journals").iterdir()) == []
    shown = tracklight("runs", "--uri", server.uri, "--experiment", "cli-sync").stdout
    assert "left-behind" in shown
    assert "FINISHED" in shown
    assert "loss 0.5" in shown


def test_sync_may_be_repeated_and_changes_nothing(project: Path, server: ServerProcess) -> None:
    leave_a_journal("cli-again")
    for _ in range(3):
        assert tracklight("sync", "--to", server.uri, "--keep").returncode == 0
    shown = tracklight("runs", "--uri", server.uri, "--experiment", "cli-again").stdout
    assert shown.count("left-behind") == 1


def test_sync_to_a_server_that_is_down_says_so_and_keeps_everything(project: Path) -> None:
    journal = leave_a_journal("cli-down")
    done = tracklight("sync")
    assert done.returncode == 1
    assert "the rest waits" in done.stdout
    assert "Connection refused" in done.stderr
    assert journal.exists()


def test_sync_with_nothing_to_send_says_so(project: Path) -> None:
    done = tracklight("sync")
    assert done.returncode == 0
    assert "everything was delivered" in done.stdout


def test_journal_ls_show_and_verify_tell_what_is_in_it(project: Path) -> None:
    journal = leave_a_journal("cli-journal")
    assert f"{NOBODY}: 4 of 4 records wait" in tracklight("journal", "ls").stdout
    shown = tracklight("journal", "show", str(journal)).stdout
    assert '"loss":0.5' in shown
    assert '"depth":"3"' in shown
    verified = tracklight("journal", "verify")
    assert verified.returncode == 0
    assert "4 records, none damaged" in verified.stdout


def test_verify_finds_a_flipped_bit(project: Path) -> None:
    journal = leave_a_journal("cli-damage")
    (segment,) = journal.glob("*.tlj")
    content = bytearray(segment.read_bytes())
    content[content.index(b"loss")] ^= 1
    segment.write_bytes(content)
    verified = tracklight("journal", "verify")
    assert verified.returncode == 1
    assert "3 records, 1 damaged" in verified.stdout


def test_show_tells_what_the_server_refused_and_why(project: Path, server: ServerProcess) -> None:
    program = f"""
from tracklight import MLflowTracker
tracker = MLflowTracker("cli-refused", {server.uri!r})
with tracker.start_run("poison"):
    tracker.log_param("depth", 3)
    tracker.log_param("depth", 4)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    assert "refused 1 values" in done.stderr
    shown = tracklight("journal", "show", ".").stdout
    assert "1 values were refused" in shown
    assert "Param depth = 4" in shown
    assert "Changing param values is not allowed" in shown


def test_runs_without_a_store_says_how_to_get_one(project: Path) -> None:
    assert "No runs yet" in tracklight("runs").stdout


@pytest.mark.parametrize(
    ("arguments", "environment", "message"),
    [
        (("runs", "--uri", "gopher://x"), {}, "gopher"),
        (("runs",), {"TRACKLIGHT_FSYNC": "sometimes"}, "'sometimes'"),
        (("runs", "--uri", NOBODY), {}, "Connection refused"),
    ],
)
def test_an_error_is_one_line_that_names_the_value(
    project: Path, arguments: tuple[str, ...], environment: dict[str, str], message: str
) -> None:
    done = tracklight(*arguments, **environment)
    assert done.returncode == 1
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_version_is_printed() -> None:
    assert tracklight("--version").stdout.startswith("tracklight 0.")
