"""What a server refuses for good: kept with the reason, out of the way of the rest."""

from __future__ import annotations

import msgspec

from tracklight.journal.batch import Item
from tracklight.model.record import ArtifactFile, RunEnd, RunStart
from tracklight.wire.messages import Metric, Param, Tag


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """A value that was set aside. Of a file, ``value`` is its name in the spool, where it is kept."""

    sequence: int
    run_id: str
    kind: str
    key: str
    value: str
    reason: str

    @property
    def spool_name(self) -> str | None:
        """The file that is kept for it, if it is one."""
        return self.value if self.kind == ArtifactFile.__name__ else None


def refusal_of(item: Item, run_id: str, reason: str) -> Refusal:
    """Return the refusal of an item."""
    content = item.content
    match content:
        case Metric() | Param() | Tag():
            key, value = content.key, str(content.value)
        case ArtifactFile():
            key, value = content.artifact_path, content.spool_name
        case RunStart():
            key, value = content.experiment_name, content.run_name
        case RunEnd():
            key, value = "status", str(content.run_status)
    return Refusal(
        sequence=item.sequence,
        run_id=run_id,
        kind=type(content).__name__,
        key=key,
        value=value,
        reason=reason,
    )


def unreadable_record(sequence: int) -> Refusal:
    """Return the refusal of a record that this version cannot decode."""
    return Refusal(
        sequence=sequence,
        run_id="",
        kind="unknown",
        key="",
        value="",
        reason="This version of Tracklight does not know the record: use the version that wrote the journal.",
    )
