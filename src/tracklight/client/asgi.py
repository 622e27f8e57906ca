"""A server that is an ASGI application in this process."""

from __future__ import annotations

import asyncio

# MLflow imports this module. Its import registers a hook, which Python refuses once exit handlers run, and the
# first delivery may well happen in one.
import concurrent.futures.thread  # noqa: F401
import contextvars
import os
import threading
from collections import deque
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import Any, BinaryIO, Protocol
from urllib.parse import unquote, urlencode

from tracklight.client.transport import READ_SIZE_BYTES, Answer
from tracklight.errors import ServerUnreachableError

Event = MutableMapping[str, Any]


class Application(Protocol):
    """An ASGI application that can be told to give back what it holds."""

    async def __call__(
        self, scope: Event, receive: Callable[[], Awaitable[Event]], send: Callable[[Event], Awaitable[None]]
    ) -> None: ...

    def close(self) -> None: ...


class AsgiTransport:
    """Calls an application in process, which ``load`` gives on the first call.

    A call runs to its end on the calling thread, in an event loop that is nobody else's; there is no pool of
    threads, so it also works from a daemon thread while the interpreter exits. Only a caller whose own thread
    runs a loop (a notebook) gets a thread for the time of the call.
    """

    def __init__(self, load: Callable[[], Application], *, address: str) -> None:
        self._load = load
        self._address = address
        self._loading = threading.Lock()
        self._application: Application | None = None
        self._process_id = os.getpid()
        self._idle: deque[asyncio.Runner] = deque()
        self._abandoned: list[deque[asyncio.Runner]] = []

    @property
    def address(self) -> str:
        return self._address

    def send(
        self,
        method: str,
        path: str,
        *,
        query: Sequence[tuple[str, str]] = (),
        body: bytes | BinaryIO | None = None,
        content_type: str | None = None,
        sink: BinaryIO | None = None,
    ) -> Answer:
        application = self._loaded()
        exchange = _Exchange(body, sink)
        scope: Event = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": unquote(path),
            "raw_path": path.encode("ascii"),
            "root_path": "",
            "query_string": urlencode(query).encode("ascii"),
            "headers": [(b"host", b"localhost")]
            + ([(b"content-type", content_type.encode("ascii"))] if content_type else []),
            "client": None,
            "server": ("localhost", 80),
        }
        try:
            if _this_thread_runs_a_loop():
                thread = threading.Thread(target=self._run, args=(application, scope, exchange), daemon=True)
                thread.start()
                thread.join()
            else:
                self._run(application, scope, exchange)
        except Exception as error:  # whatever ends the application is, to its client, a server that is away
            raise ServerUnreachableError(
                f"{method} {path} on {self._address} failed: {type(error).__name__}: {error}."
            ) from error
        return exchange.answer(f"{method} {path} on {self._address}")

    def close(self) -> None:
        with self._loading:
            if self._application is not None:
                self._application.close()
        while self._idle:
            self._idle.pop().close()

    def _run(self, application: Application, scope: Event, exchange: _Exchange) -> None:
        if os.getpid() != self._process_id:
            # After a fork the loops share their selector with the parent's: keep them from being closed here.
            self._abandoned.append(self._idle)
            self._idle, self._process_id = deque(), os.getpid()
        try:
            runner = self._idle.pop()
        except IndexError:
            # With a factory the runner leaves the thread's own event loop alone.
            runner = asyncio.Runner(loop_factory=asyncio.new_event_loop)
        try:
            runner.run(
                _finish(application(scope, exchange.receive, exchange.send)),
                context=contextvars.copy_context(),
            )
        finally:
            self._idle.append(runner)

    def _loaded(self) -> Application:
        with self._loading:
            if self._application is None:
                self._application = self._load()
            return self._application


class _Exchange:
    """One request and its answer, as ASGI events."""

    def __init__(self, body: bytes | BinaryIO | None, sink: BinaryIO | None) -> None:
        self._body = body
        self._sink = sink
        self._status: int | None = None
        self._headers: dict[str, str] = {}
        self._chunks: list[bytes] = []

    async def receive(self) -> Event:
        if self._body is None or isinstance(self._body, bytes):
            chunk, more = self._body or b"", False
        else:
            chunk = self._body.read(READ_SIZE_BYTES)
            more = bool(chunk)
        return {"type": "http.request", "body": chunk, "more_body": more}

    async def send(self, event: Event) -> None:
        if event["type"] == "http.response.start":
            self._status = event["status"]
            self._headers = {
                name.decode("latin-1").lower(): value.decode("latin-1")
                for name, value in event.get("headers", ())
            }
        elif self._sink is not None and self._status is not None and 200 <= self._status < 300:
            self._sink.write(event.get("body", b""))
        else:
            self._chunks.append(event.get("body", b""))

    def answer(self, what: str) -> Answer:
        if self._status is None:
            raise ServerUnreachableError(f"{what} ended without an answer.")
        return Answer(self._status, self._headers, b"".join(self._chunks))


async def _finish(call: Awaitable[None]) -> None:
    await call


def _this_thread_runs_a_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
