"""What `Journal.append` promises to the program."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tracklight.errors import JournalClosedError, JournalFullError
from tracklight.journal.folder import JournalFolder
from tracklight.journal.journal import FsyncPolicy, Journal, JournalLimits
from tracklight.journal.reader import Reader
from tracklight.journal.segment import list_segments
from tracklight.model.record import Metrics, Params, Record, RunEnd, Tags
from tracklight.model.run import RunStatus

MakeFolder = Callable[[], JournalFolder]
Read = Callable[[Path], tuple[list[Record | None], Reader]]


@pytest.fixture
def open_journal(make_folder: MakeFolder) -> Callable[..., Journal]:
    def make(**limits: object) -> Journal:
        return Journal(make_folder, JournalLimits(**limits))

    return make


def folder_of(journal: Journal) -> Path:
    assert journal.folder is not None
    return journal.folder.path


def point(number: int) -> Metrics:
    return Metrics("run", number, number, {"loss": float(number)})


def test_a_record_is_on_disk_when_append_returns(
    open_journal: Callable[..., Journal], read_journal: Read
) -> None:
    journal = open_journal(fsync="never")
    for number in range(100):
        journal.append(point(number))
        assert read_journal(folder_of(journal))[0][-1] == point(number)
    journal.close()


def test_nothing_is_made_before_the_first_record(
    tmp_path: Path, open_journal: Callable[..., Journal]
) -> None:
    journal = open_journal()
    assert list(tmp_path.iterdir()) == []
    journal.close()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("fsync", ["interval", "always", "never"])
def test_records_keep_their_order_across_segments(
    open_journal: Callable[..., Journal],
    mixed_records: Callable[[int], Sequence[Record]],
    read_journal: Read,
    fsync: FsyncPolicy,
) -> None:
    records = list(mixed_records(1500))
    journal = open_journal(segment_bytes=1 << 14, fsync=fsync, fsync_interval_seconds=0.005)
    for record in records:
        journal.append(record)
    journal.close()
    assert len(list_segments(folder_of(journal))) > 4
    assert read_journal(folder_of(journal))[0] == records


def test_a_record_larger_than_a_segment_gets_a_segment_of_its_own_size(
    open_journal: Callable[..., Journal], read_journal: Read
) -> None:
    records = [point(1), Params("run", {"large": "x" * 500_000}), point(2)]
    journal = open_journal(segment_bytes=1 << 14, fsync="never")
    for record in records:
        journal.append(record)
    journal.close()
    assert read_journal(folder_of(journal))[0] == records


def test_a_closed_journal_takes_nothing_more(open_journal: Callable[..., Journal]) -> None:
    journal = open_journal(fsync="never")
    journal.append(point(1))
    journal.close()
    journal.close()
    with pytest.raises(JournalClosedError):
        journal.append(point(2))


def test_at_the_size_limit_metrics_are_refused_and_counted_and_all_else_is_kept(
    open_journal: Callable[..., Journal], read_journal: Read
) -> None:
    journal = open_journal(segment_bytes=1 << 14, journal_bytes=1 << 16, fsync="never")
    kept: list[Record] = []
    refused = 0
    for number in range(3000):
        record = Metrics("run", number, number, {"loss": 1.0, "accuracy": 2.0})
        try:
            journal.append(record)
            kept.append(record)
        except JournalFullError:
            refused += 2
    others = [
        Params("run", {"late": "x" * 1000}),
        Tags("run", {"late": "tag"}),
        RunEnd("run", RunStatus.FINISHED, 1),
    ] * 20
    for other in others:
        journal.append(other)
    journal.close()
    assert refused > 0
    assert journal.dropped_metrics == refused
    assert read_journal(folder_of(journal))[0] == [*kept, *others]


def test_metrics_are_taken_again_once_the_journal_drains(open_journal: Callable[..., Journal]) -> None:
    journal = open_journal(segment_bytes=1 << 14, journal_bytes=1 << 16, fsync="never")

    def append_until_full() -> None:
        for number in range(3000):
            journal.append(point(number))

    with pytest.raises(JournalFullError):
        append_until_full()
    journal.forget(journal.next_sequence)
    journal.append(point(1))
    assert journal.size_bytes < 1 << 15
    journal.close()


def test_acknowledged_segments_are_deleted_and_the_others_kept(
    open_journal: Callable[..., Journal], read_journal: Read
) -> None:
    journal = open_journal(segment_bytes=1 << 14, fsync="never")
    for number in range(1, 2001):
        journal.append(point(number))
    journal.forget(1500)
    reader = Reader(folder_of(journal), 1500)
    found = [entry.record for entry in reader.read(1000)]
    assert found == [point(number) for number in range(1500, 2001)]
    assert reader.damaged == 0
    first = list_segments(folder_of(journal))[0].first_sequence
    assert 1000 < first <= 1500
    journal.close()


def test_32_threads_lose_nothing_and_keep_the_order_of_each(
    open_journal: Callable[..., Journal], read_journal: Read
) -> None:
    journal = open_journal(segment_bytes=1 << 15, fsync_interval_seconds=0.002)
    barrier = threading.Barrier(32)

    def work(thread: int) -> None:
        barrier.wait()
        for number in range(300):
            journal.append(Metrics(f"run{thread}", number, number, {"loss": 0.5}))

    threads = [threading.Thread(target=work, args=(thread,)) for thread in range(32)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    journal.close()
    records, reader = read_journal(folder_of(journal))
    assert reader.damaged == 0
    for thread in range(32):
        steps = [
            record.step
            for record in records
            if isinstance(record, Metrics) and record.run_id == f"run{thread}"
        ]
        assert steps == list(range(300))


def test_asyncio_tasks_append_side_by_side(open_journal: Callable[..., Journal], read_journal: Read) -> None:
    journal = open_journal(fsync="never")

    async def work(task: int) -> None:
        for number in range(20):
            journal.append(Metrics(f"run{task}", number, number, {"loss": 0.5}))
            await asyncio.sleep(0)

    async def all_at_once() -> None:
        await asyncio.gather(*(work(task) for task in range(50)))

    asyncio.run(all_at_once())
    journal.close()
    assert len(read_journal(folder_of(journal))[0]) == 1000


def test_a_reader_sees_every_record_while_the_journal_is_written(
    open_journal: Callable[..., Journal],
) -> None:
    journal = open_journal(segment_bytes=1 << 14, fsync="never")
    journal.append(point(0))
    reader = Reader(folder_of(journal), 1, journal.tail)
    writer = threading.Thread(target=lambda: [journal.append(point(number)) for number in range(1, 20_000)])
    writer.start()
    found: list[Record | None] = []
    while len(found) < 20_000:
        found += [entry.record for entry in reader.read(333)]
    writer.join()
    journal.close()
    assert found == [point(number) for number in range(20_000)]
    assert (reader.damaged, reader.torn) == (0, 0)
