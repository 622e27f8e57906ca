from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tracklight.client import Client, connect


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "data" / "mlflow.db"


@pytest.fixture
def client(database: Path) -> Iterator[Client]:
    """A client of the application in this process, on a database that does not exist yet."""
    client = connect(f"sqlite:///{database}")
    yield client
    client.close()
