"""A tracking server that misbehaves as it is told: the real application behind HTTP that may fail in any way."""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qsl

from tracklight.client.asgi import AsgiTransport
from tracklight.client.transport import Answer
from tracklight.server import create_embedded_app


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as it came in, and when, on the monotonic clock."""

    method: str
    path: str
    query: str
    body: bytes
    headers: dict[str, str]
    at: float

    @property
    def endpoint(self) -> str:
        """The path without MLflow's prefix, such as ``runs/log-batch``."""
        return self.path.removeprefix("/api/2.0/mlflow/")


Forward = Callable[[], Answer]
Fault = Callable[[Asked, Forward], Answer | None]
"""What a request gets: an answer, perhaps the application's (``forward``), or None: the connection is cut."""


@dataclass
class FaultyServer:
    """``fault`` is asked about every request; None lets all of them through."""

    database: Path
    uri: str = ""
    port: int = 0
    fault: Fault | None = None
    asked: list[Asked] = field(default_factory=list)
    forwarded: list[Asked] = field(default_factory=list)
    _listener: ThreadingHTTPServer | None = None
    _thread: threading.Thread | None = None

    def __post_init__(self) -> None:
        self._application = AsgiTransport(
            lambda: create_embedded_app(
                backend_store_uri=f"sqlite:///{self.database}",
                artifact_root=str(self.database.parent / "artifacts"),
            ),
            address="faulty",
        )
        # As a server of one process, it does one thing after the other.
        self._one_at_a_time = threading.Lock()
        self._is_closed = False

    def start(self) -> None:
        """Listen, on the same port as before."""
        listener = ThreadingHTTPServer(("127.0.0.1", self.port), self._handler())
        listener.daemon_threads = True
        self._listener, self.port = listener, listener.server_port
        self.uri = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(
            target=listener.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """Refuse connections, and cut those that are open with the next request."""
        if self._listener is not None and self._thread is not None:
            self._listener.shutdown()
            self._listener.server_close()
            self._thread.join()
            self._listener = None

    def close(self) -> None:
        """Stop for good, once the request that is being answered has been."""
        self.stop()
        with self._one_at_a_time:
            self._is_closed = True
            self._application.close()

    def count(self, endpoint: str) -> int:
        """Return how many requests of one endpoint came in."""
        return sum(asked.endpoint == endpoint for asked in self.asked)

    def _answer(self, asked: Asked) -> Answer | None:
        self.asked.append(asked)

        def forward() -> Answer:
            self.forwarded.append(asked)
            with self._one_at_a_time:
                if self._is_closed:
                    return mlflow_error(503, "TEMPORARILY_UNAVAILABLE")
                return self._application.send(
                    asked.method,
                    asked.path,
                    query=parse_qsl(asked.query),
                    body=asked.body or None,
                    content_type=asked.headers.get("content-type"),
                )

        return self.fault(asked, forward) if self.fault is not None else forward()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _serve(self) -> None:
                if server._listener is None:
                    return self._cut()
                path, _, query = self.path.partition("?")
                headers = {name.lower(): value for name, value in self.headers.items()}
                body = self.rfile.read(int(headers.get("content-length", 0)))
                answer = server._answer(Asked(self.command, path, query, body, headers, time.monotonic()))
                if answer is None:
                    return self._cut()
                with contextlib.suppress(OSError):  # the client has gone
                    self.send_response(answer.status)
                    for name, value in answer.headers.items():
                        self.send_header(name, value)
                    if "content-length" not in answer.headers:
                        self.send_header("content-length", str(len(answer.body)))
                    self.end_headers()
                    self.wfile.write(answer.body)
                return None

            do_GET = do_POST = do_PUT = _serve  # noqa: N815 - the library's names

            def _cut(self) -> None:
                """Close with a reset, as a machine that has gone away."""
                linger = struct.pack("ii", 1, 0)
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                self.close_connection = True

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the overridden name
                """Say nothing."""

        return Handler


def mlflow_error(status: int, error_code: str, message: str = "as told", **headers: str) -> Answer:
    """Return an answer as MLflow's own errors look; ``Retry_After="1"`` is a header."""
    named = {"content-type": "application/json", **{k.replace("_", "-"): v for k, v in headers.items()}}
    return Answer(status, named, json.dumps({"error_code": error_code, "message": message}).encode())


@contextlib.contextmanager
def faulty_server(database: Path) -> Iterator[FaultyServer]:
    """Give a running server on a database; it is stopped afterwards."""
    server = FaultyServer(database)
    server.start()
    try:
        yield server
    finally:
        server.close()
