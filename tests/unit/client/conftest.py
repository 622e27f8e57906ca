from __future__ import annotations

from collections.abc import Iterator

import pytest
from misbehaving_server import MisbehavingServer, misbehaving_server

from tracklight.client import Client
from tracklight.client.http import HttpTransport


@pytest.fixture
def server() -> Iterator[MisbehavingServer]:
    with misbehaving_server() as server:
        yield server


@pytest.fixture
def client(server: MisbehavingServer) -> Iterator[Client]:
    transport = HttpTransport(server.address, connect_timeout_seconds=2.0, read_timeout_seconds=0.5)
    client = Client(transport, now=lambda: 1_700_000_000.0)
    yield client
    client.close()
