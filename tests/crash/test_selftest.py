"""The command that a user runs on the disk of their own, in short."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tracklight.model.run import RunStatus
from tracklight.settings import Settings
from tracklight.testing.crash_audit import Witness, audit
from tracklight.testing.crash_plan import Call, Moment, content_of, plan_calls, run_name
from tracklight.testing.faulty_server import FaultyServer
from tracklight.tracking.tracker import Tracker


def selftest(folder: Path, kills: int, seed: int) -> subprocess.CompletedProcess[str]:
    command = [
        sys.executable,
        "-m",
        "tracklight.cli.selftest",
        "crash",
        "--kills",
        str(kills),
        "--seed",
        str(seed),
    ]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def check(folder: Path, kills: int, seed: int) -> None:
    ended = selftest(folder, kills, seed)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    first, *_, last = ended.stdout.splitlines()
    assert first == f"seed={seed}"
    assert re.fullmatch(r"accepted=[1-9]\d*, lost=0, duplicated=0", last)
    assert list(folder.iterdir()) == [], "nothing was lost, so nothing is kept"


@pytest.mark.timeout(200)
def test_ten_kills_lose_and_duplicate_nothing(project: Path) -> None:
    check(project, kills=10, seed=3)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(5))
def test_two_hundred_kills_lose_and_duplicate_nothing(project: Path, seed: int) -> None:
    check(project, kills=200, seed=seed)


@pytest.fixture
def calls() -> list[Call]:
    return [
        Call("start", run=0),
        Call("metrics", run=0, step=0, values=(("loss", 0.5), ("rate", 0.1))),
        Call("param", run=0, key="p", text="1"),
        Call("tag", run=0, key="t", text="2"),
        Call("artifact", run=0, key="file.bin", size_bytes=10),
        Call("end", run=0),
    ]


def log(server: FaultyServer, project: Path, *, without: str = "", twice: bool = False) -> None:
    """Log what the calls above say, by hand, and leave something out."""
    tracker = Tracker(
        "crash", settings=Settings(tracking_uri=server.uri, directory=project / ".t", strict=True)
    )
    for _ in range(1 + twice):
        run = tracker.start_run(run_name(1, 0))
        if without != "metric":
            run.log_metrics({"loss": 0.5, "rate": 0.1}, step=0)
        if without != "param":
            run.log_param("p", "1")
        if without != "tag":
            run.set_tag("t", "2")
        if without != "artifact":
            (project / "file.bin").write_bytes(content_of(Call("artifact", key="file.bin", size_bytes=10)))
            run.log_artifact(project / "file.bin")
        run.end(RunStatus.FAILED if without == "end" else RunStatus.FINISHED)
    assert tracker.close()


@pytest.mark.parametrize(
    ("without", "lost"), [("", 0), ("metric", 2), ("param", 1), ("tag", 1), ("artifact", 1), ("end", 1)]
)
def test_the_audit_sees_what_is_missing(
    faulty: FaultyServer, project: Path, calls: list[Call], without: str, lost: int
) -> None:
    log(faulty, project, without=without)
    result = audit(faulty.database, "crash", [Witness(1, calls, len(calls), was_killed=True)])
    assert (result.accepted, result.lost, result.duplicated) == (7, lost, 0)
    assert result.is_clean == (lost == 0)


def test_the_audit_sees_a_twin(faulty: FaultyServer, project: Path, calls: list[Call]) -> None:
    log(faulty, project, twice=True)
    result = audit(faulty.database, "crash", [Witness(1, calls, len(calls), was_killed=True)])
    assert (result.lost, result.duplicated) == (0, 1)


def test_the_audit_sees_what_was_never_logged(faulty: FaultyServer, project: Path, calls: list[Call]) -> None:
    log(faulty, project)
    result = audit(faulty.database, "crash", [Witness(1, calls[:1] + calls[2:], 5, was_killed=True)])
    assert len(result.findings) == 2
    assert all("never logged" in finding for finding in result.findings)


def test_the_audit_sees_a_run_that_was_never_started(faulty: FaultyServer, project: Path) -> None:
    log(faulty, project)
    assert audit(faulty.database, "crash", []).findings == [f"{run_name(1, 0)} was never started"]


@pytest.mark.parametrize("moment", Moment)
def test_a_plan_follows_from_its_seed(moment: Moment) -> None:
    assert plan_calls(1, 2, moment) == plan_calls(1, 2, moment)
    assert moment is Moment.DRAIN or plan_calls(1, 2, moment) != plan_calls(1, 3, moment)
