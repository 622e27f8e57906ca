"""How a tracker's delivery is doing."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Health:
    """Counts are records, one for each call of a ``log_`` method, unless said otherwise.

    With several destinations, ``delivered``, ``waiting`` and ``oldest_age_seconds`` are those of the one that
    is furthest behind.
    """

    accepted: int
    """Records in the journal since the tracker began, delivered or not."""
    delivered: int
    """Records that the server has taken or refused."""
    refused: int
    """Values that the server refused for good; they are kept with its message."""
    dropped: int
    """Metric points that the size limit or a full disk kept out of the journal."""
    damaged: int
    """Records that could not be read back from the disk."""
    mistakes: int
    """Calls that could not be recorded as they were meant: a metric that is no number, a file that is missing."""
    waiting: int
    """Records that wait for the server."""
    oldest_age_seconds: float
    """How long the oldest of them has waited."""
    last_error: str | None
    """The last thing that went wrong, be it over or not."""

    @property
    def is_healthy(self) -> bool:
        """Nothing was lost, refused or mistaken."""
        return not (self.refused or self.dropped or self.damaged or self.mistakes)
