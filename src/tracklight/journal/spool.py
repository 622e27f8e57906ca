"""Keeping a file until it is uploaded, so that the program may delete or change it at once."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
import shutil
from pathlib import Path
from typing import Literal

from tracklight.errors import ArtifactError
from tracklight.journal.folder import write_private_file

SpoolMode = Literal["copy", "link"]
_FICLONE = 0x40049409  # linux/fs.h: share the blocks of another file, copied when written


def spool_file(source: Path, spool: Path, mode: SpoolMode) -> tuple[str, int]:
    """Keep a file as it is now; return its name in the spool and its size in bytes.

    A copy shares its blocks where the file system can. ``link``, and a copy for which the disk has no room,
    is a hard link: instant, but a later change of the file shows in it.

    Raises:
        ArtifactError: the file cannot be read, or not be kept.
    """
    name = f"{secrets.token_hex(8)}{''.join(source.suffixes[-1:])}"
    target = spool / name
    try:
        if mode == "link":
            with contextlib.suppress(OSError):
                os.link(source, target)
                return name, target.stat().st_size
        return name, _copy(source, target)
    except OSError as error:
        raise ArtifactError(f"{source} cannot be kept for upload: {error}. It is not logged.") from error


def spool_text(text: str, spool: Path, suffix: str) -> tuple[str, int]:
    """Keep a text as a file in UTF-8; return its name in the spool and its size in bytes.

    Raises:
        ArtifactError: it cannot be kept.
    """
    name = f"{secrets.token_hex(8)}{suffix}"
    content = text.encode("utf-8")
    try:
        write_private_file(spool / name, content)
    except OSError as error:
        raise ArtifactError(
            f"A text of {len(content):,} bytes cannot be kept for upload: {error}."
        ) from error
    return name, len(content)


def _copy(source: Path, target: Path) -> int:
    hidden = target.with_name(f".{target.name}")
    descriptor = os.open(hidden, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with source.open("rb") as reading, os.fdopen(descriptor, "wb") as writing:
            try:
                fcntl.ioctl(writing.fileno(), _FICLONE, reading.fileno())
            except OSError:
                shutil.copyfileobj(reading, writing, 1 << 20)
        hidden.rename(target)
    except OSError as error:
        hidden.unlink(missing_ok=True)
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        os.link(source, target)
    return target.stat().st_size
