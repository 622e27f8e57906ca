"""The deliveries of one journal's folder: one for each destination, each on a thread of its own."""

from __future__ import annotations

import contextlib
import time

from tracklight.client.calls import Client
from tracklight.errors import ConfigurationError
from tracklight.events import EventLog
from tracklight.journal.delivery import Delivery
from tracklight.journal.drain import OpenClient, make_delivery
from tracklight.journal.folder import JournalFolder
from tracklight.journal.journal import Journal
from tracklight.journal.ledger import Ledger
from tracklight.journal.periodic import Periodic

log = EventLog("tracklight.delivery")

WAIT_SLICE_SECONDS = 0.05
JOIN_SECONDS = 1.0


class Deliveries:
    """Brings a journal that is being written to all its destinations."""

    def __init__(self, folder: JournalFolder, journal: Journal, open_client: OpenClient) -> None:
        """Open the clients, which asks no server yet, and start the threads."""
        self.folder = folder
        self.each: list[Delivery] = []
        self.configuration_error: ConfigurationError | None = None
        self._clients: list[Client] = []
        self._threads: list[Periodic] = []
        ledger = Ledger(folder.spool, journal.forget)
        for destination in folder.info.destinations:
            try:
                client = open_client(destination)
            except ConfigurationError as error:
                self.configuration_error = error
                ledger.join(destination, 0)  # what it has not got is kept
                log.error("delivery.misconfigured", destination=destination, error=str(error))
                continue
            self._clients.append(client)
            self.each.append(make_delivery(folder, destination, client, ledger, journal.tail))
        with contextlib.suppress(RuntimeError):  # no thread starts while the interpreter shuts down
            self._threads = [Periodic("tracklight-delivery", delivery.step, 0.0) for delivery in self.each]

    @property
    def acknowledged(self) -> int:
        """All records below this number were taken or refused by all destinations."""
        if self.configuration_error is not None:
            return 0
        return min((delivery.next_sequence for delivery in self.each), default=0)

    @property
    def refused(self) -> int:
        return sum(delivery.refused for delivery in self.each)

    @property
    def damaged(self) -> int:
        return sum(delivery.damaged for delivery in self.each)

    @property
    def last_error(self) -> str | None:
        errors = (self.configuration_error, *(delivery.last_error for delivery in self.each))
        return next((str(error) for error in errors if error is not None), None)

    def oldest_age_seconds(self) -> float:
        """How long the oldest record waits that some destination has not taken."""
        return max((delivery.oldest_age_seconds() for delivery in self.each), default=0.0)

    def wait_for(self, sequence: int, deadline: float, *, leave_dead: bool) -> bool:
        """Wait until all destinations have taken the records below ``sequence``; return whether they have.

        ``deadline`` is on the monotonic clock. With ``leave_dead``, a destination that has never answered and
        does not now is not waited for.
        """
        for delivery in self.each:
            delivery.wake()
        are_done = [_wait_for(delivery, sequence, deadline, leave_dead=leave_dead) for delivery in self.each]
        return all(are_done) and self.configuration_error is None

    def stop(self) -> None:
        """Stop the threads; one that waits for a hung server is left to end by itself."""
        for thread in self._threads:
            thread.stop()
        for delivery in self.each:
            delivery.wake()
            delivery.stop()
        for thread in self._threads:
            thread.join(JOIN_SECONDS)
        for client in self._clients:
            client.close()


def _wait_for(delivery: Delivery, sequence: int, deadline: float, *, leave_dead: bool) -> bool:
    while not delivery.wait_for(sequence, WAIT_SLICE_SECONDS):
        is_dead = delivery.is_reachable is False and not delivery.was_reached
        if time.monotonic() > deadline or (leave_dead and is_dead):
            return False
    return True
