"""The processes that a crash test kills.

``python -m tracklight.testing.crash_writer`` imports what a tracker needs once and forks a process for each
line it is given: starting an interpreter would take longer than the life that is to be cut short. It has no
tracker and no thread of its own, so each life is a process like any other, with a journal of its own.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx2  # noqa: F401 - imported by the first request otherwise, in each life anew
import msgspec

from tracklight.journal.leftovers import Leftovers
from tracklight.settings import Settings
from tracklight.testing.crash_board import CrashBoard
from tracklight.testing.crash_plan import Call, Moment, content_of, plan_calls, run_name
from tracklight.tracking.destinations import Destinations
from tracklight.tracking.run import Run
from tracklight.tracking.tracker import Tracker

EXPERIMENT = "crash"


class Life(msgspec.Struct, frozen=True, kw_only=True):
    """What one process is to do."""

    number: int
    moment: Moment
    seed: int
    tracking_uri: str
    project: str
    board: str
    log: str

    def settings(self) -> Settings:
        """Return a tracker's settings: small segments, and no patience at the end."""
        return Settings(
            tracking_uri=self.tracking_uri,
            directory=Path(self.project),
            segment_bytes=1 << 14,
            strict=True,
            exit_timeout_seconds=2.0,
        )


class Zygote:
    """The process that others are forked from, as the crash test sees it."""

    def __init__(self, log: Path) -> None:
        self._log = log

    def __enter__(self) -> Self:
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(  # noqa: S603 - this module itself
                [sys.executable, "-m", __name__],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                cwd=self._log.parent,
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is not None:
            self._process.kill()
        self._process.communicate()

    def begin(self, life: Life) -> int:
        """Start a process and return its id, which stays its own until `bury_oldest`."""
        return self._ask(msgspec.json.encode(life))

    def bury_oldest(self) -> int:
        """Wait for the process that was started first, and return its exit code; -9 when it was killed."""
        return self._ask(b"")

    def _ask(self, line: bytes) -> int:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(line + b"\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError(f"The writers' parent has ended:\n{self._log.read_text('utf-8', 'replace')}")
        return int(answer)


def main() -> None:
    """Read a `Life` on each line and print the process's id; an empty line waits for the oldest to end."""
    pids: list[int] = []
    for line in sys.stdin.buffer:
        if line.strip():
            life = msgspec.json.decode(line, type=Life)
            pid = os.fork()
            if pid == 0:
                _live_and_leave(life)
            pids.append(pid)
            print(pid, flush=True)
        else:
            _, status = os.waitpid(pids.pop(0), 0)
            print(os.waitstatus_to_exitcode(status), flush=True)


def _live_and_leave(life: Life) -> None:
    log = os.open(life.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(log, 1)
    os.dup2(log, 2)
    exit_code = 0
    board = CrashBoard(Path(life.board))
    try:
        live(life, board)
    except BaseException:  # noqa: BLE001 - the end of the process: its parent's parent reads the log
        traceback.print_exc()
        exit_code = 1
    board.note_over()
    os._exit(exit_code)


def live(life: Life, board: CrashBoard) -> None:
    """Do what the plan says, and count every call that has returned."""
    settings = life.settings()
    if life.moment is Moment.DRAIN:
        board.note_closing()
        Leftovers(settings.journals, Destinations(settings).open_client).deliver(lambda: False)
        return
    tracker = Tracker(EXPERIMENT, settings=settings)
    runs: dict[int, Run] = {}
    with tempfile.TemporaryDirectory(dir=Path(life.project).parent) as folder:
        for returned, call in enumerate(plan_calls(life.seed, life.number, life.moment), start=1):
            _make(call, tracker, runs, life.number, Path(folder))
            board.note_returned(returned)
        board.note_closing()
        tracker.close()


def _make(call: Call, tracker: Tracker, runs: dict[int, Run], life: int, folder: Path) -> None:
    match call.kind:
        case "start":
            runs[call.run] = tracker.start_run(run_name(life, call.run))
        case "metrics" if len(call.values) == 1:
            runs[call.run].log_metric(*call.values[0], step=call.step)
        case "metrics":
            runs[call.run].log_metrics(dict(call.values), step=call.step)
        case "param":
            runs[call.run].log_param(call.key, call.text)
        case "tag":
            runs[call.run].set_tag(call.key, call.text)
        case "artifact":
            path = folder / call.key
            path.write_bytes(content_of(call))
            runs[call.run].log_artifact(path)
            path.unlink()
        case "end":
            runs[call.run].end()
        case "pause":
            time.sleep(call.seconds)


if __name__ == "__main__":
    main()
