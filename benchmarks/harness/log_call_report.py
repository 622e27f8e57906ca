"""Tables, aims and chart of `log_call.py`."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from itertools import groupby

from harness.bursts import Summary, summarise
from harness.chart import Bar, draw_bars
from harness.crashes import Crash
from harness.machine import Machine
from harness.measurement import Effort, Measurement
from harness.results import Aim, Grid, Report, format_us
from harness.servers import SLOW_ANSWER_SECONDS
from sides import FLOOR, LOG_CALL_SIDES, TRACKLIGHT

P50_AIM_US = 3.0
P99_AIM_US = 50.0
SAME_FACTOR = 1.5
AHEAD_FACTOR = 5.0
SIDE_ORDER = [side.name for side in LOG_CALL_SIDES]
STATE_ORDER = ["none", "up", "slow", "down"]


def build_report(
    machine: Machine, measurement: Measurement, versions: Mapping[str, str], server_version: str
) -> Report:
    summaries = summarise_all(measurement)
    crashes = sorted(measurement.crashes, key=order)
    effort = measurement.effort
    return Report(
        name="log_call",
        title="The time of one metric-logging call",
        machine=machine,
        method=describe_method(effort, versions, server_version),
        grids=(time_grid(summaries), crash_grid(crashes), failure_grid(measurement)),
        aims=list(find_aims(summaries, crashes)),
        facts={
            "versions": dict(versions),
            "effort": asdict(effort),
            "summaries": [asdict(summary) for summary in summaries],
            "bursts": [asdict(burst) for burst in measurement.bursts],
            "crashes": [asdict(crash) for crash in crashes],
            "failures": measurement.failures,
        },
        chart_svg=draw_chart(summaries, crashes),
    )


def describe_method(effort: Effort, versions: Mapping[str, str], server_version: str) -> list[str]:
    installed = ", ".join(f"{name} {version}" for name, version in versions.items() if name != FLOOR.name)
    server = f"stock `mlflow server` {server_version}, SQLite, one worker, no job runner"
    burst = f"{effort.burst_calls:,} calls or {effort.burst_seconds:g} s, whichever ends first"
    return [
        f"versions: {installed}",
        f"server: {server}; slow = answers held back {SLOW_ANSWER_SECONDS:g} s; down = connection refused",
        f"{effort.rounds} rounds, all sides in turn, a fresh process per burst of {burst}",
        "times: medians of the bursts' percentiles; max is the worst call of all",
        f"kill -9: after {effort.crash_calls:,} calls and nothing else, {effort.crashes} times each",
        "kept: the fewest distinct points that the side's own way of reading or syncing finds afterwards",
    ]


def order(row: Summary | Crash) -> tuple[int, int]:
    return SIDE_ORDER.index(row.side), STATE_ORDER.index(row.server)


def summarise_all(measurement: Measurement) -> list[Summary]:
    by_situation = sorted(measurement.bursts, key=lambda burst: (burst.side, burst.server))
    groups = groupby(by_situation, key=lambda burst: (burst.side, burst.server))
    return sorted((summarise(list(bursts)) for _, bursts in groups), key=order)


def time_grid(summaries: Sequence[Summary]) -> Grid:
    columns = ("side", "server", "p50", "p99", "p99.9", "max", "calls")
    return Grid("One call, as the caller sees it", columns, [time_row(summary) for summary in summaries])


def time_row(summary: Summary) -> tuple[str, ...]:
    times = (summary.p50_us, summary.p99_us, summary.p999_us)
    longest = format_us(summary.max_us)
    if summary.hung_seconds:
        longest = f"> {summary.hung_seconds:.1f} s"
    return summary.side, summary.server, *map(format_us, times), longest, f"{summary.calls:,}"


def crash_grid(crashes: Sequence[Crash]) -> Grid:
    rows = []
    for (side, server), group in groupby(crashes, key=lambda crash: (crash.side, crash.server)):
        members = list(group)
        alone = [crash for crash in members if not crash.with_helpers]
        together = [crash for crash in members if crash.with_helpers]
        duplicated = max(crash.duplicated for crash in members)
        rows.append((side, server, describe_kept(alone), describe_kept(together), str(duplicated)))
    columns = ("side", "server", "process killed", "helpers killed too", "duplicates")
    return Grid("Points kept across kill -9", columns, rows)


def describe_kept(crashes: Sequence[Crash]) -> str:
    return f"{min(crash.kept for crash in crashes):,} of {crashes[0].logged:,}" if crashes else "-"


def failure_grid(measurement: Measurement) -> Grid:
    rows = [(side, " ".join(why.split())[-240:]) for side, why in measurement.failures.items()]
    return Grid("Not measured", ("side", "why"), rows)


def find_keepers(crashes: Sequence[Crash]) -> set[tuple[str, str]]:
    """The sides and states of the server in which every crash of the process has kept every point."""
    alone = [crash for crash in crashes if not crash.with_helpers]
    lossy = {(crash.side, crash.server) for crash in alone if crash.kept < crash.logged}
    return {(crash.side, crash.server) for crash in alone} - lossy


def find_aims(summaries: Sequence[Summary], crashes: Sequence[Crash]) -> Iterator[Aim]:
    ours = {summary.server: summary for summary in summaries if summary.side == TRACKLIGHT.name}
    medians = {state: summary.p50_us for state, summary in ours.items() if summary.p50_us}
    for state, summary in ours.items():
        p50, p99 = summary.p50_us or float("inf"), summary.p99_us or float("inf")
        yield Aim(f"p50 < {P50_AIM_US:g} µs, server {state}", format_us(summary.p50_us), p50 < P50_AIM_US)
        yield Aim(f"p99 < {P99_AIM_US:g} µs, server {state}", format_us(summary.p99_us), p99 < P99_AIM_US)
    if {"up", "down"} <= medians.keys():
        ratio = medians["down"] / medians["up"]
        promise = f"the same up or down (p50 within a factor of {SAME_FACTOR:g})"
        yield Aim(promise, f"down / up = {ratio:.2f}", 1 / SAME_FACTOR <= ratio <= SAME_FACTOR)
    keepers = find_keepers(crashes)
    tested = {crash.server for crash in crashes if crash.side == TRACKLIGHT.name}
    if tested:
        kept = all((TRACKLIGHT.name, state) in keepers for state in tested)
        yield Aim("keeps every point across kill -9", "all kept" if kept else "points lost", kept)
    candidates = [s for s in summaries if (s.side, s.server) in keepers and s.side != TRACKLIGHT.name]
    if "up" in medians and candidates:
        best = min(candidates, key=lambda summary: summary.p50_us or float("inf"))
        ratio = (best.p50_us or float("inf")) / medians["up"]
        promise = f"p50 at least {AHEAD_FACTOR:g}x below the best peer that keeps every point"
        yield Aim(promise, f"{ratio:.1f}x below {best.side}", ratio >= AHEAD_FACTOR)


def draw_chart(summaries: Sequence[Summary], crashes: Sequence[Crash]) -> str:
    keepers = find_keepers(crashes)
    bars = [
        Bar(
            label=summary.side if summary.server == "none" else f"{summary.side}, server {summary.server}",
            value=summary.p50_us,
            high=summary.p99_us,
            text=format_us(summary.p50_us)
            + (" · keeps all" if (summary.side, summary.server) in keepers else ""),
            best=summary.side == TRACKLIGHT.name,
        )
        for summary in summaries
        if summary.p50_us and summary.side != FLOOR.name
    ]
    scale = (
        "µs, logarithmic; bar = p50, line = p99; “keeps all” = every point survives kill -9 of the process"
    )
    return draw_bars("The time of one metric-logging call", scale, bars) if bars else ""
