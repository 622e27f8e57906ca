"""The journals that dead processes of a project left behind, delivered by a live one."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from tracklight.errors import TracklightError
from tracklight.events import EventLog
from tracklight.journal.backoff import Backoff
from tracklight.journal.drain import OpenClient, drain_journal
from tracklight.journal.folder import delete_debris, is_owned, list_journals, read_info
from tracklight.journal.survey import is_kept_for_refusals

log = EventLog("tracklight.leftovers")

FIRST_WAIT_SECONDS = 15.0
MOST_WAIT_SECONDS = 600.0


class Leftovers:
    """Delivers what was left behind, as far as the servers answer; one that does not is left alone for a while."""

    def __init__(
        self,
        journals: Path,
        open_client: OpenClient,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._journals = journals
        self._open_client = open_client
        self._monotonic = monotonic
        self._backoff = Backoff(FIRST_WAIT_SECONDS, MOST_WAIT_SECONDS)
        self._not_before = 0.0

    def deliver(self, should_stop: Callable[[], bool]) -> None:
        """Deliver every journal of the project whose process has ended."""
        if self._monotonic() < self._not_before:
            return
        delete_debris(self._journals)
        for path in list_journals(self._journals):
            if should_stop():
                return
            if not self._deliver(path, should_stop):
                self._not_before = self._monotonic() + self._backoff.failed()
                return
        self._backoff.succeeded()

    def deliver_children(self, parent: str, should_stop: Callable[[], bool]) -> None:
        """Deliver the journals of ended processes that were forked from the owner of the journal ``parent``."""
        for path in list_journals(self._journals):
            if not should_stop() and read_info(path).parent == parent:
                self._deliver(path, should_stop)

    def _deliver(self, path: Path, should_stop: Callable[[], bool]) -> bool:
        try:
            if is_owned(path) or is_kept_for_refusals(path):
                return True
            results = drain_journal(path, self._open_client, should_stop=should_stop)
        except (TracklightError, OSError) as error:
            log.warning_each_minute("leftovers.failed", journal=path.name, error=str(error))
            return False
        return all(result.is_complete for result in results)
