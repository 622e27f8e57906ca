"""The rounds of `log_call.py`: every side in turn, a fresh process for each short burst and each crash."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rich.progress import Progress

from harness.bursts import Burst, describe_burst
from harness.children import SideError, SideRun
from harness.crashes import Crash, crash_and_recover
from harness.environments import Environment
from harness.servers import MLflowServer
from sides import MeasuredSide

PAUSE_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is measured. ``burst_seconds`` ends a burst early, so that slow sides make fewer calls."""

    rounds: int
    burst_calls: int
    burst_seconds: float
    crashes: int
    crash_calls: int


@dataclass(frozen=True, slots=True)
class Measurement:
    """Runs the sides and keeps what they answered; a side that fails is left out from then on, with its reason.

    ``urls`` are the addresses of the server by its state: up, slow, down, and none for sides without a server.
    """

    effort: Effort
    folder: Path
    server: MLflowServer
    urls: Mapping[str, str]
    environments: Mapping[str, Environment]
    failures: dict[str, str]
    bursts: list[Burst] = field(default_factory=list)
    crashes: list[Crash] = field(default_factory=list)

    def time_round(self, number: int, sides: Sequence[MeasuredSide], progress: Progress) -> None:
        """One burst per side and state of the server."""
        situations = [(side, state) for side in sides for state in side.servers]
        task = progress.add_task("", total=len(situations))
        for side, state in situations:
            text = f"calls, round {number} of {self.effort.rounds}: {side.name}, server {state}"
            progress.update(task, description=text)
            if side.name not in self.failures:
                self._time_burst(side, state, number)
            progress.advance(task)

    def crash_round(self, number: int, sides: Sequence[MeasuredSide], progress: Progress) -> None:
        """Two crashes per side and state of the server: of the process alone, and with its helper processes."""
        kills = [
            (side, state, helpers)
            for side in sides
            for state in side.crash_servers
            for helpers in (False, True)
        ]
        task = progress.add_task("", total=len(kills))
        for side, state, helpers in kills:
            text = f"kill -9, round {number} of {self.effort.crashes}: {side.name}, server {state}"
            progress.update(task, description=text)
            if side.name not in self.failures:
                self._crash(side, state, number, with_helpers=helpers)
            progress.advance(task)

    def _time_burst(self, side: MeasuredSide, state: str, number: int) -> None:
        run = self._open_run(side, f"time-{number}-{state}", state)
        try:
            answer = run.answer("time", calls=self.effort.burst_calls, seconds=self.effort.burst_seconds)
        except SideError as error:
            self.failures[side.name] = str(error)
            return
        self.bursts.append(
            describe_burst(side.name, state, number, answer["nanoseconds"], answer["hung_seconds"])
        )
        time.sleep(PAUSE_SECONDS)

    def _crash(self, side: MeasuredSide, state: str, number: int, *, with_helpers: bool) -> None:
        run = self._open_run(side, f"crash-{number}-{state}-{'all' if with_helpers else 'one'}", state)
        calls = self.effort.crash_calls
        try:
            crash = crash_and_recover(run, self.server, state=state, calls=calls, with_helpers=with_helpers)
        except SideError as error:
            self.failures[side.name] = str(error)
            return
        self.crashes.append(crash)

    def _open_run(self, side: MeasuredSide, what: str, state: str) -> SideRun:
        return SideRun(
            side=side,
            environment=self.environments[side.environment],
            folder=self.folder / f"{side.module}-{what}",
            name=f"{side.module.replace('_', '-')}-{what}",
            start_url=self.server.url,
            url=self.urls[state],
        )
