"""A daemon thread that does one thing every so often until it is stopped."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from tracklight.events import EventLog

log = EventLog("tracklight.threads")

DEFECT_PAUSE_SECONDS = 1.0


class Periodic:
    """Calls ``action`` every ``interval_seconds`` on a thread of its own; `wake` calls it at once.

    An error that the action does not handle is a defect: it is logged, and the thread goes on after a second.
    `stop` does not wait.
    """

    def __init__(self, name: str, action: Callable[[], None], interval_seconds: float) -> None:
        self._action = action
        self._interval_seconds = interval_seconds
        self._wakened = threading.Event()
        self._stopped = False
        self._thread = threading.Thread(target=self._loop, name=name, daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """Have the action called without waiting for the interval."""
        self._wakened.set()

    def stop(self) -> None:
        """Let the thread end after the call it is in."""
        self._stopped = True
        self._wakened.set()

    def join(self, timeout_seconds: float) -> bool:
        """Wait for a stopped thread; return whether it has ended."""
        self._thread.join(timeout_seconds)
        return not self._thread.is_alive()

    def _loop(self) -> None:
        while not self._stopped:
            try:
                self._action()
            except Exception:  # the last line of a background thread: it must not end in silence
                log.error("thread.defect", thread=self._thread.name, exc_info=True)
                time.sleep(DEFECT_PAUSE_SECONDS)
            self._wakened.wait(self._interval_seconds)
            self._wakened.clear()
