"""Where journals live, and who owns each.

::

    .tracklight/journals/<name>/
        owner.lock             locked by the process that appends or delivers; the kernel frees it when it dies
        journal.json           who wrote it, and where to
        <first>-<salt>.tlj     segments
        spool/                 files that wait to be uploaded
        <destination>.cursor.json, <destination>.refused.jsonl
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import shutil
import time
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import msgspec

from tracklight.errors import JournalBusyError, JournalError
from tracklight.journal.segment import list_segments

LOCK_FILE = "owner.lock"
INFO_FILE = "journal.json"
SPOOL = "spool"
DEBRIS_AGE_SECONDS = 3600.0


class JournalInfo(msgspec.Struct, frozen=True, kw_only=True):
    """Who wrote a journal, and where its records belong."""

    destinations: tuple[str, ...]
    experiment_name: str
    host: str
    pid: int
    created_ms: int
    parent: str | None = None
    """The journal of the process that this one was forked from."""
    format: int = 1


class JournalFolder:
    """A journal's folder, owned: while this object holds the lock, nobody else appends to it or delivers it."""

    def __init__(self, path: Path, info: JournalInfo, lock: int) -> None:
        self.path = path
        self.info = info
        self._lock = lock

    @property
    def name(self) -> str:
        """The journal's name, unique in the world for practical purposes."""
        return self.path.name

    @property
    def spool(self) -> Path:
        """Where files wait to be uploaded."""
        return self.path / SPOOL

    @classmethod
    def create(cls, journals: Path, info: JournalInfo) -> JournalFolder:
        """Make a new journal's folder under ``journals`` and lock it.

        Raises:
            OSError: the folder cannot be written; nothing visible is left behind.
        """
        make_private_folder(journals)
        ignore = journals.parent / ".gitignore"
        if not ignore.exists():
            with contextlib.suppress(OSError):  # a courtesy, no reason to have no journal
                write_private_file(ignore, b"*\n")
        created = datetime.fromtimestamp(info.created_ms / 1000, UTC)
        name = f"{created:%Y%m%dT%H%M%S}-{info.pid}-{secrets.token_hex(4)}"
        hidden = journals / f".{name}"
        hidden.mkdir(0o700)
        lock = None
        try:
            (hidden / SPOOL).mkdir(0o700)
            write_private_file(hidden / INFO_FILE, msgspec.json.encode(info))
            lock = _lock(hidden / LOCK_FILE)
            hidden.rename(journals / name)  # only now can others see it, locked
        except OSError:
            if lock is not None:
                os.close(lock)
            shutil.rmtree(hidden, ignore_errors=True)
            raise
        return cls(journals / name, info, lock)

    @classmethod
    def adopt(cls, path: Path) -> JournalFolder:
        """Take over the journal of a process that has ended.

        Raises:
            JournalBusyError: a live process owns it.
            JournalError: there is no journal.
        """
        info = read_info(path)
        try:
            lock = _lock(path / LOCK_FILE)
        except BlockingIOError:
            raise JournalBusyError(
                f"Journal {path} belongs to process {info.pid} on {info.host}, which is alive and delivers it."
            ) from None
        except OSError as error:
            raise JournalError(f"Journal {path} cannot be locked: {error}.") from error
        return cls(path, info, lock)

    def delete_segments(self, before_sequence: int) -> int:
        """Delete the segments that hold no record from ``before_sequence`` on; return the bytes they had.

        Raises:
            OSError: a file cannot be deleted.
        """
        freed = 0
        for name, following in pairwise(list_segments(self.path)):
            if following.first_sequence > before_sequence:
                break
            path = self.path / str(name)
            size = path.stat().st_size
            path.unlink()
            freed += size
        return freed

    def remove(self) -> None:
        """Delete the journal, whose records have all been acknowledged, and release it.

        Where the disk does not let it, the journal stays: the next tracker finds nothing to send, and deletes it.
        """
        hidden = self.path.with_name(f".{self.name}")
        with contextlib.suppress(OSError):
            self.path.rename(hidden)
            shutil.rmtree(hidden, ignore_errors=True)
        self.release()

    def release(self) -> None:
        """Let another process take over. In a fork's child this leaves the parent's lock alone."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1


def read_info(path: Path) -> JournalInfo:
    """Return who wrote the journal in this folder.

    Raises:
        JournalError: there is no journal.
    """
    try:
        return msgspec.json.decode((path / INFO_FILE).read_bytes(), type=JournalInfo)
    except (OSError, msgspec.MsgspecError) as error:
        raise JournalError(f"{path} is not a journal: {INFO_FILE} cannot be read ({error}).") from error


def list_journals(journals: Path) -> list[Path]:
    """Return the folders of all journals under ``journals``, oldest first."""
    if not journals.is_dir():
        return []
    return sorted(
        path for path in journals.iterdir() if not path.name.startswith(".") and (path / INFO_FILE).exists()
    )


def delete_debris(journals: Path, *, now: Callable[[], float] = time.time) -> None:
    """Delete the hidden folders that processes left which were killed while they made or deleted a journal."""
    for path in journals.glob(".*"):
        with contextlib.suppress(OSError):
            if path.is_dir() and now() - path.stat().st_mtime > DEBRIS_AGE_SECONDS:
                shutil.rmtree(path, ignore_errors=True)


def is_owned(path: Path) -> bool:
    """Tell whether a live process owns the journal in this folder."""
    try:
        os.close(_lock(path / LOCK_FILE))
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def make_private_folder(path: Path) -> None:
    """Make a folder, and those above it that are missing, that only this user can enter."""
    if not path.parent.exists():
        make_private_folder(path.parent)
    path.mkdir(0o700, exist_ok=True)


def write_private_file(path: Path, content: bytes) -> None:
    """Write a file that only this user can read, whole or not at all."""
    hidden = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(hidden, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        hidden.replace(path)
    except OSError:
        hidden.unlink(missing_ok=True)
        raise


def _lock(path: Path) -> int:
    """Lock a file and return its descriptor.

    `flock` belongs to the open file: a fork's child can close its copy without freeing it, and the kernel frees
    it when the process dies.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(descriptor).st_ino != path.stat().st_ino:
            raise FileNotFoundError(f"{path} was removed by its former owner")
    except OSError:
        os.close(descriptor)
        raise
    return descriptor
