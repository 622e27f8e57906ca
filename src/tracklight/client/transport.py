"""How a request reaches a server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import BinaryIO, Protocol

READ_SIZE_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back; header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Transport(Protocol):
    """Carries one request to one server and brings its answer back, on the calling thread.

    Any number of threads may call one transport at once.
    """

    @property
    def address(self) -> str:
        """The server's address without credentials, as error messages show it."""
        ...

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
        """Return the server's answer, whatever its status.

        ``path`` is percent-encoded and starts with "/". An open file as ``body`` is streamed to its end. With
        ``sink`` the body of a successful answer is streamed there and ``Answer.body`` is empty.

        Raises:
            ServerUnreachableError: no answer came back; the server may or may not have done what was asked.
        """
        ...

    def close(self) -> None:
        """Give back connections; the transport cannot be used afterwards."""
        ...
