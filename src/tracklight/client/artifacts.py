"""Files of a run: to and from wherever its artifact URI points."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, BinaryIO
from urllib.parse import quote, unquote, urlsplit

import msgspec

from tracklight.client import local_artifacts
from tracklight.client.address import without_user
from tracklight.client.calls import Client
from tracklight.client.http import HttpTransport
from tracklight.client.local_artifacts import safe_path
from tracklight.errors import (
    ArtifactError,
    RequestRefusedError,
    ServerUnreachableError,
    TracklightError,
)
from tracklight.wire.codec import decode
from tracklight.wire.messages import FileInfo, FilesAnswer

if TYPE_CHECKING:
    from mlflow.store.artifact.artifact_repo import ArtifactRepository

PROXY_PATH = "/api/2.0/mlflow-artifacts/artifacts"
PROXY_SCHEMES = ("mlflow-artifacts", "http", "https")


def upload(client: Client, artifact_uri: str, artifact_path: str, local_path: str | Path) -> None:
    """Store a file as ``artifact_path`` (the whole path, its file name included) under the run's artifact URI.

    Whole or not at all; a file that is there already is replaced. Memory does not grow with the file.

    Raises:
        ServerError: not now, because of a network, a disk or a permission; the same call may succeed later.
        ArtifactError: never: the path leaves the root, the local file is gone, the server refuses it for good.
    """
    path, source = safe_path(artifact_path), Path(local_path)
    if (root := local_artifacts.root_of(artifact_uri)) is not None:
        local_artifacts.store(root, path, source)
    elif urlsplit(artifact_uri).scheme in PROXY_SCHEMES:
        with _proxy_of(client, artifact_uri) as (proxy, root_path), _opened(source) as file, _refusals(path):
            proxy.exchange(
                "PUT", f"{root_path}/{quote(str(path))}", body=file, content_type="application/octet-stream"
            )
    else:
        _upload_by_mlflow(artifact_uri, path, source)


def download(client: Client, artifact_uri: str, artifact_path: str, local_path: str | Path) -> None:
    """Write the artifact to the file ``local_path``, whole or not at all; the errors are those of `upload`."""
    path, target = safe_path(artifact_path), Path(local_path)
    with local_artifacts.replacing(target) as sink:
        if (root := local_artifacts.root_of(artifact_uri)) is not None:
            local_artifacts.fetch(root, path, sink)
        elif urlsplit(artifact_uri).scheme in PROXY_SCHEMES:
            with _proxy_of(client, artifact_uri) as (proxy, root_path), _refusals(path):
                proxy.exchange("GET", f"{root_path}/{quote(str(path))}", sink=sink)
        else:
            with tempfile.TemporaryDirectory() as folder, _mlflow_failures(artifact_uri):
                fetched = _repository(artifact_uri).download_artifacts(str(path), folder)
                local_artifacts.copy(Path(fetched), sink)


def list_artifacts(client: Client, artifact_uri: str, artifact_path: str = "") -> tuple[FileInfo, ...]:
    """Return files and folders directly under the path, ordered by path; empty where there is nothing."""
    path = safe_path(artifact_path) if artifact_path else PurePosixPath()
    if (root := local_artifacts.root_of(artifact_uri)) is not None:
        files = local_artifacts.list_folder(root, path)
    elif urlsplit(artifact_uri).scheme in PROXY_SCHEMES:
        files = _list_by_proxy(client, artifact_uri, path)
    else:
        with _mlflow_failures(artifact_uri):
            files = tuple(
                FileInfo(file.path, file.is_dir, file.file_size)
                for file in _repository(artifact_uri).list_artifacts(str(path) if path.parts else None)
            )
    return tuple(sorted(files, key=lambda file: file.path))


def _list_by_proxy(client: Client, artifact_uri: str, path: PurePosixPath) -> tuple[FileInfo, ...]:
    with _proxy_of(client, artifact_uri) as (proxy, root_path), _refusals(path):
        folder = PurePosixPath(unquote(root_path.removeprefix(PROXY_PATH)).lstrip("/")) / path
        answer = proxy.exchange("GET", PROXY_PATH, query=(("path", str(folder)),))
    try:
        found = decode(answer.body, FilesAnswer)
    except msgspec.MsgspecError as error:
        raise ServerUnreachableError(
            f"The list of artifacts under {without_user(artifact_uri)} is not MLflow's: {error}. "
            "Check the server's address."
        ) from error
    return tuple(
        FileInfo(str(path / PurePosixPath(file.path).name), file.is_dir, file.size_bytes)
        for file in found.files
    )


@contextlib.contextmanager
def _proxy_of(client: Client, artifact_uri: str) -> Iterator[tuple[Client, str]]:
    """Give the client of the server that holds the artifacts, and the encoded path of their root there.

    Credentials go to the tracking server alone: whoever creates an experiment chooses the host in its URI.
    """
    parts = urlsplit(artifact_uri)
    if not isinstance(client.transport, HttpTransport):
        raise ArtifactError(
            f"The artifacts are behind a server ({without_user(artifact_uri)}), and {client.address} is a "
            "database. Give the address of that server as the tracking URI."
        )
    if parts.scheme == "mlflow-artifacts":
        root_path = f"{PROXY_PATH}/{quote(unquote(parts.path).strip('/'))}".rstrip("/")
        tracking = urlsplit(client.address)
        other_address = f"{tracking.scheme}://{parts.netloc.rpartition('@')[2]}{tracking.path}"
        is_ours = not parts.netloc or other_address == client.address
    else:
        before, found, below = artifact_uri.partition(PROXY_PATH)
        if not found:
            raise ArtifactError(
                f"{without_user(artifact_uri)} is not the address of an MLflow artifact server."
            )
        root_path, other_address = (PROXY_PATH + below).rstrip("/"), before
        is_ours = before == client.address
    if is_ours:
        yield client, root_path
        return
    other = Client(client.transport.elsewhere(other_address))
    try:
        yield other, root_path
    finally:
        other.close()


@contextlib.contextmanager
def _opened(source: Path) -> Iterator[BinaryIO]:
    with local_artifacts.opened(source) as file:
        try:
            yield file
        except OSError as error:
            raise ArtifactError(f"The file {source} cannot be read to its end: {error}.") from error


@contextlib.contextmanager
def _refusals(path: PurePosixPath) -> Iterator[None]:
    try:
        yield
    except RequestRefusedError as error:
        raise ArtifactError(f"The artifact {str(path)!r} is refused: {error}") from error


def _upload_by_mlflow(artifact_uri: str, path: PurePosixPath, source: Path) -> None:
    with tempfile.TemporaryDirectory() as folder, local_artifacts.opened(source):
        named = Path(folder) / path.name  # MLflow names the artifact after the file
        named.symlink_to(source.absolute())
        with _mlflow_failures(artifact_uri):
            _repository(artifact_uri).log_artifact(
                str(named), str(path.parent) if path.parent.parts else None
            )


def _repository(artifact_uri: str) -> ArtifactRepository:
    # MLflow takes seconds to import, and only artifacts outside of folders and MLflow's own proxy need it.
    from mlflow.exceptions import MlflowException  # noqa: PLC0415
    from mlflow.store.artifact.artifact_repository_registry import (  # noqa: PLC0415
        get_artifact_repository,
    )

    try:
        return get_artifact_repository(artifact_uri)
    except MlflowException as error:
        raise ArtifactError(
            f"MLflow has no repository for artifacts at {without_user(artifact_uri)}: {without_user(str(error))}"
        ) from error


@contextlib.contextmanager
def _mlflow_failures(artifact_uri: str) -> Iterator[None]:
    """Name what a repository of MLflow raised: there is one library, with its own errors, for each scheme."""
    where = f"Artifacts at {without_user(artifact_uri)}"
    try:
        yield
    except TracklightError:
        raise
    except ImportError as error:
        raise ArtifactError(f"{where} need a library that is not installed: {error}.") from error
    except Exception as error:  # each store's library has errors of its own
        # By name, because MLflow is not imported here.
        if getattr(error, "error_code", None) == "INVALID_PARAMETER_VALUE":
            raise ArtifactError(f"{where} are refused by MLflow: {without_user(str(error))}") from error
        raise ServerUnreachableError(
            f"{where} cannot be reached: {type(error).__name__}: {without_user(str(error))}. Check the "
            "credentials of the store and the network; the transfer can be tried again."
        ) from error
