"""A tracker's way out: one journal, a delivery to each destination, and the journals of dead processes."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

from tracklight.client.calls import Client
from tracklight.errors import ConfigurationError
from tracklight.events import EventLog
from tracklight.journal.delivery import Delivery
from tracklight.journal.drain import OpenClient, drain_leftovers, make_delivery
from tracklight.journal.folder import JournalFolder, JournalInfo
from tracklight.journal.journal import Journal, JournalLimits
from tracklight.journal.ledger import Ledger
from tracklight.journal.periodic import Periodic
from tracklight.model.record import Record

log = EventLog("tracklight.journal")

LEFTOVERS_INTERVAL_SECONDS = 15.0
WAIT_SLICE_SECONDS = 0.05


class Outbox:
    """Takes records, and brings them to every destination in the background.

    Everything starts with the first record: the folder, a thread for each destination, and one that delivers
    what dead processes of the same project left behind.
    """

    def __init__(
        self,
        journals: Path,
        make_info: Callable[[str | None], JournalInfo],
        open_client: OpenClient,
        limits: JournalLimits,
        preamble: Callable[[str | None], Iterable[Record]],
    ) -> None:
        """``make_info`` and ``preamble`` are given the parent process's journal after a fork, else None."""
        self._journals = journals
        self._make_info = make_info
        self._open_client = open_client
        self._parent: str | None = None
        self.journal = Journal(
            self._make_folder, limits, preamble=lambda: preamble(self._parent), on_open=self._start
        )
        self.append = self.journal.append
        self._start_afresh()

    def _start_afresh(self) -> None:
        self._stopping = threading.Event()
        self._clients: list[Client] = []
        self.deliveries: list[Delivery] = []
        self._threads: list[Periodic] = []
        self.configuration_error: ConfigurationError | None = None
        self._is_closed = False

    def restart_after_fork(self) -> None:
        """In a fork's child: leave everything to the parent, begin anew with the next record."""
        folder = self.journal.folder
        if folder is not None:
            self._parent = folder.name
            folder.release()
        self.journal.restart_after_fork()
        self._start_afresh()

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
        folder = self.journal.folder
        if folder is None:
            return not self.journal.next_sequence > 1
        if is_delivered:
            is_delivered = self._wait(deadline, leave_dead=True)
            with contextlib.suppress(OSError):
                drain_leftovers(
                    self._journals,
                    self._open_client,
                    lambda: time.monotonic() > deadline,
                    child_of=folder.name,
                )
        self._stop()
        refused = sum(delivery.refused for delivery in self.deliveries)
        if is_delivered and not refused:
            folder.remove()
        else:
            folder.release()
            self._say_what_is_left(folder, refused)
        return is_delivered

    def _make_folder(self) -> JournalFolder:
        return JournalFolder.create(self._journals, self._make_info(self._parent))

    def _start(self, folder: JournalFolder) -> None:
        ledger = Ledger(folder.spool, self.journal.forget)
        for destination in folder.info.destinations:
            try:
                client = self._open_client(destination)
            except ConfigurationError as error:
                self.configuration_error = error
                ledger.join(destination, 0)
                log.error("delivery.misconfigured", destination=destination, error=str(error))
                continue
            self._clients.append(client)
            self.deliveries.append(make_delivery(folder, destination, client, ledger, self.journal.tail))
        with contextlib.suppress(RuntimeError):  # no thread starts while the interpreter shuts down
            for delivery in self.deliveries:
                self._threads.append(Periodic("tracklight-delivery", partial(_step, delivery), 0.0))
            self._threads.append(
                Periodic("tracklight-leftovers", self._drain_leftovers, LEFTOVERS_INTERVAL_SECONDS)
            )

    def _drain_leftovers(self) -> None:
        drain_leftovers(
            self._journals,
            self._open_client,
            self._stopping.is_set,
            on_error=lambda path, error: log.warning("leftover.failed", journal=path.name, error=str(error)),
        )

    def _wait(self, deadline: float, *, leave_dead: bool) -> bool:
        sequence = self.journal.next_sequence
        for delivery in self.deliveries:
            delivery.wake()
            while not delivery.wait_for(sequence, WAIT_SLICE_SECONDS):
                is_dead = delivery.is_reachable is False and not delivery.was_reached
                if time.monotonic() > deadline or (leave_dead and is_dead):
                    return False
        return self.configuration_error is None and not self.journal.backlog

    def _stop(self) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.stop()
        for delivery in self.deliveries:
            delivery.wake()
            delivery.stop()
        for thread in self._threads:
            thread.join(1.0)
        for client in self._clients:
            client.close()

    def _say_what_is_left(self, folder: JournalFolder, refused: int) -> None:
        lowest = min((delivery.next_sequence for delivery in self.deliveries), default=1)
        waiting = self.journal.next_sequence - lowest
        if waiting:
            reason = next((d.last_error for d in self.deliveries if d.last_error), self.configuration_error)
            print(
                f"tracklight: {waiting:,} records are not delivered ({reason or 'no time was left'}). "
                f"They are kept; send them with: tracklight sync {folder.path.parent.parent}",
                file=sys.stderr,
            )
        if refused:
            print(
                f"tracklight: the server refused {refused:,} values. "
                f"See why with: tracklight journal show {folder.path}",
                file=sys.stderr,
            )


def _step(delivery: Delivery) -> None:
    try:
        delivery.step()
    except Exception:
        log.error("delivery.defect", exc_info=True)
        time.sleep(1.0)
