"""The records of one run on their way to one destination, strictly in order."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from itertools import islice

from tracklight.journal.batch import Item, take_batch
from tracklight.journal.cursor import RunLink
from tracklight.model.record import ArtifactFile, RunEnd, RunStart
from tracklight.model.run import MlflowLimit

FAILURES_BEFORE_NARROWING = 3


@dataclass(slots=True)
class Lane:
    """What waits to be sent for one run. Only the delivery thread touches it."""

    run_id: str
    link: RunLink | None = None
    items: deque[Item] = field(default_factory=deque)
    is_busy: bool = False
    not_before: float = 0.0
    """When the lane may be tried again, on the monotonic clock."""
    failures: int = 0
    """How often in a row the server answered this lane's first request with an internal error."""
    most_items: int = MlflowLimit.ENTITIES_PER_BATCH
    """How many items the next request may have: fewer while the server fails on larger ones."""
    start_tried: int = 0
    refusal: str | None = None
    """Why the server refuses the run itself, so that nothing of it can be sent."""

    def next_request(self) -> list[Item]:
        """Return the items of the next request; they stay in the lane until `acknowledge`."""
        if not self.items:
            return []
        first = self.items[0]
        if isinstance(first.content, (RunStart, RunEnd, ArtifactFile)):
            return [first]
        return take_batch(islice(self.items, self.most_items))

    def acknowledge(self, count: int) -> None:
        """Take the first items out: they were taken by the server or set aside."""
        for _ in range(count):
            self.items.popleft()
        self.failures = 0
        self.most_items = min(2 * self.most_items, MlflowLimit.ENTITIES_PER_BATCH)

    def failed(self, count: int) -> None:
        """Note an internal error for a request of so many items; the next one is smaller."""
        self.failures += 1
        if count > 1 and self.failures >= FAILURES_BEFORE_NARROWING:
            self.most_items = count // 2
            self.failures = 0
