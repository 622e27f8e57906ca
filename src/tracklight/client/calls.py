"""Typed calls of a tracking server, and what each answer means."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from typing import BinaryIO, TypeVar

import msgspec

from tracklight.client.transport import Answer, Transport
from tracklight.errors import (
    AccessDeniedError,
    RequestRefusedError,
    RequestTooLargeError,
    ServerError,
    ServerFailedError,
    ServerUnreachableError,
)
from tracklight.wire.codec import decode, encode, query_of
from tracklight.wire.endpoints import Endpoint
from tracklight.wire.messages import Failure

Request = TypeVar("Request", bound=msgspec.Struct)
Response = TypeVar("Response", bound=msgspec.Struct)

TRY_LATER_STATUSES = frozenset({408, 429, 502, 503, 504})
EXCERPT_LENGTH = 300


class Client:
    """Calls one tracking server; any number of threads may share it.

    A call is sent once: whether, when and how often to try again is the caller's decision. ``now`` gives seconds
    since 1970 and is only read to turn the date of a Retry-After into seconds.
    """

    def __init__(self, transport: Transport, *, now: Callable[[], float] = time.time) -> None:
        self.transport = transport
        self._now = now

    @property
    def address(self) -> str:
        """The server's address without credentials."""
        return self.transport.address

    def call(self, endpoint: Endpoint[Request, Response], request: Request) -> Response:
        """Return the server's answer.

        Raises:
            ServerUnreachableError: no answer, or one that is not MLflow's; the request may have been done.
            AccessDeniedError: 401 or 403.
            RequestTooLargeError: 413.
            ServerFailedError: MLflow answered with an error of its own.
            RequestRefusedError: MLflow refuses the request, with its error code and message.
        """
        what = f"{endpoint.method} {endpoint.full_path} on {self.address}"
        if endpoint.method == "GET":
            answer = self.transport.send("GET", endpoint.full_path, query=query_of(request))
        else:
            answer = self.transport.send(
                endpoint.method, endpoint.full_path, body=encode(request), content_type="application/json"
            )
        if not 200 <= answer.status < 300:
            raise error_of(answer, what, self._now())
        try:
            return decode(answer.body, endpoint.response_type)
        except msgspec.MsgspecError as error:
            raise _not_mlflow(answer, what, f": {error}") from error

    def exchange(
        self,
        method: str,
        path: str,
        *,
        query: tuple[tuple[str, str], ...] = (),
        body: BinaryIO | None = None,
        content_type: str | None = None,
        sink: BinaryIO | None = None,
    ) -> Answer:
        """Return a successful answer as it came; the errors are those of :meth:`call`."""
        answer = self.transport.send(
            method, path, query=query, body=body, content_type=content_type, sink=sink
        )
        if not 200 <= answer.status < 300:
            raise error_of(answer, f"{method} {path} on {self.address}", self._now())
        return answer

    def close(self) -> None:
        """Give back connections; the client cannot be used afterwards."""
        self.transport.close()


def error_of(answer: Answer, what: str, now_seconds: float) -> ServerError:
    """Return the error that an unsuccessful answer stands for."""
    failure = _failure_of(answer)
    says = f"{failure.error_code}: {failure.message}" if failure else _excerpt(answer)
    status = answer.status
    if status in (401, 403):
        return AccessDeniedError(
            f"{what} was denied with {status}: {says} Check the user and password, or the token."
        )
    if status == 413:
        return RequestTooLargeError(
            f"{what} is too large for the server (413): {says} Send less at once, or raise the limit of the "
            "server or of the proxy before it.",
            error_code=failure.error_code if failure else "REQUEST_TOO_LARGE",
            http_status=status,
        )
    if status in TRY_LATER_STATUSES:
        return ServerUnreachableError(
            f"{what} cannot be served now ({status}): {says} Try again later.",
            retry_after_seconds=_retry_after_seconds(answer, now_seconds),
        )
    # MLflow answers what it did not expect with a page of its web framework, not with JSON
    if status == 500 or (failure is not None and status > 501):
        return ServerFailedError(f"{what} failed in the server ({status}): {says} See the server's log.")
    if failure is None:
        return _not_mlflow(answer, what)
    return RequestRefusedError(
        f"{what} was refused with {status}: {says}", error_code=failure.error_code, http_status=status
    )


def _not_mlflow(answer: Answer, what: str, reason: str = "") -> ServerUnreachableError:
    where = f" It points to {answer.headers['location']!r}." if "location" in answer.headers else ""
    return ServerUnreachableError(
        f"{what} answered {answer.status} with something that is not MLflow's{reason}: {_excerpt(answer)}{where} "
        "Check that the address is that of an MLflow server, and what the proxy before it does."
    )


def _failure_of(answer: Answer) -> Failure | None:
    try:
        return decode(answer.body, Failure)
    except msgspec.MsgspecError:
        return None


def _excerpt(answer: Answer) -> str:
    text = " ".join(answer.body[: 4 * EXCERPT_LENGTH].decode("utf-8", "replace").split())
    return repr(text[:EXCERPT_LENGTH]) if text else "an empty body."


def _retry_after_seconds(answer: Answer, now_seconds: float) -> float | None:
    value = answer.headers.get("retry-after", "").strip()
    if re.fullmatch(r"[0-9]{1,9}(\.[0-9]+)?", value):
        return float(value)
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - now_seconds)
    except (ValueError, OverflowError):
        return None
