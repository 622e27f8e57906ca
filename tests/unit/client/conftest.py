"""A small HTTP server on loopback that answers as a test tells it to, and remembers what it was asked."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tracklight.client import Client
from tracklight.client.http import HttpTransport


@dataclass
class Asked:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class MisbehavingServer:
    """``behave`` writes the answer to a request; ``asked`` are the requests so far."""

    address: str
    asked: list[Asked] = field(default_factory=list)
    behave: Callable[[BaseHTTPRequestHandler], None] = lambda handler: None

    def answers(self, status: int, body: str = "{}", **headers: str) -> None:
        def behave(handler: BaseHTTPRequestHandler) -> None:
            content = body.encode()
            handler.send_response(status)
            named = {"Content-Type": "application/json", "Content-Length": str(len(content))}
            named |= {name.replace("_", "-"): value for name, value in headers.items()}
            for name, value in named.items():
                handler.send_header(name, value)
            handler.end_headers()
            handler.wfile.write(content)

        self.behave = behave

    def sends_raw(self, content: bytes) -> None:
        """Write these bytes and close the connection."""

        def behave(handler: BaseHTTPRequestHandler) -> None:
            handler.wfile.write(content)
            handler.close_connection = True

        self.behave = behave


@contextlib.contextmanager
def misbehaving_server() -> Iterator[MisbehavingServer]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            headers = {name.lower(): value for name, value in self.headers.items()}
            server.asked.append(Asked(self.command, self.path, headers, body))
            server.behave(self)

        do_GET = do_POST = do_PUT = _serve  # noqa: N815 - the names that http.server looks up

        def log_message(self, *args: object) -> None:
            pass

    listener = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    listener.daemon_threads = True
    server = MisbehavingServer(f"http://127.0.0.1:{listener.server_port}")
    thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        listener.shutdown()
        listener.server_close()
        thread.join()


@pytest.fixture
def server() -> Iterator[MisbehavingServer]:
    with misbehaving_server() as server:
        yield server


@pytest.fixture
def other_server() -> Iterator[MisbehavingServer]:
    with misbehaving_server() as server:
        yield server


@pytest.fixture
def client(server: MisbehavingServer) -> Iterator[Client]:
    """A client of the misbehaving server with little patience and a clock that stands still."""
    transport = HttpTransport(server.address, connect_timeout_seconds=2.0, read_timeout_seconds=0.5)
    client = Client(transport, now=lambda: 1_700_000_000.0)
    yield client
    client.close()
