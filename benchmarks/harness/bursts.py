"""Percentiles of single bursts, and their medians over the rounds."""

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

PERCENTILES = {"p50": 0.5, "p99": 0.99, "p999": 0.999}


@dataclass(frozen=True, slots=True)
class Burst:
    """One burst of calls in one process. A percentile is None where the burst has too few calls to tell it.

    ``hung_seconds`` is how long the last call had not returned when the burst was given up.
    """

    side: str
    server: str
    round: int
    calls: int
    p50_us: float | None
    p99_us: float | None
    p999_us: float | None
    max_us: float | None
    hung_seconds: float | None


@dataclass(frozen=True, slots=True)
class Summary:
    """Medians over the rounds of a side in one situation; ``max_us`` and ``hung_seconds`` are the worst of all."""

    side: str
    server: str
    calls: int
    p50_us: float | None
    p99_us: float | None
    p999_us: float | None
    max_us: float | None
    hung_seconds: float | None


def describe_burst(
    side: str, server: str, round_number: int, nanoseconds: Iterable[int], hung_seconds: float | None
) -> Burst:
    ordered = sorted(nanoseconds)
    values = {name: find_percentile_us(ordered, fraction) for name, fraction in PERCENTILES.items()}
    return Burst(
        side=side,
        server=server,
        round=round_number,
        calls=len(ordered),
        p50_us=values["p50"],
        p99_us=values["p99"],
        p999_us=values["p999"],
        max_us=ordered[-1] / 1e3 if ordered else None,
        hung_seconds=hung_seconds,
    )


def find_percentile_us(ordered: Sequence[int], fraction: float) -> float | None:
    """The nearest-rank percentile, or None if fewer than 1 / (1 - fraction) calls have been made."""
    if len(ordered) * (1 - fraction) < 0.999:
        return ordered[len(ordered) // 2] / 1e3 if ordered and fraction == 0.5 else None
    return ordered[math.ceil(fraction * len(ordered)) - 1] / 1e3


def summarise(bursts: Sequence[Burst]) -> Summary:
    """Sum up the bursts of one side in one situation."""
    first = bursts[0]
    return Summary(
        side=first.side,
        server=first.server,
        calls=sum(burst.calls for burst in bursts),
        p50_us=find_median(burst.p50_us for burst in bursts),
        p99_us=find_median(burst.p99_us for burst in bursts),
        p999_us=find_median(burst.p999_us for burst in bursts),
        max_us=max((burst.max_us for burst in bursts if burst.max_us is not None), default=None),
        hung_seconds=max((burst.hung_seconds for burst in bursts if burst.hung_seconds), default=None),
    )


def find_median(values: Iterable[float | None]) -> float | None:
    """The median of the known values; None if most are unknown."""
    all_values = list(values)
    known = [value for value in all_values if value is not None]
    return statistics.median(known) if 2 * len(known) > len(all_values) else None
