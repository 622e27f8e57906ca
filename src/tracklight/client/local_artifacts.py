"""Artifacts in a folder of this machine, or of a file system that it mounts."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import BinaryIO
from urllib.parse import unquote, urlsplit

from tracklight.client.transport import READ_SIZE_BYTES
from tracklight.errors import AccessDeniedError, ArtifactError, ServerError, ServerUnreachableError
from tracklight.wire.messages import FileInfo


def safe_path(artifact_path: str) -> PurePosixPath:
    """Return the path if it stays below its root however often it is percent-decoded.

    Raises:
        ArtifactError: it is empty, absolute, has "..", a NUL or another control character.
    """
    decoded = artifact_path
    for _ in range(10):
        parts = decoded.replace("\\", "/").split("/")
        if (
            not decoded
            or ".." in parts
            or parts[0] == ""
            or re.match(r"[A-Za-z]:[\\/]", decoded)
            or re.search(r"[\x00-\x1f\x7f]", decoded)
            or not PurePosixPath(decoded).parts
        ):
            raise ArtifactError(
                f"The artifact path {artifact_path!r} does not stay below the run's artifacts. Use a relative "
                "path with plain names, such as plots/loss.png."
            )
        again = unquote(decoded)
        if again == decoded:
            return PurePosixPath(artifact_path)
        decoded = again
    raise ArtifactError(f"The artifact path {artifact_path!r} is percent-encoded more than ten times.")


def root_of(artifact_uri: str) -> Path | None:
    """Return the folder that a path or a ``file:`` URI names, None for any other URI."""
    parts = urlsplit(artifact_uri)
    if parts.scheme == "":
        return Path(artifact_uri)
    if parts.scheme == "file":
        if parts.netloc not in ("", "localhost"):
            raise ArtifactError(f"{artifact_uri} names a folder of another host, {parts.netloc}.")
        return Path(unquote(parts.path))
    return None


def store(root: Path, path: PurePosixPath, source: Path) -> None:
    """Copy the file below the root; when this returns, it survives a power loss."""
    with opened(source) as file:
        target = _below(root, path)
        with _failures_of(target):
            target.parent.mkdir(parents=True, exist_ok=True)
        # Once more: a folder may have become a link meanwhile.
        target = _below(root, path)
        with replacing(target) as sink:
            _copy(file, sink, source)


def fetch(root: Path, path: PurePosixPath, sink: BinaryIO) -> None:
    """Copy the artifact into the open file."""
    copy(_below(root, path), sink)


def copy(source: Path, sink: BinaryIO) -> None:
    """Copy the file at ``source`` into the open file."""
    with opened(source) as file:
        _copy(file, sink, source)


def list_folder(root: Path, path: PurePosixPath) -> tuple[FileInfo, ...]:
    """Return what is directly in the folder, links out of the root aside."""
    folder = _below(root, path)
    if not folder.is_dir():
        return ()
    with _failures_of(folder):
        return tuple(
            FileInfo(
                str(path / entry.name),
                entry.is_dir(),
                None if entry.is_dir() else entry.stat().st_size,
            )
            for entry in os.scandir(folder)
            if not entry.is_symlink() or Path(entry.path).resolve().is_relative_to(root.resolve())
        )


@contextlib.contextmanager
def opened(source: Path) -> Iterator[BinaryIO]:
    """Open a file of the user or the spool.

    Raises:
        ArtifactError: it is not there, not a file, or not readable.
    """
    try:
        file = source.open("rb")
    except OSError as error:
        raise ArtifactError(f"The file {source} cannot be read: {error.strerror}.") from error
    with file:
        yield file


@contextlib.contextmanager
def replacing(target: Path) -> Iterator[BinaryIO]:
    """Give a new file that takes the target's place, flushed to the disk, if the block succeeds."""
    temporary = target.with_name(f".{secrets.token_hex(8)}.part")
    try:
        with _failures_of(target):
            file = temporary.open("xb")
        with _failures_of(target), file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        with _failures_of(target):
            temporary.replace(target)
            _flush_folder(target.parent)
    finally:
        temporary.unlink(missing_ok=True)


def _copy(file: BinaryIO, sink: BinaryIO, source: Path) -> None:
    with _failures_of(source):
        shutil.copyfileobj(file, sink, READ_SIZE_BYTES)


def _below(root: Path, path: PurePosixPath) -> Path:
    """Return the place of the path, whose folder is really below the root once links are followed."""
    real_root = root.absolute().resolve()
    folder = (real_root / path.parent).resolve()
    target = folder / path.name
    if not folder.is_relative_to(real_root) or not target.resolve().is_relative_to(real_root):
        raise ArtifactError(f"The artifact path {str(path)!r} leads out of {root} by a link.")
    return target


def _flush_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _failures_of(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise _error_of(path, error) from error


def _error_of(path: Path, error: OSError) -> ServerError | ArtifactError:
    if isinstance(error, (IsADirectoryError, NotADirectoryError, FileExistsError)):
        return ArtifactError(f"{path} cannot hold a file: {error.strerror}. Use another artifact path.")
    if isinstance(error, PermissionError):
        return AccessDeniedError(f"{path} cannot be used: {error.strerror}. Grant the permission.")
    return ServerUnreachableError(
        f"{path} cannot be used now: {error.strerror}. Check the disk; it can be tried again."
    )
