"""A segment: a preallocated file, mapped into memory, that frames are appended to.

A segment's name is its header: ``<first sequence>-<salt>.tlj``, both hexadecimal. Its blocks are allocated
before it is mapped, so a full disk shows as an error when a segment is made, never as a signal when a byte
is written.
"""

from __future__ import annotations

import errno
import mmap
import os
import secrets
from dataclasses import dataclass
from pathlib import Path

SUFFIX = ".tlj"


@dataclass(frozen=True, slots=True, order=True)
class SegmentName:
    """Which records a segment file holds, and the salt of their checksums."""

    first_sequence: int
    salt: int

    def __str__(self) -> str:
        return f"{self.first_sequence:016x}-{self.salt:08x}{SUFFIX}"

    @classmethod
    def find(cls, path: Path) -> SegmentName | None:
        """Return what a file's name says, None where it is not a segment."""
        first, _, salt = path.name.removesuffix(SUFFIX).partition("-")
        if path.suffix != SUFFIX or len(first) != 16 or len(salt) != 8:
            return None
        try:
            return cls(int(first, 16), int(salt, 16))
        except ValueError:
            return None


def list_segments(folder: Path) -> list[SegmentName]:
    """Return the segments in a journal's folder, oldest first."""
    return sorted(name for path in folder.iterdir() if (name := SegmentName.find(path)) is not None)


class Segment:
    """The segment that is being written. One process writes it; the journal's lock guards it."""

    def __init__(self, folder: Path, first_sequence: int, size_bytes: int) -> None:
        """Create, allocate and map the file.

        Raises:
            OSError: the disk is full, a quota is reached, or the folder cannot be written; nothing is left behind.
        """
        self.name = SegmentName(first_sequence, secrets.randbits(32))
        self.size_bytes = size_bytes
        self._path = folder / str(self.name)
        self.descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            _allocate(self.descriptor, size_bytes)
            self.bytes = mmap.mmap(self.descriptor, size_bytes)
        except BaseException:  # an interrupt too must leave no file behind
            os.close(self.descriptor)
            self._path.unlink(missing_ok=True)
            raise

    def sync(self) -> None:
        """Write the file to the disk. Releases the interpreter lock while it waits.

        Raises:
            OSError: the disk failed. The kernel then takes the file's pages for clean: `touch` them before
                the next call, or they never reach the disk.
        """
        _sync_data(self.descriptor)

    def touch(self, used_bytes: int) -> None:
        """Mark what is used as dirty again. Nobody may write to the segment meanwhile."""
        os.pwrite(self.descriptor, os.pread(self.descriptor, used_bytes, 0), 0)

    def seal(self, used_bytes: int) -> int:
        """Cut the file to what is used, and return its size; nothing is written to it any more.

        A file that the disk does not let be cut ends in zeros, which a reader steps over. The descriptor stays open.
        """
        self.bytes.close()
        try:
            os.ftruncate(self.descriptor, used_bytes)
        except OSError:
            return self.size_bytes
        return used_bytes

    def close(self) -> None:
        """Release the mapping and the descriptor; the file stays."""
        self.bytes.close()
        os.close(self.descriptor)


def sync_folder(folder: Path) -> None:
    """Write a folder's list of files to the disk, so that new names survive a power loss.

    Raises:
        OSError: the disk failed.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _allocate(descriptor: int, size_bytes: int) -> None:
    if hasattr(os, "posix_fallocate"):
        try:
            os.posix_fallocate(descriptor, 0, size_bytes)
        except OSError as error:
            if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS):
                raise
        else:
            return
    block = bytes(1 << 20)  # macOS and file systems without fallocate: write the blocks
    for start in range(0, size_bytes, len(block)):
        os.pwrite(descriptor, block[: min(len(block), size_bytes - start)], start)


_sync_data = getattr(os, "fdatasync", os.fsync)
