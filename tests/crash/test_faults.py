"""A program whose every k-th system call on the project's files fails ends as if nothing were wrong."""

from __future__ import annotations

import errno
import json
import os
import random
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tracklight.journal.drain import drain_journal
from tracklight.journal.folder import list_journals
from tracklight.model.run import RunStatus, TagKey
from tracklight.settings import Settings
from tracklight.testing.faulty_server import FaultyServer
from tracklight.testing.stored import StoredRun, read_runs
from tracklight.tracking.destinations import Destinations

CALLS = ("open", "write", "fallocate", "fsync", "rename", "unlink", "ftruncate")
SHORT_WRITE = 0
ERRORS = (errno.EIO, errno.ENOSPC, errno.EDQUOT, errno.EINTR, SHORT_WRITE)


@dataclass(frozen=True)
class Disk:
    """How a disk fails."""

    calls: tuple[str, ...]
    every: int
    first: int
    errors: tuple[int, ...] = ERRORS


def one_kind_each() -> list[Disk]:
    return [Disk((call,), every=3, first=1) for call in CALLS] + [
        Disk((call,), every=1, first=2, errors=(errno.EIO,)) for call in ("fsync", "ftruncate", "unlink")
    ]


def seeded(seeds: range) -> list[Disk]:
    disks = []
    for seed in seeds:
        chance = random.Random(seed)
        calls = tuple(chance.sample(CALLS, chance.randint(1, len(CALLS))))
        errors = tuple(chance.sample(ERRORS, chance.randint(1, len(ERRORS))))
        disks.append(Disk(calls, every=chance.randint(2, 25), first=chance.randint(1, 30), errors=errors))
    return disks


@pytest.mark.parametrize("disk", [*one_kind_each(), *seeded(range(6))], ids=repr)
def test_a_program_on_a_failing_disk_ends_normally_and_what_it_logged_arrives_or_is_counted(
    disk: Disk, failing_disk: Path, faulty: FaultyServer, tmp_path: Path
) -> None:
    check(disk, failing_disk, faulty, tmp_path)


@pytest.mark.long
@pytest.mark.parametrize("disk", seeded(range(6, 206)), ids=repr)
def test_a_program_survives_200_ways_for_a_disk_to_fail(
    disk: Disk, failing_disk: Path, faulty: FaultyServer, tmp_path: Path
) -> None:
    check(disk, failing_disk, faulty, tmp_path)


def check(disk: Disk, library: Path, server: FaultyServer, folder: Path) -> None:
    project, scratch, faults = folder / "bad", folder / "scratch", folder / "faults.log"
    project.mkdir()
    scratch.mkdir()
    environment = os.environ | {
        "LD_PRELOAD": str(library),
        "FAULT_FOLDER": str(project),
        "FAULT_EVERY": str(disk.every),
        "FAULT_FIRST": str(disk.first),
        "FAULT_CALLS": ",".join(disk.calls),
        "FAULT_ERRORS": ",".join(map(str, disk.errors)),
        "FAULT_LOG": str(faults),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    program = Path(__file__).with_name("fault_writer.py")
    ended = subprocess.run(
        [sys.executable, str(program), server.uri, str(project), str(scratch)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    told = ended.stderr
    assert ended.returncode == 0, told
    assert "Traceback" not in told, told
    if disk.every < 10 and disk.first < 10 and disk.calls != ("ftruncate",):
        assert faults.exists(), "no call failed: the test tests nothing"
    said = json.loads(ended.stdout.splitlines()[-1])
    deliver_the_rest(project, server.uri)
    lost_at_the_end = sum(
        int(count.replace(",", "")) for count in re.findall(r"([\d,]+) records are lost", told)
    )
    assert lost_at_the_end == 0 or not said["counted"]["end"], told
    assert list_journals(project / "journals") == []
    runs = [run for run in read_runs(server.database) if not run.is_deleted]
    if (
        lost_at_the_end and not runs
    ):  # whenever the journal was to be made, the disk failed: all of it is counted
        logged = sum(not was_counted for was_counted in said["counted"].values())
        assert lost_at_the_end == logged + 1, "and the tag that counts the points"
        return
    (run,) = runs
    missing = what_is_missing(run, said["counted"])
    assert len(missing) <= lost_at_the_end, missing
    if not lost_at_the_end:
        assert run.run_status is RunStatus.FINISHED
        assert len(run.points) == 600 - said["dropped"]
        assert run.tags.get(TagKey.DROPPED_METRICS, "0") == str(said["dropped"])


def deliver_the_rest(project: Path, uri: str) -> None:
    settings = Settings(tracking_uri=uri, directory=project)
    for path in list_journals(settings.journals):
        results = drain_journal(path, Destinations(settings).open_client)
        assert all(result.is_complete and not result.refused and not result.damaged for result in results), (
            results
        )


def what_is_missing(run: StoredRun, counted: dict[str, bool]) -> list[str]:
    steps = {point.step: point.value for point in run.points}
    assert len(steps) == len(run.points), "rows are there twice"
    missing = []
    for name, was_counted in counted.items():
        kind, _, number = name.partition(" ")
        step = int(number or 0)
        match kind:
            case "metric":
                is_there = steps.get(step) == step / 7
            case "param":
                is_there = run.params.get(f"param{step}") == "x" * (step * 5)
            case "tag":
                is_there = run.tags.get(f"tag{step}") == f"{step}"
            case "artifact":
                file = run.artifact_folder / f"file{step}.bin"
                is_there = file.is_file() and file.read_bytes() == bytes([step % 251]) * 100_000
            case _:
                is_there = True
        if is_there == was_counted:
            assert not is_there, f"{name} was counted as lost and is there"
            missing.append(name)
    return missing
