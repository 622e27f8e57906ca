"""A daemon thread that does one thing every so often until it is stopped."""

from __future__ import annotations

import threading
from collections.abc import Callable


class Periodic:
    """Calls ``action`` every ``interval_seconds`` on a thread of its own; `wake` calls it at once.

    The owner of the action handles its errors: one that escapes ends the thread. `stop` does not wait.
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
            self._action()
            self._wakened.wait(self._interval_seconds)
            self._wakened.clear()
