"""Looking at a journal without owning it: what it holds, what was acknowledged, what is damaged."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tracklight.journal.cursor import Cursor, CursorFile
from tracklight.journal.folder import JournalInfo, is_owned, list_journals, read_info
from tracklight.journal.reader import Entry, Reader
from tracklight.journal.refusal import Refusal
from tracklight.journal.segment import list_segments

READ_RECORDS = 10_000


@dataclass(frozen=True, slots=True)
class Survey:
    """A journal as it was found on disk. A journal that is being written may be further by now."""

    path: Path
    info: JournalInfo
    is_owned: bool
    records: int
    next_sequence: int
    damaged: int
    torn: int
    size_bytes: int
    cursors: tuple[Cursor, ...]
    refusals: tuple[Refusal, ...]

    def waiting_for(self, cursor: Cursor) -> int:
        """Return how many records this destination has not acknowledged."""
        return max(0, self.next_sequence - cursor.next_sequence)

    @property
    def is_finished(self) -> bool:
        """Everything was taken or refused; the journal is kept for what was refused."""
        return all(self.waiting_for(cursor) == 0 and not cursor.links for cursor in self.cursors)


def survey(path: Path) -> Survey:
    """Read all of a journal.

    Raises:
        JournalError: there is no journal.
        OSError: a file cannot be read.
    """
    info = read_info(path)
    owned = is_owned(path)
    reader = Reader(path, _first_sequence(path))
    records = sum(1 for _ in _read_all(reader))
    files = [CursorFile(path, destination) for destination in info.destinations]
    return Survey(
        path=path,
        info=info,
        is_owned=owned,
        records=records,
        next_sequence=reader.next_sequence,
        damaged=reader.damaged,
        torn=0 if owned else reader.torn,
        size_bytes=sum(file.stat().st_size for file in path.rglob("*") if file.is_file()),
        cursors=tuple(file.load() for file in files),
        refusals=tuple(refusal for file in files for refusal in file.refusals()),
    )


def read_entries(path: Path) -> Iterator[Entry]:
    """Yield a journal's records that are still on disk, oldest first.

    Raises:
        OSError: a file cannot be read.
    """
    return _read_all(Reader(path, _first_sequence(path)))


def is_kept_for_refusals(path: Path) -> bool:
    """Tell whether a journal has nothing to send, and is there for what was refused. Reads only its newest segment.

    Raises:
        JournalError: there is no journal.
        OSError: a file cannot be read.
    """
    segments = list_segments(path)
    reader = Reader(path, segments[-1].first_sequence if segments else 1)
    for _ in _read_all(reader):
        pass
    cursors = [CursorFile(path, destination).load() for destination in read_info(path).destinations]
    if not any(cursor.refused for cursor in cursors):
        return False
    return all(cursor.next_sequence >= reader.next_sequence and not cursor.links for cursor in cursors)


def find_journals(place: Path) -> list[Path]:
    """Return the journals that a person means by a path: a project, its ``.tracklight``, or one journal."""
    for journals in (place / ".tracklight" / "journals", place / "journals", place):
        found = list_journals(journals)
        if found:
            return found
    return [place] if (place / "journal.json").exists() else []


def _first_sequence(path: Path) -> int:
    segments = list_segments(path)
    return segments[0].first_sequence if segments else 1


def _read_all(reader: Reader) -> Iterator[Entry]:
    while entries := reader.read(READ_RECORDS):
        yield from entries
