from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import pytest

from tracklight.journal.folder import JournalFolder, JournalInfo
from tracklight.journal.journal import Journal, JournalLimits
from tracklight.journal.reader import Reader
from tracklight.model.record import Metrics, Params, Record, Tags

WriteJournal = Callable[..., Path]


@pytest.fixture
def info() -> JournalInfo:
    return JournalInfo(
        destinations=("http://127.0.0.1:1",),
        experiment_name="x",
        host="here",
        pid=1,
        created_ms=1_700_000_000_000,
    )


@pytest.fixture
def make_folder(tmp_path: Path, info: JournalInfo) -> Callable[[], JournalFolder]:
    return lambda: JournalFolder.create(tmp_path / "journals", info)


@pytest.fixture
def write_journal(make_folder: Callable[[], JournalFolder]) -> WriteJournal:
    """Write records to a journal, as a process that has ended since; return its folder."""

    def write(records: Iterable[Record], segment_bytes: int = 1 << 20) -> Path:
        journal = Journal(make_folder, JournalLimits(segment_bytes=segment_bytes, fsync="never"))
        for record in records:
            journal.append(record)
        journal.close()
        assert journal.folder is not None
        journal.folder.release()
        return journal.folder.path

    return write


@pytest.fixture
def read_journal() -> Callable[[Path], tuple[list[Record | None], Reader]]:
    """Read all of a journal; return the records and the reader, which has counted what is damaged."""

    def read(path: Path) -> tuple[list[Record | None], Reader]:
        reader = Reader(path, 1)
        records: list[Record | None] = []
        while entries := reader.read(1000):
            records += [entry.record for entry in entries]
        return records, reader

    return read


@pytest.fixture
def mixed_records() -> Callable[[int], Sequence[Record]]:
    """Make records of different kinds and lengths, each different from all others."""

    def make(count: int) -> Sequence[Record]:
        kinds: tuple[Callable[[int], Record], ...] = (
            lambda number: Metrics("run", number, number, {"loss": number / 3}),
            lambda number: Params("run", {f"param{number}": "x" * (number % 50)}),
            lambda number: Tags("run", {"tag": f"{number}", "more": "é" * (number % 7)}),
        )
        return [kinds[number % 3](number) for number in range(count)]

    return make
