"""Which tracking URIs are accepted, and that connecting itself costs nothing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tracklight.client import connect
from tracklight.errors import ConfigurationError
from tracklight.wire.endpoints import GET_RUN
from tracklight.wire.messages import GetRun


@pytest.mark.parametrize(
    ("uri", "address"),
    [
        ("http://host:5000", "http://host:5000"),
        ("https://host/mlflow/", "https://host/mlflow"),
        ("HTTP://host", "http://host"),
        ("http://[::1]:5000", "http://[::1]:5000"),
        ("sqlite:////data/m.db", "sqlite:////data/m.db"),
        ("sqlite:////data/a b.db?timeout=30", "sqlite:////data/a b.db"),
    ],
)
def test_servers_and_databases_are_accepted(uri: str, address: str) -> None:
    assert connect(uri).address == address


def test_a_relative_database_is_the_one_below_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    client = connect("sqlite:///runs/m.db")
    monkeypatch.chdir("/")
    assert client.address == f"sqlite:///{tmp_path}/runs/m.db"


@pytest.mark.parametrize(
    ("uri", "says"),
    [
        ("", "folder"),
        ("./mlruns", "folder"),
        ("file:///tmp/mlruns", "folder"),
        ("databricks", "folder|Databricks"),
        ("databricks://profile", "Databricks"),
        ("postgresql+psycopg://db/mlflow", "tracklight server"),
        ("redis://host", "'redis'"),
        ("sqlite://", "no database file"),
        ("sqlite:///:memory:", "no database file"),
        ("http://", "no host"),
        ("http://host:port", "host and port"),
    ],
)
def test_anything_else_is_refused_with_what_is_accepted(uri: str, says: str) -> None:
    with pytest.raises(ConfigurationError, match=says) as caught:
        connect(uri)
    assert "http://HOST:PORT" in str(caught.value)


def test_connecting_touches_no_disk_and_no_network(tmp_path: Path) -> None:
    connect(f"sqlite:///{tmp_path}/new/m.db")
    connect("http://does-not-exist.invalid")
    assert list(tmp_path.iterdir()) == []


def test_connecting_imports_nothing_heavy() -> None:
    program = (
        "import sys; from tracklight.client import connect; import tracklight.client.artifacts;"
        "connect('sqlite:///m.db'); connect('http://host');"
        "print([n for n in sys.modules if n in"
        " {'mlflow', 'sqlalchemy', 'pandas', 'pydantic', 'httpx2', 'tracklight.server'}])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_an_application_that_is_not_there_is_a_matter_of_configuration() -> None:
    client = connect("sqlite:///m.db", app_factory_name="tracklight.nothing:create")
    with pytest.raises(ConfigurationError, match=r"tracklight\.nothing:create"):
        client.call(GET_RUN, GetRun("r"))
