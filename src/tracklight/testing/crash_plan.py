"""What each life of a crash test's writer logs: decided by the seed alone, so that an audit can decide it again."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

METRIC_CALLS = 400
LARGE_PARAM_CHARACTERS = 5_000
ARTIFACT_BYTES = (1, 3_000_000)

Kind = Literal["start", "metrics", "param", "tag", "artifact", "end", "pause"]


class Moment(StrEnum):
    """What a life mostly does, and so where a kill at a random moment most likely meets it."""

    LOGGING = "logging"
    ROTATION = "rotation"
    SPOOLING = "spooling"
    FINISH = "finish"
    CLOSE = "close"
    DRAIN = "drain"
    """It logs nothing: it delivers the journals that other lives left."""


@dataclass(frozen=True, slots=True)
class Call:
    """One call of the tracker. ``values`` are a metric call's points, ``text`` a parameter's or tag's value.

    An artifact is ``size_bytes`` of bytes that `content_of` gives.
    """

    kind: Kind
    run: int = 0
    key: str = ""
    step: int = 0
    values: tuple[tuple[str, float], ...] = ()
    text: str = ""
    size_bytes: int = 0
    seconds: float = 0.0

    @property
    def records(self) -> int:
        """How many things are on the server once this call is delivered."""
        return 0 if self.kind == "pause" else len(self.values) or 1


def run_name(life: int, run: int) -> str:
    """Return the name of a run, unique in one crash test."""
    return f"life-{life}-run-{run}"


def content_of(call: Call) -> bytes:
    """Return the bytes of an artifact."""
    return random.Random(f"{call.key}-{call.size_bytes}").randbytes(call.size_bytes)  # noqa: S311 - no secret


def plan_calls(seed: int, life: int, moment: Moment) -> list[Call]:
    """Return the calls of one life, in order."""
    chance = random.Random(f"{seed}-{life}")  # noqa: S311 - no secret
    match moment:
        case Moment.ROTATION:
            return list(_rotating(chance))
        case Moment.SPOOLING:
            return list(_spooling(chance))
        case Moment.FINISH:
            return list(_finishing(chance))
        case Moment.LOGGING | Moment.CLOSE:
            return list(_logging(chance))
        case Moment.DRAIN:
            return []


def _logging(chance: random.Random) -> Iterator[Call]:
    """Points of two runs in turns, with pauses in which the delivery overtakes the program."""
    yield Call("start", run=0)
    yield Call("start", run=1)
    for step in range(METRIC_CALLS):
        run = step % 2
        keys = ("loss",) if chance.random() < 0.8 else ("loss", "accuracy", "rate")
        yield Call("metrics", run=run, step=step, values=tuple((key, chance.random()) for key in keys))
        if step % 25 == 0:
            yield Call("tag", run=run, key=f"tag{step}", text=f"{chance.random()}")
        if chance.random() < 0.02:
            yield Call("pause", seconds=chance.uniform(0.001, 0.04))
    yield Call("end", run=0)
    yield Call("end", run=1)


def _rotating(chance: random.Random) -> Iterator[Call]:
    """Values so large that a small segment is full after three of them."""
    yield Call("start", run=0)
    for step in range(60):
        yield Call(
            "param", run=0, key=f"large{step}", text=f"{chance.random()}-" + "x" * LARGE_PARAM_CHARACTERS
        )
        yield Call("metrics", run=0, step=step, values=(("loss", chance.random()),))
        if chance.random() < 0.03:
            yield Call("pause", seconds=chance.uniform(0.001, 0.03))
    yield Call("end", run=0)


def _spooling(chance: random.Random) -> Iterator[Call]:
    """Files that take a while to copy."""
    yield Call("start", run=0)
    for step in range(6):
        yield Call("artifact", run=0, key=f"file{step}.bin", size_bytes=chance.randint(*ARTIFACT_BYTES))
        yield Call("metrics", run=0, step=step, values=(("loss", chance.random()),))
    yield Call("end", run=0)


def _finishing(chance: random.Random) -> Iterator[Call]:
    """Short runs, one after the other."""
    for run in range(12):
        yield Call("start", run=run)
        yield Call("param", run=run, key="number", text=f"{chance.random()}")
        yield Call("metrics", run=run, step=0, values=(("loss", chance.random()),))
        yield Call("end", run=run)
        if chance.random() < 0.2:
            yield Call("pause", seconds=chance.uniform(0.001, 0.02))
