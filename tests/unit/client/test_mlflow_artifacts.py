"""Artifacts at schemes that MLflow's own repositories serve."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path

import pytest
from mlflow.exceptions import MlflowException
from mlflow.store.artifact.artifact_repository_registry import _artifact_repository_registry
from mlflow.store.artifact.local_artifact_repo import LocalArtifactRepository

from tracklight.client import Client, connect
from tracklight.client.artifacts import download, list_artifacts, upload
from tracklight.errors import ArtifactError, ServerUnreachableError


class Shelf(LocalArtifactRepository):
    """A plug-in repository, such as anybody may install: `shelf:/folder`."""

    def __init__(
        self, artifact_uri: str, tracking_uri: str | None = None, registry_uri: str | None = None
    ) -> None:
        super().__init__(artifact_uri.removeprefix("shelf:"), tracking_uri, registry_uri)


class BrokenShelf(Shelf):
    def log_artifact(self, local_file: str, artifact_path: str | None = None) -> None:
        raise ConnectionResetError("the shelf fell")


@pytest.fixture(autouse=True)
def shelves() -> Iterator[None]:
    _artifact_repository_registry.register("shelf", Shelf)
    _artifact_repository_registry.register("brokenshelf", BrokenShelf)
    yield
    del _artifact_repository_registry._registry["shelf"]
    del _artifact_repository_registry._registry["brokenshelf"]


@pytest.fixture
def local() -> Client:
    return connect("sqlite:///unused.db")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    source = tmp_path / "00000017.spool"
    source.write_bytes(b"content")
    return source


@pytest.mark.parametrize("path", ["model.bin", "deep/er/model.bin"])
def test_an_artifact_keeps_the_name_of_its_path_not_of_the_spool(
    local: Client, source: Path, tmp_path: Path, path: str
) -> None:
    uri = f"shelf:{tmp_path}/shelf"
    (tmp_path / "shelf").mkdir()
    upload(local, uri, path, source)
    download(local, uri, path, tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == b"content"
    folder, _, _ = path.rpartition("/")
    assert [file.path for file in list_artifacts(local, uri, folder)] == [path]


def test_a_store_that_fails_may_work_later(local: Client, source: Path) -> None:
    with pytest.raises(ServerUnreachableError, match="the shelf fell"):
        upload(local, "brokenshelf:/x", "a.bin", source)


def test_a_scheme_that_nobody_serves_is_refused_for_good(local: Client, source: Path) -> None:
    with pytest.raises(ArtifactError, match="nosuch://") as caught:
        upload(local, "nosuch://ann:c4n4ry@bucket/x", "a.bin", source)
    assert isinstance(caught.value.__cause__, MlflowException)
    assert "c4n4ry" not in str(caught.value)


@pytest.mark.skipif(importlib.util.find_spec("boto3") is not None, reason="boto3 is installed")
def test_a_missing_library_is_named(local: Client, source: Path) -> None:
    with pytest.raises(ArtifactError, match="boto3"):
        upload(local, "s3://bucket/x", "a.bin", source)
