"""How far a writer came: a few bytes that outlive it."""

from __future__ import annotations

import mmap
import struct
from pathlib import Path
from typing import Self

_COUNTERS = struct.Struct("<QQQ")


class CrashBoard:
    """Three counters in a mapped file, which the kernel keeps when the process that wrote them is killed.

    ``returned`` is how many calls of the plan have returned; ``is_closing``: the writer has begun to close;
    ``is_over``: it has nothing more to do.
    """

    def __init__(self, path: Path) -> None:
        with path.open("r+b") as file:
            self._bytes = mmap.mmap(file.fileno(), _COUNTERS.size)

    @classmethod
    def create(cls, path: Path) -> Self:
        path.write_bytes(bytes(_COUNTERS.size))
        return cls(path)

    @property
    def returned(self) -> int:
        return int(_COUNTERS.unpack_from(self._bytes)[0])

    @property
    def is_closing(self) -> bool:
        return bool(_COUNTERS.unpack_from(self._bytes)[1])

    @property
    def is_over(self) -> bool:
        return bool(_COUNTERS.unpack_from(self._bytes)[2])

    def note_returned(self, calls: int) -> None:
        """Say that so many calls have returned."""
        self._bytes[0:8] = calls.to_bytes(8, "little")

    def note_closing(self) -> None:
        """Say that the writer begins to close."""
        self._bytes[8:16] = (1).to_bytes(8, "little")

    def note_over(self) -> None:
        """Say that nothing more is to be done."""
        self._bytes[16:24] = (1).to_bytes(8, "little")

    def close(self) -> None:
        self._bytes.close()
