"""Reading a journal in order, while it is written or after its process died."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from tracklight.journal.frame import HEADER_BYTES, MAGIC, Frame, decode_record, scan_frames
from tracklight.journal.segment import SegmentName, list_segments
from tracklight.model.record import Record

Tail = Callable[[], tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Entry:
    """A record and its number in the journal. ``record`` is None where this version cannot read it."""

    sequence: int
    record: Record | None


class Reader:
    """Reads a journal's records from a sequence number on, and counts what is damaged.

    ``tail`` tells how far a journal that is being written may be read; without it all that is on disk is.
    Not thread-safe: one reader per thread.
    """

    def __init__(self, folder: Path, next_sequence: int, tail: Tail | None = None) -> None:
        self._folder = folder
        self._tail = tail
        self._segment: SegmentName | None = None
        self._offset = 0
        self.next_sequence = next_sequence
        self.damaged = 0
        """Records that were in the journal and cannot be read: gaps in the sequence."""
        self.torn = 0
        """Appends that the death of the process cut short: they had not returned."""

    def read(self, max_records: int) -> list[Entry]:
        """Return the next records, at most so many; an empty list at the end of what is there now.

        Raises:
            OSError: a segment cannot be read; nothing is skipped by that.
        """
        entries: list[Entry] = []
        while len(entries) < max_records:
            try:
                frames = self._frames()
            except OSError:
                if entries:
                    break  # these are read and would be skipped; the next call meets the error again
                raise
            if frames is None:
                break
            for frame in frames:
                self._offset = frame.end
                if frame.sequence < self.next_sequence:
                    continue
                self.damaged += frame.sequence - self.next_sequence
                self.next_sequence = frame.sequence + 1
                entries.append(Entry(frame.sequence, _decode(frame)))
                if len(entries) == max_records:
                    break
        return entries

    def _frames(self) -> Iterator[Frame] | None:
        """Return the frames that follow in the present segment or the next one; None where there are none yet."""
        writing, written = self._tail() if self._tail else (None, 0)
        if self._segment is not None and self._segment.first_sequence == writing and self._offset >= written:
            return None
        names = list_segments(self._folder)
        if self._segment is None:
            self._segment = _segment_of(names, self.next_sequence)
            if self._segment is None:
                return None
        while True:
            is_written = self._segment.first_sequence == writing
            data = (
                self._read_from(self._segment, written if is_written else None)
                if self._segment in names
                else b""
            )
            if next(scan_frames(data, 0, self._segment.salt), None) is not None:
                base = self._offset
                return (
                    Frame(frame.sequence, frame.payload, base + frame.start, base + frame.end)
                    for frame in scan_frames(data, 0, self._segment.salt)
                )
            following = next((name for name in names if name > self._segment), None)
            if is_written or following is None:
                if self._tail is None and (MAGIC in data or any(data[:HEADER_BYTES])):
                    self.torn = max(1, data.count(MAGIC))
                return None
            self._segment, self._offset = following, 0

    def _read_from(self, name: SegmentName, end: int | None) -> bytes:
        descriptor = os.open(self._folder / str(name), os.O_RDONLY | os.O_CLOEXEC)
        try:
            size = os.fstat(descriptor).st_size if end is None else end
            return os.pread(descriptor, max(0, size - self._offset), self._offset)
        finally:
            os.close(descriptor)


def _segment_of(names: list[SegmentName], sequence: int) -> SegmentName | None:
    """Return the segment where this number is, or the first after it."""
    earlier = [name for name in names if name.first_sequence <= sequence]
    return earlier[-1] if earlier else next(iter(names), None)


def _decode(frame: Frame) -> Record | None:
    try:
        record: Record = decode_record(frame.payload)
    except msgspec.MsgspecError:
        return None
    return record
