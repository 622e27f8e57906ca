"""A disk that is really full: a small file system in memory."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tracklight.errors import JournalFullError
from tracklight.journal.folder import JournalFolder, JournalInfo
from tracklight.journal.journal import RETRY_ROTATION_SECONDS, Journal, JournalLimits
from tracklight.journal.reader import Reader
from tracklight.model.record import Metrics, Params, Record, RunEnd, RunStart, Tags
from tracklight.model.run import RunStatus

Read = Callable[[Path], tuple[list[Record | None], Reader]]


@dataclass
class SmallDisk:
    """A file system of two megabytes, and a file that fills it."""

    path: Path

    @property
    def ballast(self) -> Path:
        return self.path / "ballast"

    def fill(self) -> None:
        with self.ballast.open("ab", buffering=0) as file:
            for size in (1 << 16, 1 << 12):
                try:
                    while True:
                        file.write(bytes(size))
                except OSError:
                    continue

    def free(self) -> None:
        self.ballast.unlink()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[SmallDisk]:
    path = tmp_path / "disk"
    path.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(path)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode != 0:
        pytest.skip(
            "mounting a small file system takes root; tests/crash/test_faults.py has a full disk without it"
        )
    yield SmallDisk(path)
    subprocess.run(["umount", "--lazy", str(path)], check=True)


@dataclass
class Clock:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def journal(small_disk: SmallDisk, info: JournalInfo, clock: Clock) -> Iterator[Journal]:
    journal = Journal(
        lambda: JournalFolder.create(small_disk.path / "journals", info),
        JournalLimits(segment_bytes=1 << 16, fsync="never"),
        monotonic=clock,
    )
    yield journal
    journal.close()
    if journal.folder is not None:
        journal.folder.release()


def point(number: int) -> Metrics:
    return Metrics("run", number, number, {"loss": float(number)})


def append_until_full(journal: Journal) -> list[Record]:
    accepted: list[Record] = []
    for number in range(100_000):
        try:
            journal.append(point(number))
        except JournalFullError:
            return accepted
        accepted.append(point(number))
    raise AssertionError("the disk did not fill")


def path_of(journal: Journal) -> Path:
    assert journal.folder is not None
    return journal.folder.path


def test_on_a_full_disk_metrics_are_refused_and_counted_and_what_was_accepted_is_whole(
    journal: Journal, small_disk: SmallDisk, read_journal: Read
) -> None:
    journal.append(point(-1))
    small_disk.fill()
    accepted = append_until_full(journal)
    assert journal.dropped_metrics == 1
    assert "No space left" in str(journal.disk_error)
    assert read_journal(path_of(journal))[0] == [point(-1), *accepted]


def test_on_a_full_disk_tags_and_ends_go_into_the_reserve(
    journal: Journal, small_disk: SmallDisk, read_journal: Read
) -> None:
    journal.append(point(-1))
    small_disk.fill()
    accepted = append_until_full(journal)
    late = [Tags("run", {"late": "x" * 100}), RunEnd("run", RunStatus.FINISHED, 1)]
    for record in late:
        journal.append(record)
    assert journal.backlog == 0
    assert read_journal(path_of(journal))[0] == [point(-1), *accepted, *late]


def test_what_the_reserve_cannot_hold_waits_in_memory_and_follows_in_order_once_there_is_space(
    journal: Journal, small_disk: SmallDisk, clock: Clock, read_journal: Read
) -> None:
    journal.append(point(-1))
    small_disk.fill()
    accepted = append_until_full(journal)
    late: list[Record] = []
    for number in range(10):
        late += [Params("run", {f"large{number}": "x" * 3000}), Tags("run", {"last": str(number)})]
    for record in late:
        journal.append(record)
    assert journal.backlog > 0
    small_disk.free()
    clock.now += RETRY_ROTATION_SECONDS
    after = [point(number) for number in range(200_000, 200_500)]
    for record in after:
        journal.append(record)
    assert journal.backlog == 0
    records, reader = read_journal(path_of(journal))
    assert records == [point(-1), *accepted, *late, *after]
    assert reader.damaged == 0


def test_a_run_that_starts_on_a_full_disk_is_whole_once_there_is_space(
    journal: Journal, small_disk: SmallDisk, clock: Clock, read_journal: Read
) -> None:
    small_disk.fill()
    start = RunStart("run", "x", "", "", 1, {})
    journal.append(start)
    with pytest.raises(JournalFullError):
        journal.append(point(1))
    end = RunEnd("run", RunStatus.FINISHED, 1)
    journal.append(end)
    assert (journal.folder, journal.backlog, journal.dropped_metrics) == (None, 2, 1)
    small_disk.free()
    clock.now += RETRY_ROTATION_SECONDS
    journal.append(point(2))
    assert read_journal(path_of(journal))[0] == [start, end, point(2)]


def test_what_waits_in_memory_is_written_at_the_end_if_there_is_space_by_then(
    journal: Journal, small_disk: SmallDisk, read_journal: Read
) -> None:
    small_disk.fill()
    start = RunStart("run", "x", "", "", 1, {})
    journal.append(start)
    small_disk.free()
    journal.close()
    assert journal.backlog == 0
    assert read_journal(path_of(journal))[0] == [start]


def test_disk_full_again_and_again_loses_nothing_that_was_accepted(
    journal: Journal, small_disk: SmallDisk, clock: Clock, read_journal: Read
) -> None:
    accepted: list[Record] = [point(-1)]
    journal.append(point(-1))
    for _ in range(4):
        small_disk.fill()
        accepted += append_until_full(journal)
        small_disk.free()
        clock.now += RETRY_ROTATION_SECONDS
        journal.append(point(7))
        accepted.append(point(7))
    assert read_journal(path_of(journal))[0] == accepted
    assert journal.dropped_metrics == 4
