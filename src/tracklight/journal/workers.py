"""A few daemon threads that send requests, so that one slow run does not hold up the others.

The standard thread pool is not used: the interpreter waits for its threads at exit, however long a hung
server takes.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

Result = TypeVar("Result")


class Workers(Generic[Result]):
    """Runs jobs on up to ``most`` daemon threads and hands their results to one collector."""

    def __init__(self, name: str, most: int) -> None:
        self._name = name
        self._most = most
        self._jobs: queue.SimpleQueue[Callable[[], Result] | None] = queue.SimpleQueue()
        self._results: queue.SimpleQueue[Result | None] = queue.SimpleQueue()
        self._threads = 0
        self.running = 0

    def submit(self, job: Callable[[], Result]) -> None:
        """Run a job, which raises nothing, on a thread; on the caller's where no thread can be started."""
        self.running += 1
        if self.running > self._threads and self._threads < self._most:
            try:
                threading.Thread(target=self._work, name=f"{self._name}-{self._threads}", daemon=True).start()
            except RuntimeError:  # the interpreter is shutting down
                if self._threads == 0:
                    self._results.put(job())
                    return
            else:
                self._threads += 1
        self._jobs.put(job)

    def wake(self) -> None:
        """Have `collect` return although nothing is done."""
        self._results.put(None)

    def collect(self, timeout_seconds: float) -> list[Result]:
        """Wait for the first result, or a wake, and return all that are there."""
        results: list[Result] = []
        try:
            found = self._results.get(timeout=timeout_seconds)
            while True:
                if found is not None:
                    results.append(found)
                    self.running -= 1
                found = self._results.get_nowait()
        except queue.Empty:
            return results

    def stop(self) -> None:
        """Let the threads end when they have nothing more to do."""
        for _ in range(self._threads):
            self._jobs.put(None)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            self._results.put(job())
