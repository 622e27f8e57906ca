"""Log events: names with fields. They go to structlog where the program has configured it, else to ``logging``.

structlog is not imported here: a program that uses it has done so.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable
from typing import Any


class EventLog:
    """Emits events of one part of Tracklight. Never writes to the standard output."""

    def __init__(self, name: str, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._name = name
        self._logger = logging.getLogger(name)
        self._monotonic = monotonic
        self._last: dict[str, float] = {}
        self._suppressed: dict[str, int] = {}

    def shows_debug(self) -> bool:
        """Tell whether anybody sees debug events, so that a hot path can do without them."""
        structlog = _configured_structlog()
        if structlog is None:
            return self._logger.isEnabledFor(logging.DEBUG)
        logger = structlog.get_logger(self._name).bind()
        level = getattr(logger, "get_effective_level", None)
        return level is None or bool(level() <= logging.DEBUG)

    def debug(self, event: str, **fields: Any) -> None:
        self._emit("debug", event, fields)

    def info(self, event: str, **fields: Any) -> None:
        self._emit("info", event, fields)

    def warning(self, event: str, **fields: Any) -> None:
        self._emit("warning", event, fields)

    def error(self, event: str, **fields: Any) -> None:
        """``exc_info=True`` adds the exception that is being handled."""
        self._emit("error", event, fields)

    def warning_each_minute(self, event: str, **fields: Any) -> None:
        """Warn, at most once a minute for each event; the next one tells how many were left out."""
        now = self._monotonic()
        if now - self._last.get(event, -60.0) < 60.0:
            self._suppressed[event] = self._suppressed.get(event, 0) + 1
            return
        self._last[event] = now
        left_out = self._suppressed.pop(event, 0)
        self._emit("warning", event, {**fields, "left_out": left_out} if left_out else fields)

    def _emit(self, level: str, event: str, fields: dict[str, Any]) -> None:
        structlog = _configured_structlog()
        if structlog is not None:
            getattr(structlog.get_logger(self._name), level)(event, **fields)
            return
        exc_info = fields.pop("exc_info", None)
        text = " ".join([event, *(f"{name}={value}" for name, value in fields.items())])
        getattr(self._logger, level)(text, exc_info=exc_info)


def _configured_structlog() -> Any:
    structlog = sys.modules.get("structlog")
    return structlog if structlog is not None and structlog.is_configured() else None
