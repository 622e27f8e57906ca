"""Where a tracker's records go: addresses without credentials in the journal, clients with them in memory."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import urlsplit, urlunsplit

from tracklight.client.calls import Client
from tracklight.client.connect import connect
from tracklight.settings import EMBEDDED, Settings


class Destinations:
    """The servers of one tracker, or of one command that delivers journals."""

    def __init__(self, settings: Settings, uris: Iterable[str] = ()) -> None:
        """``uris`` may hold a user and a password; `names` do not."""
        self._settings = settings
        self._with_credentials = {without_credentials(uri): uri for uri in uris}

    @property
    def names(self) -> tuple[str, ...]:
        """The addresses as journals name them."""
        return tuple(self._with_credentials)

    def open_client(self, name: str) -> Client:
        """Return a client of a destination; nothing is sent before its first call.

        Raises:
            ConfigurationError: the address cannot be used.
        """
        settings = self._settings
        uri = self._with_credentials.get(name, name)
        if name == EMBEDDED:
            return connect(settings.embedded_uri, artifact_root=settings.embedded_artifacts)
        has_own_credentials = uri != name
        password, token = settings.tracking_password, settings.tracking_token
        return connect(
            uri,
            username=None if has_own_credentials else settings.tracking_username,
            password=None if has_own_credentials or password is None else password.get_secret_value(),
            token=None if has_own_credentials or token is None else token.get_secret_value(),
            timeout_seconds=settings.request_timeout_seconds,
        )


def without_credentials(uri: str) -> str:
    """Return the address without the user and password that may stand before its host."""
    parts = urlsplit(uri)
    if "@" not in parts.netloc:
        return uri
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
