"""A server at the other end of a network."""

from __future__ import annotations

import base64
import logging
import os
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, BinaryIO
from urllib.parse import unquote, urlsplit, urlunsplit

from tracklight.client.transport import READ_SIZE_BYTES, Answer
from tracklight.errors import ConfigurationError, ServerUnreachableError

if TYPE_CHECKING:
    import httpx2


class HttpTransport:
    """Kept-alive HTTP connections to one tracking server.

    ``user:password@`` in the URL is taken out of it and used, unless ``username`` or ``token`` is given. Redirects
    are not followed: a POST that becomes a GET would report success and store nothing.

    Raises:
        ConfigurationError: the URL names no host, or both a token and a user are given.
    """

    def __init__(
        self,
        url: str,
        *,
        username: str | None = None,
        password: str | None = None,
        token: str | None = None,
        connect_timeout_seconds: float = 10.0,
        read_timeout_seconds: float = 60.0,
    ) -> None:
        self._address, url_username, url_password = _without_credentials(url)
        if username is None and token is None:
            username, password = url_username, url_password
        if username is not None and token is not None:
            raise ConfigurationError(
                f"Both a token and the user {username!r} are given for {self._address}. Give one of the two."
            )
        self._authorization = _authorization(username, password, token)
        self._connect_timeout_seconds = connect_timeout_seconds
        self._read_timeout_seconds = read_timeout_seconds
        self._opening = threading.Lock()
        self._http: httpx2.Client | None = None
        self._process_id = os.getpid()
        self._abandoned: list[httpx2.Client | None] = []

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
        # 0.15 s that the first call pays, on the delivery thread, instead of `import tracklight`
        import httpx2  # noqa: PLC0415

        headers = {"content-type": content_type} if content_type else {}
        url = self._address + path
        try:
            with self._open().stream(
                method, url, params=tuple(query) or None, content=body, headers=headers
            ) as response:
                if sink is not None and response.is_success:
                    for chunk in response.iter_bytes(READ_SIZE_BYTES):
                        sink.write(chunk)
                    content = b""
                else:
                    content = response.read()
        except httpx2.TimeoutException as error:
            raise ServerUnreachableError(
                f"{method} {path} on {self._address} got no answer in time ({type(error).__name__}; connecting "
                f"may take {self._connect_timeout_seconds} s, each read {self._read_timeout_seconds} s). "
                "Check that the server is up, or allow more time."
            ) from error
        except (httpx2.HTTPError, httpx2.InvalidURL, httpx2.StreamError) as error:
            raise ServerUnreachableError(
                f"{method} {path} on {self._address} failed: {type(error).__name__}: {error}. "
                "Check that the server is up and that the address is right."
            ) from error
        return Answer(response.status_code, {k.lower(): v for k, v in response.headers.items()}, content)

    def elsewhere(self, url: str) -> HttpTransport:
        """Return a transport to another server, with the same patience and without the credentials."""
        return HttpTransport(
            url,
            connect_timeout_seconds=self._connect_timeout_seconds,
            read_timeout_seconds=self._read_timeout_seconds,
        )

    def close(self) -> None:
        with self._opening:
            if self._http is not None:
                self._http.close()

    def _open(self) -> httpx2.Client:
        import httpx2  # noqa: PLC0415

        with self._opening:
            if self._process_id != os.getpid():
                # After a fork the sockets are also the parent's: keep them from being used or closed here.
                self._abandoned.append(self._http)
                self._http, self._process_id = None, os.getpid()
            if self._http is None:
                logging.getLogger("httpx2").addFilter(_is_not_ours)
                self._http = httpx2.Client(
                    headers={"authorization": self._authorization} if self._authorization else {},
                    timeout=httpx2.Timeout(self._read_timeout_seconds, connect=self._connect_timeout_seconds),
                )
            return self._http


def _without_credentials(url: str) -> tuple[str, str | None, str | None]:
    """Return the URL without credentials, query and trailing slash, and the user and password that it held."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise ConfigurationError(
            f"The tracking URI has no valid host and port: {error}. Write it as http://HOST:PORT."
        ) from None
    if not host:
        raise ConfigurationError("The tracking URI names no host. Write it as http://HOST:PORT.")
    netloc = f"[{host}]" if ":" in host else host
    if port is not None:
        netloc += f":{port}"
    address = urlunsplit((parts.scheme, netloc, parts.path.rstrip("/"), "", ""))
    username = unquote(parts.username) if parts.username else None
    return address, username, unquote(parts.password or "") if username else None


def _authorization(username: str | None, password: str | None, token: str | None) -> str | None:
    if token is not None:
        return f"Bearer {token}"
    if username is not None:
        return "Basic " + base64.b64encode(f"{username}:{password or ''}".encode()).decode()
    return None


def _is_not_ours(record: logging.LogRecord) -> bool:
    """Keep a line for each request of the delivery out of the log of a program that shows INFO."""
    return not (record.threadName or "").startswith("tracklight-")
