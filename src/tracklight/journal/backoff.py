"""How long to wait before a server is asked again."""

from __future__ import annotations

import random
from collections.abc import Callable


class Backoff:
    """Waits that double up to a maximum, with full jitter; a server's Retry-After is honoured.

    The jitter is the "full jitter" of M. Brooker, "Exponential Backoff and Jitter" (AWS, 2015), with a floor
    of half the wait so that a server that just fell is not asked at once.
    """

    def __init__(
        self,
        first_seconds: float = 0.25,
        most_seconds: float = 30.0,
        *,
        uniform: Callable[[float, float], float] | None = None,
    ) -> None:
        """``uniform`` gives the jitter; by default not from the program's own generator, which may be seeded."""
        self._first_seconds = first_seconds
        self._most_seconds = most_seconds
        self._uniform = uniform or random.Random().uniform  # noqa: S311 - jitter is no secret
        self.failures = 0

    def failed(self, retry_after_seconds: float | None = None) -> float:
        """Count a failure and return how many seconds to wait."""
        self.failures += 1
        wait = self.wait_after(self.failures)
        return wait if retry_after_seconds is None else max(wait, retry_after_seconds)

    def wait_after(self, failures: int) -> float:
        """Return how many seconds to wait after so many failures in a row, the last included."""
        ceiling = min(self._most_seconds, self._first_seconds * 2 ** min(failures - 1, 20))
        return self._uniform(ceiling / 2, ceiling)

    def succeeded(self) -> None:
        """Start again from the first wait."""
        self.failures = 0
