"""The command line that every side speaks: `time`, `crash`, `recover` and `deliver`.

Only the standard library is imported here, because this runs in every side's own environment. The answer is
one JSON object written to ``--answer``; the process then ends without the tool's own shutdown, which is not
what is measured.
"""

import argparse
import json
import os
import signal
import sys
import threading
import time
from array import array
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path

Log = Callable[[float, int], object]
"""One call: the value and the step of the metric "loss"."""

WATCHDOG_GRACE_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Place:
    """Where a side writes.

    ``folder`` is empty at first, and also the working directory. ``start_url`` is a server that answers;
    ``url`` is the one to log to, which may be slow or refuse. What must stay open for the life of the process
    (a run's context manager) is entered on ``held``.
    """

    folder: Path
    name: str
    start_url: str
    url: str
    held: ExitStack = field(default_factory=ExitStack)


@dataclass(frozen=True, slots=True)
class Side:
    """A measured tool: how to open a run, how to get the data back after a crash, how to deliver in bulk.

    ``recover`` returns the points that the tool's own reader finds, or None if they are to be counted in the
    server's database; without it there is nothing to do before counting there. ``deliver`` returns the seconds
    it took to have a number of points at the server.
    """

    open_log: Callable[[Place], Log] | None = None
    recover: Callable[[Place], int | None] | None = None
    deliver: Callable[[Place, int], float] | None = None


class BurstClock:
    """Times single calls until a number of calls or a number of seconds is reached."""

    def __init__(self) -> None:
        self.nanoseconds = array("q")
        self.called_at = time.perf_counter_ns()

    def run(self, log: Log, *, calls: int, seconds: float) -> None:
        clock = time.perf_counter_ns
        record = self.nanoseconds.append
        deadline = clock() + int(seconds * 1e9)
        for step in range(calls):
            value = 1.0 / (step + 1)
            self.called_at = begin = clock()
            log(value, step)
            end = clock()
            record(end - begin)
            if end > deadline:
                break

    def answer(self, *, hung: bool) -> dict[str, object]:
        waited = (time.perf_counter_ns() - self.called_at) / 1e9
        return {
            "nanoseconds": self.nanoseconds.tolist(),
            "hung_seconds": waited if hung else None,
            "helpers": find_helpers(os.getpid()),
        }


def time_calls(log: Log, options: argparse.Namespace) -> None:
    """Run one burst; a call that has not returned a second after the time limit is reported as hung."""
    burst = BurstClock()

    def give_up() -> None:
        time.sleep(options.seconds + WATCHDOG_GRACE_SECONDS)
        leave(options.answer, burst.answer(hung=True))

    threading.Thread(target=give_up, daemon=True).start()
    burst.run(log, calls=options.calls, seconds=options.seconds)
    leave(options.answer, burst.answer(hung=False))


def find_helpers(parent: int) -> list[int]:
    """The live descendants of a process: the service processes that a tool has started (Linux only)."""
    parents: dict[int, int] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            pid, rest = int(stat.parent.name), stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        parents[pid] = int(rest[1])
    found: list[int] = []
    wanted = {parent}
    while wanted:
        wanted = {pid for pid, above in parents.items() if above in wanted}
        found.extend(wanted)
    return found


def crash(log: Log, options: argparse.Namespace) -> None:
    """Log all points, then die by SIGKILL with nothing in between; with its helper processes if asked to."""
    helpers = find_helpers(os.getpid())
    write_answer(options.answer, {"helpers": helpers, "logged": options.calls})
    victims = [*helpers, os.getpid()] if options.with_helpers else [os.getpid()]
    for step in range(options.calls):
        log(1.0 / (step + 1), step)
    for pid in victims:
        with suppress(ProcessLookupError):  # a helper that was only passing
            os.kill(pid, signal.SIGKILL)


def write_answer(path: Path, answer: dict[str, object]) -> None:
    half = path.with_suffix(".half")
    half.write_text(json.dumps(answer))
    half.replace(path)


def leave(path: Path, answer: dict[str, object]) -> None:
    """Write the answer and end the process at once: no exit hooks, nothing left to wait for."""
    write_answer(path, answer)
    sys.stdout.flush()
    os._exit(0)


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("command", choices=["time", "crash", "recover", "deliver"])
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--answer", type=Path, required=True)
    parser.add_argument("--name", required=True)
    parser.add_argument("--start-url", default="")
    parser.add_argument("--url", default="")
    parser.add_argument("--calls", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=0)
    parser.add_argument("--with-helpers", action="store_true")
    return parser.parse_args()


def serve(side: Side) -> None:
    """Do what the command line asks for. Never returns."""
    options = read_options()
    place = Place(folder=options.folder, name=options.name, start_url=options.start_url, url=options.url)
    if options.command == "time" and side.open_log:
        time_calls(side.open_log(place), options)
    elif options.command == "crash" and side.open_log:
        crash(side.open_log(place), options)
    elif options.command == "recover":
        leave(options.answer, {"kept": side.recover(place) if side.recover else None})
    elif options.command == "deliver" and side.deliver:
        leave(options.answer, {"seconds": side.deliver(place, options.calls)})
    else:
        raise SystemExit(f"{options.name}: this side has no command {options.command!r}.")
