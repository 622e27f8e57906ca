"""The crash test: real processes are killed at random moments, and what they were promised is looked up.

Every life of a writer is a process that logs what the seed decides, and is killed while it logs, while a
segment is rotated, while a file is spooled, while runs end, while it closes, or while it delivers what others
left. Now and then the server is killed instead, and started again a little later.
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tracklight.errors import TracklightError
from tracklight.journal.drain import drain_journal
from tracklight.journal.folder import list_journals
from tracklight.settings import Settings
from tracklight.testing.crash_audit import Audit, Witness, audit
from tracklight.testing.crash_board import CrashBoard
from tracklight.testing.crash_plan import Moment, plan_calls
from tracklight.testing.crash_writer import EXPERIMENT, Life, Zygote
from tracklight.testing.server_process import ServerProcess
from tracklight.tracking.destinations import Destinations

LIVES_AT_ONCE = 2
SERVER_KILLS = 0.1
"""How many of the kills are the server's."""
OUTAGE_ROUNDS = 2
"""How many rounds of lives go by before a killed server is started again."""
LIFE_TIMEOUT_SECONDS = 60.0
DRAIN_TIMEOUT_SECONDS = 300.0
POLL_SECONDS = 0.0002
SERVER = "server"

# A kill while the last moments of a life go on is rarer than one while it logs, and worth more.
MOMENTS = (*Moment, Moment.CLOSE, Moment.FINISH, Moment.SPOOLING)


class CrashTestError(TracklightError):
    """The test itself could not go on: a process did not start, or ended by itself with an error."""


@dataclass(frozen=True, slots=True)
class CrashReport:
    """What a crash test came to. ``kills`` has a count for each moment, and for the server."""

    seed: int
    kills: dict[str, int]
    survivors: int
    audit: Audit
    journals_left: tuple[Path, ...]
    seconds: float

    @property
    def is_clean(self) -> bool:
        """Nothing was lost, duplicated, invented or left behind."""
        return self.audit.is_clean and not self.journals_left


@dataclass(slots=True)
class _Living:
    """A process under way. It is killed ``delay_seconds`` after ``kill_after`` calls, None: once it closes."""

    life: Life
    pid: int
    board: CrashBoard
    kill_after: int | None
    delay_seconds: float
    kill_at: float | None = None
    is_over: bool = False


class CrashTest:
    """One crash test in a folder of its own; `run` does it."""

    def __init__(self, folder: Path, seed: int, on_kill: Callable[[int], None] = lambda _kills: None) -> None:
        """``on_kill`` is told how many processes have been killed so far."""
        self._folder = folder.absolute()
        self._project = self._folder / "project"
        self._seed = seed
        self._chance = random.Random(seed)  # noqa: S311 - no secret
        self._on_kill = on_kill
        self._server = ServerProcess(self._folder / "server")
        self._outage_rounds = 0
        self._kills: Counter[str] = Counter()
        self._lives = 0
        self._witnesses: list[Witness] = []

    def run(self, kills: int) -> CrashReport:
        """Kill so many processes, deliver what is left, and compare.

        Raises:
            CrashTestError: a process did not start, or failed where nothing was killed.
        """
        began = time.monotonic()
        try:
            self._server.start()
            with Zygote(self._folder / "zygote.log") as zygote:
                while self._kills.total() < kills:
                    self._round(zygote, kills)
            self._server.start()
            left = self._deliver_the_rest()
        except RuntimeError as error:
            raise CrashTestError(str(error)) from error
        finally:
            self._server.stop()
        return CrashReport(
            seed=self._seed,
            kills=dict(self._kills),
            survivors=sum(not witness.was_killed for witness in self._witnesses),
            audit=audit(self._server.database, EXPERIMENT, self._witnesses),
            journals_left=left,
            seconds=time.monotonic() - began,
        )

    def _round(self, zygote: Zygote, kills: int) -> None:
        living = [self._begin_life(zygote) for _ in range(LIVES_AT_ONCE)]
        server_dies_at = None
        if self._server.is_running and self._chance.random() < SERVER_KILLS * LIVES_AT_ONCE:
            server_dies_at = time.monotonic() + self._chance.uniform(0.0, 0.4)
        deadline = time.monotonic() + LIFE_TIMEOUT_SECONDS
        while not all(life.is_over for life in living) or server_dies_at is not None:
            now = time.monotonic()
            if now > deadline:
                raise CrashTestError(f"A life did not end in time: see {self._folder}.")
            if server_dies_at is not None and now >= server_dies_at:
                server_dies_at = None
                if self._kills.total() >= kills:
                    continue
                self._server.kill()
                self._count_kill(SERVER)
                self._outage_rounds = self._chance.randint(0, OUTAGE_ROUNDS)
            for life in living:
                self._watch(life, now, may_kill=self._kills.total() < kills)
            time.sleep(POLL_SECONDS)
        for life in living:
            self._bury(zygote, life)
        if not self._server.is_running:
            self._outage_rounds -= 1
            if self._outage_rounds < 0:
                self._server.start()

    def _begin_life(self, zygote: Zygote) -> _Living:
        self._lives += 1
        moment = self._chance.choice(MOMENTS)
        name = f"life-{self._lives}"
        life = Life(
            number=self._lives,
            moment=moment,
            seed=self._seed,
            tracking_uri=self._server.uri,
            project=str(self._project),
            board=str(self._folder / f"{name}.board"),
            log=str(self._folder / f"{name}.log"),
        )
        board = CrashBoard.create(Path(life.board))
        calls = len(plan_calls(self._seed, life.number, moment))
        is_late = moment in (Moment.CLOSE, Moment.DRAIN)
        pid = zygote.begin(life)
        return _Living(
            life=life,
            pid=pid,
            board=board,
            kill_after=None if is_late else self._chance.randint(0, calls - 1),
            delay_seconds=self._chance.uniform(0.0, 0.4) if is_late else self._chance.expovariate(1 / 0.001),
        )

    def _watch(self, living: _Living, now: float, *, may_kill: bool) -> None:
        if living.is_over:
            return
        board = living.board
        if board.is_over:
            living.is_over = True
        elif living.kill_at is None:
            if board.is_closing or (living.kill_after is not None and board.returned >= living.kill_after):
                living.kill_at = now + living.delay_seconds
        elif now >= living.kill_at and may_kill:
            os.kill(living.pid, signal.SIGKILL)  # the zygote has not waited for it, so it is no other process
            living.is_over = True

    def _bury(self, zygote: Zygote, living: _Living) -> None:
        """Learn how the process ended, and remember what it was promised."""
        exit_code = zygote.bury_oldest()
        life, was_killed = living.life, exit_code == -signal.SIGKILL
        if not was_killed and exit_code != 0:
            log = Path(life.log).read_text("utf-8", "replace")
            raise CrashTestError(f"Life {life.number} ended with {exit_code}, and was not killed:\n{log}")
        if was_killed:
            self._count_kill(life.moment)
        calls = plan_calls(self._seed, life.number, life.moment)
        self._witnesses.append(Witness(life.number, calls, living.board.returned, was_killed))
        living.board.close()
        Path(life.board).unlink()

    def _count_kill(self, what: str) -> None:
        self._kills[str(what)] += 1
        self._on_kill(self._kills.total())

    def _deliver_the_rest(self) -> tuple[Path, ...]:
        """Deliver every journal that is left, as ``tracklight sync`` does; return those that cannot be."""
        settings = Settings(tracking_uri=self._server.uri, directory=self._project)
        open_client = Destinations(settings).open_client
        deadline = time.monotonic() + DRAIN_TIMEOUT_SECONDS
        while (journals := list_journals(settings.journals)) and time.monotonic() < deadline:
            results = [result for path in journals for result in drain_journal(path, open_client)]
            if all(result.is_complete for result in results):
                break
        return tuple(list_journals(settings.journals))
