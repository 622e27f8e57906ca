"""A tracker's way out: its journal, the deliveries, and what dead processes of the project left behind."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from tracklight.errors import TracklightError
from tracklight.journal.deliveries import Deliveries
from tracklight.journal.drain import OpenClient
from tracklight.journal.folder import JournalFolder, JournalInfo
from tracklight.journal.journal import Journal, JournalLimits
from tracklight.journal.leftovers import Leftovers
from tracklight.journal.periodic import Periodic
from tracklight.model.record import Record

HOUSEKEEPING_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Totals:
    """What an outbox has done in its life; see `tracking.health.Health`."""

    accepted: int
    delivered: int
    refused: int
    damaged: int
    waiting: int
    oldest_age_seconds: float
    last_error: str | None


class Outbox:
    """Takes records, and brings them to every destination in the background.

    Everything starts with the first record: the folder, a thread for each destination, one that writes to the
    disk and one for housekeeping. When no run is open and all is delivered, all of it is given back, until
    the next record.
    """

    def __init__(
        self,
        journals: Path,
        make_info: Callable[[str | None], JournalInfo],
        open_client: OpenClient,
        limits: JournalLimits,
        *,
        preamble: Callable[[str | None], Iterable[Record]],
        is_idle: Callable[[], bool],
    ) -> None:
        """``make_info`` and ``preamble`` are given the parent process's journal after a fork, else None."""
        self._journals = journals
        self._make_info = make_info
        self._open_client = open_client
        self._is_idle = is_idle
        self._parent: str | None = None
        self._refused_before = 0
        self._damaged_before = 0
        self.journal = Journal(
            self._make_folder, limits, preamble=lambda: preamble(self._parent), on_open=self._start
        )
        self.append = self.journal.append
        self._forget_threads()

    def _forget_threads(self) -> None:
        self._deliveries: Deliveries | None = None
        self._housekeeping: Periodic | None = None
        self._leftovers = Leftovers(self._journals, self._open_client)
        self._stopping = threading.Event()
        self._is_closed = False

    def restart_after_fork(self) -> None:
        """In a fork's child: leave everything to the parent, begin anew with the next record."""
        folder = self.journal.folder
        if folder is not None:
            self._parent = folder.name
            folder.release()
        self.journal.restart_after_fork()
        self._forget_threads()

    def totals(self) -> Totals:
        """Count what was accepted, delivered and refused."""
        deliveries, journal = self._deliveries, self.journal
        unacknowledged = journal.next_sequence - deliveries.acknowledged if deliveries else 0
        waiting = min(unacknowledged, journal.next_sequence - 1)
        disk_error = str(journal.disk_error) if journal.disk_error else None
        return Totals(
            accepted=journal.accepted,
            delivered=journal.accepted - waiting,
            refused=self._refused_before + (deliveries.refused if deliveries else 0),
            damaged=self._damaged_before + (deliveries.damaged if deliveries else 0),
            waiting=waiting + journal.backlog,
            oldest_age_seconds=deliveries.oldest_age_seconds() if deliveries else 0.0,
            last_error=disk_error or (deliveries.last_error if deliveries else None),
        )

    def flush(self, timeout_seconds: float) -> bool:
        """Wait until every destination has taken, or refused, what was appended so far."""
        return self._wait(time.monotonic() + timeout_seconds, leave_dead=False)

    def close(self, timeout_seconds: float) -> bool:
        """Deliver what is left, for at most so long, and stop; return whether nothing is left.

        A destination that never answered is not waited for. What is left stays in the journal, and the last
        line on the standard error says how to send it.
        """
        if self._is_closed:
            return True
        self._is_closed = True
        deadline = time.monotonic() + timeout_seconds
        is_delivered = self._wait(deadline, leave_dead=True)
        self.journal.close()
        if self.journal.backlog:
            print(
                f"tracklight: {self.journal.backlog:,} records are lost: the disk took none "
                f"({self.journal.disk_error}).",
                file=sys.stderr,
            )
        self._stopping.set()
        if self._housekeeping is not None:
            self._housekeeping.stop()
        deliveries = self._deliveries
        if deliveries is None:
            return is_delivered
        is_delivered = is_delivered and self._wait(deadline, leave_dead=True)  # what came while we closed
        if is_delivered:
            with contextlib.suppress(OSError, TracklightError):
                self._leftovers.deliver_children(deliveries.folder.name, lambda: time.monotonic() > deadline)
        deliveries.stop()
        self._give_back(deliveries, is_delivered=is_delivered)
        return is_delivered

    def _make_folder(self) -> JournalFolder:
        return JournalFolder.create(self._journals, self._make_info(self._parent))

    def _start(self, folder: JournalFolder) -> None:
        self._deliveries = Deliveries(folder, self.journal, self._open_client)
        with contextlib.suppress(RuntimeError):  # no thread starts while the interpreter shuts down
            self._housekeeping = Periodic("tracklight-housekeeping", self._keep_house, HOUSEKEEPING_SECONDS)

    def _wait(self, deadline: float, *, leave_dead: bool) -> bool:
        deliveries = self._deliveries
        if deliveries is None:
            return self.journal.backlog == 0
        is_delivered = deliveries.wait_for(self.journal.next_sequence, deadline, leave_dead=leave_dead)
        return is_delivered and self.journal.backlog == 0

    def _keep_house(self) -> None:
        self._leftovers.deliver(self._stopping.is_set)
        deliveries, housekeeping = self._deliveries, self._housekeeping
        if deliveries is None or self._stopping.is_set() or not self._is_idle():
            return
        if self.journal.detach(deliveries.acknowledged) is not None:
            self._rest(deliveries, housekeeping)

    def _rest(self, deliveries: Deliveries, housekeeping: Periodic | None) -> None:
        """Give back threads and folder: nothing is open and nothing waits. A record may have come since."""
        if self._deliveries is deliveries:
            self._deliveries = None
        if housekeeping is not None:
            housekeeping.stop()
        self._refused_before += deliveries.refused
        self._damaged_before += deliveries.damaged
        deliveries.stop()
        self._give_back(deliveries, is_delivered=True)

    def _give_back(self, deliveries: Deliveries, *, is_delivered: bool) -> None:
        folder = deliveries.folder
        if is_delivered and not deliveries.refused:
            folder.remove()
            return
        folder.release()
        waiting = self.journal.next_sequence - max(deliveries.acknowledged, 1)
        if not is_delivered and waiting:
            print(
                f"tracklight: {waiting:,} records are not delivered "
                f"({deliveries.last_error or 'there was no time'}). "
                f"They are kept; send them with: tracklight sync {folder.path.parent.parent}",
                file=sys.stderr,
            )
        if deliveries.refused:
            print(
                f"tracklight: the server refused {deliveries.refused:,} values. "
                f"See why with: tracklight journal show {folder.path}",
                file=sys.stderr,
            )
