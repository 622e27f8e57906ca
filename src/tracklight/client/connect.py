"""From a tracking URI to a client."""

from __future__ import annotations

import pkgutil
import re
from collections.abc import Callable
from pathlib import Path

from tracklight.client.address import without_user
from tracklight.client.asgi import Application, AsgiTransport
from tracklight.client.calls import Client
from tracklight.client.http import HttpTransport
from tracklight.errors import ConfigurationError

EMBEDDED_APP = "tracklight.server:create_embedded_app"

ACCEPTED = (
    "Accepted are http://HOST:PORT and https://HOST for a tracking server, and sqlite:///PATH (absolute: "
    "sqlite:////PATH) for a database that this process opens itself"
)


def connect(
    uri: str,
    *,
    app_factory_name: str = EMBEDDED_APP,
    artifact_root: str | Path | None = None,
    username: str | None = None,
    password: str | None = None,
    token: str | None = None,
    connect_timeout_seconds: float = 10.0,
    timeout_seconds: float = 60.0,
) -> Client:
    """Return a client of the server that the URI names; nothing is opened before the first call.

    A server given as ``sqlite:///PATH`` is the application that ``app_factory_name`` makes, called with
    ``backend_store_uri`` and ``artifact_root``, in this process. Its artifacts go to ``artifact_root``, by default
    the folder ``artifacts`` beside the database. ``timeout_seconds`` limits each wait for bytes of an answer.

    Raises:
        ConfigurationError: the URI is of another kind, or the credentials contradict each other.
    """
    scheme = uri.partition(":")[0].lower() if ":" in uri else ""
    if scheme in ("http", "https"):
        return Client(
            HttpTransport(
                uri,
                username=username,
                password=password,
                token=token,
                connect_timeout_seconds=connect_timeout_seconds,
                read_timeout_seconds=timeout_seconds,
            )
        )
    if scheme == "sqlite":
        return Client(_embedded(uri, app_factory_name, artifact_root))
    raise ConfigurationError(f"The tracking URI {without_user(uri)!r} {_objection(scheme)}. {ACCEPTED}.")


def _embedded(uri: str, app_factory_name: str, artifact_root: str | Path | None) -> AsgiTransport:
    match = re.fullmatch(r"sqlite:///([^?]+)(\?.*)?", uri, flags=re.IGNORECASE)
    if match is None or match[1] == ":memory:" or match[1].startswith("file:"):
        raise ConfigurationError(
            f"The tracking URI {uri!r} names no database file, and runs in memory are lost at exit. {ACCEPTED}."
        )
    database = Path(match[1]).absolute()
    root = Path(artifact_root).absolute() if artifact_root is not None else database.parent / "artifacts"
    backend_store_uri = f"sqlite:///{database}{match[2] or ''}"

    def load() -> Application:
        try:
            create: Callable[..., Application] = pkgutil.resolve_name(app_factory_name)
        except (ImportError, AttributeError, ValueError) as error:
            raise ConfigurationError(
                f"The application {app_factory_name!r}, which serves {uri!r}, cannot be imported: {error}."
            ) from error
        return create(backend_store_uri=backend_store_uri, artifact_root=str(root))

    return AsgiTransport(load, address=f"sqlite:///{database}")


def _objection(scheme: str) -> str:
    if scheme in ("", "file"):
        return "is a folder, which MLflow no longer writes runs to; use sqlite:///PATH/mlflow.db"
    if scheme.partition("+")[0] in ("postgresql", "postgres", "mysql", "mssql"):
        return "is a database of a server; start `tracklight server --backend-store-uri ...` and give its address"
    if scheme == "databricks":
        return "is a Databricks workspace, which the tracker does not reach yet"
    return f"has the scheme {scheme!r}, which is not known"
