"""Delivering the journals of processes that have ended."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tracklight.client.calls import Client
from tracklight.journal.cursor import CursorFile
from tracklight.journal.delivery import Delivery
from tracklight.journal.folder import JournalFolder, JournalInfo, is_owned
from tracklight.journal.ledger import Ledger
from tracklight.journal.reader import Reader, Tail
from tracklight.journal.sender import Sender
from tracklight.model.record import RunStart

OpenClient = Callable[[str], Client]


@dataclass(frozen=True, slots=True)
class Drained:
    """What draining a journal to one destination came to."""

    destination: str
    is_complete: bool
    records: int
    refused: int
    damaged: int
    torn: int
    last_error: str | None


def make_delivery(
    folder: JournalFolder, destination: str, client: Client, ledger: Ledger, tail: Tail | None
) -> Delivery:
    """Return the delivery of a journal to one destination; ``tail`` is given while the journal is written."""
    journals = folder.path.parent
    sender = Sender(client, folder.name, folder.spool, lambda name: is_owned(journals / name))
    return Delivery(
        lambda next_sequence: Reader(folder.path, next_sequence, tail),
        CursorFile(folder.path, destination),
        ledger,
        sender,
        recovered_start=lambda run_id: _recovered_start(run_id, folder.info),
        was_abandoned=tail is None,
    )


def drain_journal(
    path: Path,
    open_client: OpenClient,
    *,
    to: str | None = None,
    keep: bool = False,
    while_reachable: bool = True,
    should_stop: Callable[[], bool] = lambda: False,
    on_progress: Callable[[int], None] = lambda _next_sequence: None,
) -> list[Drained]:
    """Send what a dead process's journal holds, end the runs it left open, and delete it.

    It goes where the journal says, or to ``to`` instead. The journal is kept with ``keep``, where something was
    refused, and where not all could be sent. Sending it again changes nothing on the server.

    Raises:
        JournalBusyError: a live process owns the journal.
        JournalError: there is no journal.
        ConfigurationError: a destination's address cannot be used.
    """
    folder = JournalFolder.adopt(path)
    try:
        destinations = (to,) if to else folder.info.destinations
        clients = [open_client(destination) for destination in destinations]
        ledger = Ledger(folder.spool, _keep if keep else folder.delete_segments)
        results = []
        deliveries = [
            make_delivery(folder, destination, client, ledger, None)
            for destination, client in zip(destinations, clients, strict=True)
        ]
        for destination, client, delivery in zip(destinations, clients, deliveries, strict=True):
            results.append(_drain(destination, delivery, while_reachable, should_stop, on_progress))
            client.close()
        if all(result.is_complete and not result.refused for result in results) and not keep:
            folder.remove()
        return results
    finally:
        folder.release()


def _drain(
    destination: str,
    delivery: Delivery,
    while_reachable: bool,
    should_stop: Callable[[], bool],
    on_progress: Callable[[int], None],
) -> Drained:
    first = delivery.next_sequence

    def stop_or_report() -> bool:
        on_progress(delivery.next_sequence)
        return should_stop()

    is_complete = delivery.drain(stop_or_report, while_reachable=while_reachable)
    on_progress(delivery.next_sequence)
    delivery.stop()
    return Drained(
        destination=destination,
        is_complete=is_complete,
        records=delivery.next_sequence - first,
        refused=delivery.refused,
        damaged=delivery.damaged,
        torn=delivery.torn,
        last_error=delivery.last_error,
    )


def _keep(before_sequence: int) -> None:
    """Delete nothing."""


def _recovered_start(run_id: str, info: JournalInfo) -> RunStart:
    return RunStart(
        run_id=run_id,
        experiment_name=info.experiment_name,
        run_name=f"recovered-{run_id[:8]}",
        user="",
        start_time_ms=info.created_ms,
        tags={},
    )
