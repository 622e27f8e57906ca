"""MLflow's own SQLAlchemy store, opened once and with care.

This module imports MLflow's store, which takes seconds: `tracklight.server.app` imports it with the first request.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
import threading
import weakref
from collections.abc import Iterator
from contextvars import ContextVar
from pathlib import Path

import filelock
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import TEMPORARILY_UNAVAILABLE
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
from sqlalchemy.engine import make_url
from sqlalchemy.exc import OperationalError

from tracklight.server.settings import ServerSettings

PROBE_TIMEOUT_SECONDS = 5.0
CHATTY_LOGGERS = (
    "mlflow.store.db.utils",
    "mlflow.store.tracking.sqlalchemy_store",
    "alembic.runtime.migration",
)

_answering: ContextVar[bool] = ContextVar("answering", default=False)


class Store:
    """Opens MLflow's store on first use, also when several threads and processes do so at once."""

    def __init__(self, settings: ServerSettings) -> None:
        self._settings = settings
        self._opening = threading.Lock()
        self._store: SqlAlchemyStore | None = None
        if hasattr(os, "register_at_fork"):
            reference = weakref.ref(self)
            os.register_at_fork(after_in_child=lambda: _forget_connections(reference()))

    def open(self) -> SqlAlchemyStore:
        """Return the store; the first call creates the database if there is none.

        Raises:
            MlflowException: TEMPORARILY_UNAVAILABLE while the database is locked or cannot be opened, or MLflow's
                own error when its schema is not this MLflow's.
        """
        with self._opening:
            if self._store is None:
                with mlflow_kept_quiet():
                    self._store = self._opened()
            return self._store

    def close(self) -> None:
        """Close idle connections."""
        with self._opening:
            if self._store is not None:
                self._store.engine.dispose()
                self._store = None

    def forget_connections(self) -> None:
        """Leave the connections to the parent of this fork."""
        self._opening = threading.Lock()
        if self._store is not None:
            self._store.engine.dispose(close=False)

    def _opened(self) -> SqlAlchemyStore:
        uri = self._settings.backend_store_uri
        url = make_url(uri)
        if url.get_backend_name() != "sqlite":
            return SqlAlchemyStore(uri, self._settings.artifact_root)
        path = Path(url.database or "")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with filelock.FileLock(f"{path}.lock", timeout=self._settings.lock_timeout_seconds):
                _prepare_sqlite(path)
                return SqlAlchemyStore(uri, self._settings.artifact_root)
        except (OSError, filelock.Timeout, sqlite3.OperationalError, OperationalError) as error:
            raise MlflowException(
                f"The database {path} cannot be opened now: {error}. Look for a program that holds it locked, for "
                "missing permissions and for a full disk.",
                error_code=TEMPORARILY_UNAVAILABLE,
            ) from error


@contextlib.contextmanager
def mlflow_kept_quiet() -> Iterator[None]:
    """Keep what MLflow and Alembic log meanwhile, in this context, off the user's terminal."""
    for name in CHATTY_LOGGERS:
        logging.getLogger(name).addFilter(_is_wanted)
    token = _answering.set(True)
    try:
        yield
    finally:
        _answering.reset(token)


def _is_wanted(_record: logging.LogRecord) -> bool:
    return not _answering.get()


def _prepare_sqlite(path: Path) -> None:
    """Create the file for its owner alone, switch it to WAL, and fail early where MLflow would retry for minutes."""
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    connection = sqlite3.connect(path, timeout=PROBE_TIMEOUT_SECONDS)
    try:
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        # A stock server that holds the database is no reason to fail: the next start switches it.
        with contextlib.suppress(sqlite3.OperationalError):
            connection.execute("PRAGMA journal_mode = WAL").fetchone()
    finally:
        connection.close()


def _forget_connections(store: Store | None) -> None:
    if store is not None:
        store.forget_connections()
