"""What all destinations of a journal have acknowledged, and so what may be deleted."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path


class Ledger:
    """Keeps the lowest acknowledged sequence of a journal's destinations and deletes what lies below it.

    Shared by the deliveries of one journal. Thread-safe.
    """

    def __init__(self, spool: Path, forget: Callable[[int], object]) -> None:
        """``forget`` deletes the segments that hold nothing from a sequence on."""
        self._spool = spool
        self._forget = forget
        self._lock = threading.Lock()
        self._acknowledged: dict[str, int] = {}
        self._spooled: dict[str, int] = {}
        self._kept: set[str] = set()

    def join(self, destination: str, next_sequence: int) -> None:
        """Let a destination take part; nothing at or above its position is deleted from now on."""
        with self._lock:
            self._acknowledged[destination] = next_sequence

    def note_spooled(self, sequence: int, spool_name: str) -> None:
        """Remember which record a spooled file belongs to."""
        with self._lock:
            self._spooled[spool_name] = sequence

    def keep(self, spool_name: str) -> None:
        """Never delete this file: a destination refused it, and somebody may want it."""
        with self._lock:
            self._kept.add(spool_name)

    def acknowledge(self, destination: str, next_sequence: int) -> None:
        """Move a destination forward and delete what nobody needs any more.

        Raises:
            OSError: a file cannot be deleted.
        """
        with self._lock:
            self._acknowledged[destination] = next_sequence
            lowest = min(self._acknowledged.values())
            for name in [name for name, sequence in self._spooled.items() if sequence < lowest]:
                if name not in self._kept:
                    (self._spool / name).unlink(missing_ok=True)
                del self._spooled[name]
        self._forget(lowest)
