"""The journal that a process appends its records to.

One lock guards the segment that is being written; a thread that the journal owns writes dirty pages to the
disk. A fork's child starts a journal of its own the first time it appends.
"""

from __future__ import annotations

import contextlib
import threading
import time
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from tracklight.errors import JournalClosedError, JournalFullError
from tracklight.journal.folder import JournalFolder
from tracklight.journal.frame import (
    HEADER_BYTES,
    MAGIC,
    encode_frame,
    encode_record,
    pack_body,
    pack_head,
    padded,
)
from tracklight.journal.periodic import Periodic
from tracklight.journal.segment import Segment, sync_folder
from tracklight.model.record import Metrics, Record

FsyncPolicy = Literal["interval", "always", "never"]

RESERVE_BYTES = 256 << 10
ROTATION_ATTEMPTS = 3
RETRY_ROTATION_SECONDS = 1.0
BACKLOG_RECORDS = 10_000
MEND = "Free some space, or set TRACKLIGHT_DIRECTORY to a folder that can be written."


@dataclass(frozen=True, slots=True)
class JournalLimits:
    """How large a journal's files are, and when they reach the disk."""

    segment_bytes: int = 8 << 20
    journal_bytes: int = 2 << 30
    fsync: FsyncPolicy = "interval"
    fsync_interval_seconds: float = 0.5

    @property
    def reserve_bytes(self) -> int:
        """The end of each segment that is kept for the records that a full disk must not lose."""
        return min(RESERVE_BYTES, self.segment_bytes // 8)


class Journal:
    """Records in order, on disk, until every destination has acknowledged them.

    When `append` returns, the record survives a kill of the process; with ``fsync="always"`` also a power
    loss, with ``"interval"`` a power loss one interval later. Thread-safe. Never waits for a network.

    At the size limit, or on a full disk, metrics are refused and counted; everything else is still written,
    into the reserve at the end of the segment and then, up to 10,000 records, kept in memory until it fits.
    """

    def __init__(
        self,
        make_folder: Callable[[], JournalFolder],
        limits: JournalLimits = JournalLimits(),
        *,
        preamble: Callable[[], Iterable[Record]] = tuple,
        on_open: Callable[[JournalFolder], None] = lambda _folder: None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Prepare a journal; its folder is made by the first `append`.

        ``preamble`` gives the records that a new folder begins with (after a fork: the runs that go on);
        ``on_open`` is told of each folder that was made.
        """
        self._make_folder = make_folder
        self._limits = limits
        self._preamble = preamble
        self._on_open = on_open
        self._monotonic = monotonic
        self.dropped_metrics = 0
        self.disk_error: OSError | None = None
        self._accepted_before = 0
        self.restart_after_fork()

    def restart_after_fork(self) -> None:
        """Leave the folder to the parent process; the next `append` makes a new one."""
        self._lock = threading.RLock()
        self._sync_lock = threading.Lock()
        self._closed = False
        self._reset()

    def _reset(self) -> None:
        self._segment: Segment | None = None
        self._salt = 0
        self._offset = 0
        self._room_end = 0  # frames of any kind may end here, the reserve begins
        self._fast_end = 0  # the same, or 0: the next append goes the slow way
        self._next_sequence = 1
        self._sealed: list[tuple[Segment, int]] = []
        self._sealed_bytes = 0
        self._backlog: list[Record] = []
        self._next_rotation = 0.0
        self._synced = (0, 0)
        self._sync_thread: Periodic | None = None
        self._has_begun = False
        self.folder: JournalFolder | None = None

    @property
    def next_sequence(self) -> int:
        """The number that the next record gets; all smaller ones are in the journal."""
        return self._next_sequence

    @property
    def accepted(self) -> int:
        """How many records were appended in the life of this object."""
        return self._accepted_before + self._next_sequence - 1

    @property
    def size_bytes(self) -> int:
        """The bytes of segments that some destination has not acknowledged."""
        return self._sealed_bytes + self._offset

    @property
    def backlog(self) -> int:
        """Records in memory that a full disk had no room for yet."""
        return len(self._backlog)

    def append(self, record: Record) -> None:
        """Write the record to the journal.

        Raises:
            JournalFullError: the size limit is reached or the disk is full; nothing was written.
            JournalClosedError: the journal was closed.
        """
        payload = encode_record(record)
        with self._lock:
            start = self._offset
            end = start + HEADER_BYTES + len(payload)
            if end > self._fast_end:
                self._append_slowly(record, payload)
                return
            # `encode_frame` and `padded`, written out: every logged point passes here
            body = pack_body(len(payload), self._next_sequence) + payload
            self._segment.bytes[start:end] = pack_head(MAGIC, zlib.crc32(body, self._salt)) + body  # type: ignore[union-attr]
            self._next_sequence += 1  # first: an exception between the two leaves a gap, never a number twice
            self._offset = (end + 7) & -8

    def tail(self) -> tuple[int, int]:
        """Return the first sequence of the segment being written (0: none) and the end of its frames."""
        with self._lock:
            return (self._segment.name.first_sequence if self._segment else 0), self._offset

    def forget(self, before_sequence: int) -> None:
        """Delete the segments that hold no record from ``before_sequence`` on: all have acknowledged them.

        Raises:
            OSError: a file cannot be deleted.
        """
        with self._lock:
            if self.folder is not None:
                self._sealed_bytes -= self.folder.delete_segments(before_sequence)

    def sync(self) -> None:
        """Write everything appended so far to the disk; an error is kept in ``disk_error`` and tried again."""
        with self._sync_lock:
            with self._lock:
                if self._backlog and not self._closed:
                    self._write_backlog()
                sealed, self._sealed = self._sealed, []
                segment, position = self._segment, self.tail()
            try:
                while sealed:
                    sealed[0][0].sync()
                    sealed.pop(0)[0].close()
                if segment is not None and self.folder is not None and position != self._synced:
                    segment.sync()
                    sync_folder(self.folder.path)
                    self._synced = position
                if not self._backlog:
                    self.disk_error = None
            except OSError as error:
                self._keep_dirty(error, sealed, segment)

    def close(self) -> None:
        """Write what is in memory and on dirty pages to the disk, and take no more records."""
        with self._lock:
            if self._closed:
                return
            self._next_rotation = 0.0  # the last chance is taken at once
            self._write_backlog()
            self._closed = True
            self._fast_end = 0
        if self._sync_thread is not None:
            self._sync_thread.stop()
        if self._limits.fsync != "never":
            self.sync()
        with self._lock:
            for segment, _ in self._sealed:
                segment.close()
            if self._segment is not None:
                self._segment.seal(self._offset)
                self._segment.close()
                self._segment = None

    def detach(self, acknowledged: int) -> JournalFolder | None:
        """Give up the folder when all its records are below ``acknowledged``; the next `append` makes a new one.

        Returns the folder, which is the caller's now, or None where there is none or something was appended.
        """
        with self._sync_lock, self._lock:
            if self._closed or self._next_sequence > acknowledged or self._backlog:
                return None
            if self._sync_thread is not None:
                self._sync_thread.stop()
            self._seal()
            for segment, _ in self._sealed:
                segment.close()
            folder = self.folder
            self._accepted_before += self._next_sequence - 1
            self._reset()
            return folder

    def _append_slowly(self, record: Record, payload: bytes) -> None:
        if self._closed:
            raise JournalClosedError("The journal is closed: log before the tracker is closed, not after.")
        points = len(record.values) if isinstance(record, Metrics) else 0
        if points and self.size_bytes >= self._limits.journal_bytes:
            self.dropped_metrics += points
            raise JournalFullError(
                f"The journal holds {self.size_bytes:,} bytes that no server has taken yet and may hold "
                f"{self._limits.journal_bytes:,}: metrics are refused until it drains. "
                "Make the server reachable, or raise TRACKLIGHT_JOURNAL_BYTES."
            )
        if self._backlog:
            self._write_backlog()
        if not self._backlog and (self._fits(payload, self._room_end) or self._rotate(payload)):
            self._write(payload)
            self._choose_path()
        elif points:
            self.dropped_metrics += points
            raise JournalFullError(
                f"The journal cannot be written ({self.disk_error}): metrics are refused until it can. {MEND}"
            )
        elif not self._backlog and self._segment and self._fits(payload, self._segment.size_bytes):
            self._write(payload)
        elif len(self._backlog) < BACKLOG_RECORDS:
            self._backlog.append(record)
            self._fast_end = 0  # what comes later is written later
        else:
            raise JournalFullError(
                f"The journal cannot be written ({self.disk_error}), and {BACKLOG_RECORDS:,} records wait in "
                f"memory: this record is lost. {MEND}"
            )

    def _choose_path(self) -> None:
        """Send the next appends the slow way while anything about them needs a decision."""
        is_over_limit = self.size_bytes >= self._limits.journal_bytes
        must_decide = is_over_limit or self._backlog or self._limits.fsync == "always"
        self._fast_end = 0 if must_decide else self._room_end

    def _fits(self, payload: bytes, end: int) -> bool:
        return self._offset + HEADER_BYTES + len(payload) <= end

    def _write(self, payload: bytes) -> None:
        assert self._segment is not None
        frame = encode_frame(payload, self._next_sequence, self._salt)
        end = self._offset + len(frame)
        self._segment.bytes[self._offset : end] = frame
        self._next_sequence += 1
        self._offset = padded(end)
        if self._limits.fsync == "always":
            try:
                self._segment.sync()
            except OSError as error:
                self._keep_dirty(error, [], self._segment)

    def _rotate(self, payload: bytes) -> bool:
        """Go on in a new segment that has room for the payload; return False where the disk has none."""
        if self._monotonic() < self._next_rotation:
            return False
        reserve = self._limits.reserve_bytes
        size = max(self._limits.segment_bytes, padded(HEADER_BYTES + len(payload)) + reserve)
        segment = self._make_segment(size)
        if segment is None:
            self._next_rotation = self._monotonic() + RETRY_ROTATION_SECONDS
            return False
        self._seal()
        self._segment, self._salt, self._offset = segment, segment.name.salt, 0
        self._room_end = size - reserve
        self._choose_path()
        if not self._has_begun and self.folder is not None:
            self._begin(self.folder)
        self._write_backlog()
        return True

    def _make_segment(self, size_bytes: int) -> Segment | None:
        """A disk that fails once loses nothing: it is asked again at once."""
        for _ in range(ROTATION_ATTEMPTS):
            try:
                self.folder = self.folder or self._make_folder()
                return Segment(self.folder.path, self._next_sequence, size_bytes)
            except OSError as error:
                self.disk_error = error
        return None

    def _seal(self) -> None:
        if self._segment is None:
            return
        self._sealed_bytes += self._segment.seal(self._offset)
        if self._limits.fsync == "interval":
            self._sealed.append((self._segment, self._offset))
        else:
            self._segment.close()

    def _begin(self, folder: JournalFolder) -> None:
        self._has_begun = True
        for record in self._preamble():
            self.append(record)
        if self._limits.fsync == "always":
            try:
                sync_folder(folder.path)
            except OSError as error:
                self.disk_error = error
        elif self._limits.fsync == "interval":
            with contextlib.suppress(RuntimeError):  # no thread starts while the interpreter shuts down
                self._sync_thread = Periodic(
                    "tracklight-fsync", self.sync, self._limits.fsync_interval_seconds
                )
        self._on_open(folder)

    def _write_backlog(self) -> None:
        backlog, self._backlog = self._backlog, []
        for written, record in enumerate(backlog):
            payload = encode_record(record)
            if not self._fits(payload, self._room_end) and not self._rotate(payload):
                self._backlog = backlog[written:]
                self._fast_end = 0
                return
            self._write(payload)

    def _keep_dirty(self, error: OSError, sealed: list[tuple[Segment, int]], segment: Segment | None) -> None:
        """After a failed sync the kernel takes the pages for clean: touch them, so that they are tried again."""
        with self._lock:
            self.disk_error = error
            self._sealed[:0] = sealed
            with contextlib.suppress(OSError):  # a disk that fails again: the next sync meets it
                for kept, used_bytes in sealed:
                    kept.touch(used_bytes)
                if segment is not None and segment is self._segment:
                    segment.touch(self._offset)
