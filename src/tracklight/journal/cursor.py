"""What one destination has acknowledged of one journal, and what it refused."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

import msgspec

from tracklight.journal.folder import write_private_file
from tracklight.journal.refusal import Refusal


class RunLink(msgspec.Struct, frozen=True, kw_only=True):
    """What a run is called on a destination."""

    run_id: str
    experiment_id: str
    artifact_uri: str


class Cursor(msgspec.Struct, kw_only=True):
    """All records below ``next_sequence`` are acknowledged or set aside.

    ``links`` has the runs that are not ended, by the tracker's id. Losing this file loses nothing: the
    records are sent again, and the server's rows do not change by that.
    """

    destination: str
    next_sequence: int = 1
    links: dict[str, RunLink] = msgspec.field(default_factory=dict)
    refused: int = 0
    damaged: int = 0


class CursorFile:
    """The two small files that a destination has in a journal's folder."""

    def __init__(self, folder: Path, destination: str) -> None:
        key = hashlib.sha256(destination.encode()).hexdigest()[:12]
        self._path = folder / f"{key}.cursor.json"
        self.refusals_path = folder / f"{key}.refused.jsonl"
        self._destination = destination

    def load(self) -> Cursor:
        """Return the cursor as it was saved last; one at the beginning where there is none that can be read."""
        try:
            cursor = msgspec.json.decode(self._path.read_bytes(), type=Cursor)
        except (OSError, msgspec.MsgspecError):
            return Cursor(destination=self._destination)
        return cursor if cursor.destination == self._destination else Cursor(destination=self._destination)

    def save(self, cursor: Cursor) -> None:
        """Write the cursor, whole or not at all.

        Raises:
            OSError: the disk is full or cannot be written.
        """
        write_private_file(self._path, msgspec.json.encode(cursor))

    def set_aside(self, refusals: Iterable[Refusal]) -> None:
        """Append records that were refused, each with the server's message.

        Raises:
            OSError: the disk is full or cannot be written.
        """
        lines = b"".join(msgspec.json.encode(refusal) + b"\n" for refusal in refusals)
        descriptor = os.open(self.refusals_path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "ab") as file:
            file.write(lines)

    def refusals(self) -> list[Refusal]:
        """Return what was set aside, oldest first; lines that cannot be read are left out."""
        try:
            lines = self.refusals_path.read_bytes().splitlines()
        except OSError:
            return []
        found = []
        for line in lines:
            try:
                found.append(msgspec.json.decode(line, type=Refusal))
            except msgspec.MsgspecError:
                continue
        return found
