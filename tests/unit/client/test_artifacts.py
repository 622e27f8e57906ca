"""Artifacts in a local folder: whole or not at all, and never outside of the root."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest

from tracklight.client import Client, connect
from tracklight.client.artifacts import download, list_artifacts, upload
from tracklight.errors import (
    AccessDeniedError,
    ArtifactError,
    ServerError,
    ServerUnreachableError,
)

if TYPE_CHECKING:
    from conftest import MisbehavingServer

ESCAPES = [
    "",
    ".",
    "/etc/passwd",
    "../up",
    "a/../../up",
    "a/..",
    "..",
    "..\\up",
    "\\up",
    "C:\\up",
    "C:/up",
    "%2e%2e/up",
    "..%2Fup",
    "%252e%252e%252fup",
    "%2Fetc/passwd",
    "nul\x00",
    "line\nbreak",
]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "root" / "run" / "artifacts"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    source = tmp_path / "source.bin"
    source.write_bytes(bytes(range(256)) * 10_000)
    return source


@pytest.fixture
def local() -> Client:
    return connect("sqlite:///unused.db")


def everything_below(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    "as_uri", [str, lambda root: f"file://{quote(str(root))}", lambda root: f"file:{root}"]
)
@pytest.mark.parametrize("path", ["a.txt", "deep/er/b c.txt", "ü/100%.txt", "..hidden", "a:b"])
def test_an_artifact_comes_back_whole(  # noqa: PLR0917
    local: Client, root: Path, source: Path, tmp_path: Path, path: str, as_uri: object
) -> None:
    uri = as_uri(root)  # type: ignore[operator]
    upload(local, uri, path, source)
    assert (root / path).read_bytes() == source.read_bytes()
    assert everything_below(root) == {path}
    download(local, uri, path, tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == source.read_bytes()


def test_files_and_folders_are_listed_with_their_sizes(local: Client, root: Path, source: Path) -> None:
    upload(local, str(root), "b.txt", source)
    upload(local, str(root), "a/c.txt", source)
    listed = list_artifacts(local, str(root))
    assert [(f.path, f.is_dir, f.size_bytes) for f in listed] == [
        ("a", True, None),
        ("b.txt", False, 2_560_000),
    ]
    assert [f.path for f in list_artifacts(local, str(root), "a")] == ["a/c.txt"]
    assert list_artifacts(local, str(root), "nothing") == ()


@pytest.mark.parametrize("path", ESCAPES)
def test_a_path_that_leaves_the_root_is_refused(
    local: Client, root: Path, source: Path, tmp_path: Path, path: str
) -> None:
    before = everything_below(tmp_path)
    with pytest.raises(ArtifactError, match="does not stay below"):
        upload(local, str(root), path, source)
    with pytest.raises(ArtifactError):
        download(local, str(root), path, tmp_path / "copy")
    assert everything_below(tmp_path) == before


@pytest.mark.parametrize("path", ["link/x.txt", "link/deep/x.txt", "file_link"])
def test_a_link_out_of_the_root_is_not_followed(
    local: Client, root: Path, source: Path, tmp_path: Path, path: str
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "x.txt").write_text("canary")
    root.mkdir(parents=True)
    (root / "link").symlink_to(outside)
    (root / "file_link").symlink_to(outside / "x.txt")
    with pytest.raises(ArtifactError, match="by a link"):
        upload(local, str(root), path, source)
    with pytest.raises(ArtifactError):
        download(local, str(root), path, tmp_path / "copy")
    assert everything_below(outside) == {"x.txt"}
    assert (outside / "x.txt").read_text() == "canary"
    assert list_artifacts(local, str(root)) == ()


def test_a_root_that_is_itself_a_link_is_fine(
    local: Client, root: Path, source: Path, tmp_path: Path
) -> None:
    root.mkdir(parents=True)
    (tmp_path / "alias").symlink_to(root)
    upload(local, str(tmp_path / "alias"), "a/b.txt", source)
    assert everything_below(root) == {"a/b.txt"}


def test_a_missing_source_is_refused_for_good(local: Client, root: Path, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"gone\.bin"):
        upload(local, str(root), "a.txt", tmp_path / "gone.bin")
    assert not root.exists()


def test_a_folder_in_the_way_is_refused_for_good(local: Client, root: Path, source: Path) -> None:
    (root / "taken").mkdir(parents=True)
    with pytest.raises(ArtifactError, match="another artifact path"):
        upload(local, str(root), "taken", source)
    (root / "file").write_text("x")
    with pytest.raises(ArtifactError, match="another artifact path"):
        upload(local, str(root), "file/below", source)
    assert everything_below(root) == {"file"}


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_missing_permission_may_be_granted_later(local: Client, root: Path, source: Path) -> None:
    root.mkdir(parents=True)
    root.chmod(0o500)
    with pytest.raises(AccessDeniedError, match="Grant the permission"):
        upload(local, str(root), "a.txt", source)


def test_a_file_system_that_takes_no_more_leaves_nothing_behind(
    local: Client, root: Path, source: Path, files_of_at_most_a_megabyte: None
) -> None:
    with pytest.raises(ServerUnreachableError, match="it can be tried again"):
        upload(local, str(root), "a.txt", source)
    assert everything_below(root) == set()


@pytest.fixture
def files_of_at_most_a_megabyte(source: Path) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_an_upload_behind_a_server_is_streamed_with_its_length(
    server: MisbehavingServer, client: Client, source: Path
) -> None:
    server.answers(200)
    upload(client, "mlflow-artifacts:/7/abc/artifacts", "a b/100%?#.txt", source)
    (asked,) = server.asked
    assert asked.method == "PUT"
    assert asked.path == "/api/2.0/mlflow-artifacts/artifacts/7/abc/artifacts/a%20b/100%25%3F%23.txt"
    assert asked.headers["content-length"] == str(source.stat().st_size)
    assert asked.body == source.read_bytes()


@pytest.mark.parametrize("scheme", ["mlflow-artifacts", "http"])
def test_credentials_do_not_go_to_another_artifact_server(
    server: MisbehavingServer, other_server: MisbehavingServer, source: Path, scheme: str
) -> None:
    base = "/api/2.0/mlflow-artifacts/artifacts" if scheme == "http" else ""
    client = connect(server.address, username="ann", password="c4n4ry")
    for each in (server, other_server):
        each.answers(200)
        upload(client, f"{scheme}://{each.address.removeprefix('http://')}{base}/1/a", "x.txt", source)
    client.close()
    assert [asked.path for asked in other_server.asked] == [asked.path for asked in server.asked]
    assert "authorization" not in other_server.asked[0].headers
    assert "authorization" in server.asked[0].headers


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (503, "", ServerUnreachableError),
        (404, "<html>", ServerUnreachableError),
        (401, "", AccessDeniedError),
        (413, "<html>", ArtifactError),
        (400, '{"error_code":"INVALID_PARAMETER_VALUE","message":"Invalid path"}', ArtifactError),
    ],
)
def test_an_upload_is_tried_again_only_where_that_can_help(  # noqa: PLR0917
    server: MisbehavingServer, client: Client, source: Path, status: int, body: str, error: type[Exception]
) -> None:
    server.answers(status, body)
    with pytest.raises(error) as caught:
        upload(client, "mlflow-artifacts:/1/a", "x.txt", source)
    assert isinstance(caught.value, ServerError) == (error is not ArtifactError)


def test_a_download_cut_short_leaves_no_file(
    server: MisbehavingServer, client: Client, tmp_path: Path
) -> None:
    server.sends_raw(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
    with pytest.raises(ServerUnreachableError):
        download(client, "mlflow-artifacts:/1/a", "x.txt", tmp_path / "copy")
    assert list(tmp_path.iterdir()) == []


def test_a_database_has_no_artifact_server(local: Client, source: Path) -> None:
    with pytest.raises(ArtifactError, match="behind a server"):
        upload(local, "mlflow-artifacts:/1/a", "x.txt", source)
