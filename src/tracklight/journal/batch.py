"""Records of one run as the items of MLflow's requests, and how many fit in one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice

import msgspec

from tracklight.model.record import ArtifactFile, Metrics, Params, Record, RunEnd, RunStart, Tags
from tracklight.model.run import MlflowLimit
from tracklight.wire.messages import LogBatch, Metric, Param, Tag

Value = Metric | Param | Tag
_ENVELOPE_BYTES = 120
_METRIC_BYTES = 100


@dataclass(frozen=True, slots=True)
class Item:
    """The smallest thing that a server takes or refuses, and the record it comes from."""

    sequence: int
    content: Value | RunStart | RunEnd | ArtifactFile


def items_of(sequence: int, record: Record) -> list[Item]:
    """Return a record's items, in the order they were logged."""
    match record:
        case Metrics(values=values, timestamp_ms=timestamp_ms, step=step):
            return [Item(sequence, Metric(key, value, timestamp_ms, step)) for key, value in values.items()]
        case Params(values=values):
            return [Item(sequence, Param(key, value)) for key, value in values.items()]
        case Tags(values=values):
            return [Item(sequence, Tag(key, value)) for key, value in values.items()]
        case _:
            return [Item(sequence, record)]


def take_batch(items: Iterable[Item]) -> list[Item]:
    """Return the first items that go into one ``runs/log-batch`` request, by MLflow's limits.

    A parameter that is logged twice with two values ends the batch, so that the server judges the second.
    """
    taken: list[Item] = []
    metrics, size_bytes = 0, _ENVELOPE_BYTES
    params: dict[str, str] = {}
    tags: set[str] = set()
    for item in islice(items, MlflowLimit.ENTITIES_PER_BATCH):
        content = item.content
        match content:
            case Metric():
                metrics += 1
                size_bytes += _METRIC_BYTES + _json_bytes(content.key)
            case Param():
                if params.setdefault(content.key, content.value) != content.value:
                    break
                size_bytes += _ENVELOPE_BYTES + _json_bytes(content.key) + _json_bytes(content.value)
            case Tag():
                tags.add(content.key)
                size_bytes += _ENVELOPE_BYTES + _json_bytes(content.key) + _json_bytes(content.value)
            case _:
                break
        if metrics > MlflowLimit.METRICS_PER_BATCH or (taken and size_bytes > MlflowLimit.BATCH_BYTES):
            break
        if len(params) > MlflowLimit.PARAMS_PER_BATCH or len(tags) > MlflowLimit.TAGS_PER_BATCH:
            break
        taken.append(item)
    return taken


def batch_request(run_id: str, items: Sequence[Item]) -> LogBatch:
    """Return the request for these items; of a tag that is set twice the later value counts."""
    contents = [item.content for item in items]
    return LogBatch(
        run_id=run_id,
        metrics=tuple(content for content in contents if isinstance(content, Metric)),
        params=tuple({content.key: content for content in contents if isinstance(content, Param)}.values()),
        tags=tuple({content.key: content for content in contents if isinstance(content, Tag)}.values()),
    )


def _json_bytes(text: str) -> int:
    return len(text) + 2 if text.isascii() and text.isalnum() else len(msgspec.json.encode(text))
