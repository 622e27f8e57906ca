"""The server: one ASGI application that answers the endpoints of the table and hands on the rest."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import logging
import threading
from collections.abc import Awaitable, Callable, MutableMapping
from typing import TYPE_CHECKING, Any

from tracklight.server.settings import ServerSettings
from tracklight.wire.endpoints import API_PREFIX, ENDPOINTS, Endpoint

if TYPE_CHECKING:
    from tracklight.server.answers import Answers

Event = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Event]]
Send = Callable[[Event], Awaitable[None]]

UI_PREFIX = "/ajax-api/2.0/mlflow/"
JSON = "application/json"
RETRY_AFTER_SECONDS = 1

log = logging.getLogger(__name__)


class App:
    """The ASGI application; :func:`create_app` makes it.

    A request is answered on the event loop's own thread. MLflow is imported and the database opened with the first
    request, or when the ASGI server announces its start.
    """

    def __init__(self, settings: ServerSettings) -> None:
        self._settings = settings
        self._routes: dict[tuple[str, str], Endpoint[Any, Any]] = {
            (endpoint.method, prefix + endpoint.path): endpoint
            for endpoint in ENDPOINTS
            for prefix in (API_PREFIX, UI_PREFIX)
        }
        self._starting = threading.Lock()
        self._answers: Answers | None = None

    async def __call__(self, scope: Event, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["type"] == "http":
            await self._serve(scope, receive, send)

    def close(self) -> None:
        """Close the database; a later request opens it again."""
        with self._starting:
            if self._answers is not None:
                self._answers.close()

    async def _live(self, receive: Receive, send: Send) -> None:
        while True:
            event = await receive()
            if event["type"] == "lifespan.startup":
                try:
                    self._started().open()
                except Exception as error:  # noqa: BLE001 - uvicorn says it and stops
                    await send({"type": "lifespan.startup.failed", "message": str(error)})
                else:
                    await send({"type": "lifespan.startup.complete"})
            else:
                self.close()
                await send({"type": "lifespan.shutdown.complete"})
                return

    async def _serve(self, scope: Event, receive: Receive, send: Send) -> None:
        endpoint = self._routes.get((scope["method"], scope["path"]))
        if endpoint is not None:
            body = await _body(receive, self._settings.max_body_bytes)
            if body is None:
                limit = self._settings.max_body_bytes
                await _answer(
                    send,
                    413,
                    _error("REQUEST_TOO_LARGE", f"The body has more than {limit} bytes; send less."),
                )
                return
            try:
                status, text = self._started().answer(
                    endpoint.name, endpoint.method, scope["query_string"], _content_type(scope), body
                )
            except Exception as error:  # the server's last handler, which logs it
                log.exception("server.failed endpoint=%s", endpoint.name)
                status, text = 500, _error("INTERNAL_ERROR", f"{type(error).__name__}: {error}")
            await _answer(send, status, text)
        elif scope["path"] == "/health":
            await _answer(send, 200, "OK", "text/plain; charset=utf-8")
        elif scope["path"] == "/version":
            await _answer(send, 200, importlib.metadata.version("mlflow-skinny"), "text/plain; charset=utf-8")
        else:
            await self._hand_on(scope, receive, send)

    async def _hand_on(self, scope: Event, receive: Receive, send: Send) -> None:  # noqa: ARG002
        """Everything that is not in the table. This is where MLflow's own application will be called."""
        message = (
            f"{scope['method']} {scope['path']} is not served here. MLflow's own server serves it on the same "
            "database: mlflow ui --backend-store-uri URI"
        )
        if importlib.util.find_spec("flask") is None:
            message += " (after: pip install 'tracklight[server]')"
        await _answer(send, 501, _error("NOT_IMPLEMENTED", message + "."))

    def _started(self) -> Answers:
        with self._starting:
            if self._answers is None:
                # Imports MLflow's store, which takes seconds: not before somebody asks.
                from tracklight.server.answers import Answers  # noqa: PLC0415

                self._answers = Answers(self._settings)
            return self._answers


def create_app(settings: ServerSettings) -> App:
    """Return the server as an ASGI application."""
    return App(settings)


def create_embedded_app(*, backend_store_uri: str, artifact_root: str) -> App:
    """Return the server as `tracklight.client.connect` calls it in process."""
    return App(ServerSettings(backend_store_uri=backend_store_uri, artifact_root=artifact_root))


async def _body(receive: Receive, limit: int) -> bytes | None:
    """Return the whole body, None if it is longer than ``limit``."""
    chunks: list[bytes] = []
    size = 0
    while True:
        event = await receive()
        chunk = event.get("body", b"")
        size += len(chunk)
        if size > limit:
            return None
        chunks.append(chunk)
        if not event.get("more_body", False):
            return b"".join(chunks)


def _content_type(scope: Event) -> str | None:
    for name, value in scope["headers"]:
        if name == b"content-type":
            return str(value.decode("latin-1"))
    return None


def _error(error_code: str, message: str) -> str:
    return json.dumps({"error_code": error_code, "message": message})


async def _answer(send: Send, status: int, text: str, content_type: str = JSON) -> None:
    body = text.encode()
    headers = [(b"content-type", content_type.encode()), (b"content-length", str(len(body)).encode())]
    if status == 503:
        headers.append((b"retry-after", str(RETRY_AFTER_SECONDS).encode()))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
