"""The thread that reads the journal, sends what it holds to one destination, and acknowledges it.

Records of one run go in order; several runs are on their way at the same time. A record is acknowledged
after the server's answer, so after a crash some are sent again: the server's rows do not change by that.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from tracklight.errors import (
    AccessDeniedError,
    ArtifactError,
    RequestRefusedError,
    ServerFailedError,
    ServerUnreachableError,
    TracklightError,
)
from tracklight.events import EventLog
from tracklight.journal.backoff import Backoff
from tracklight.journal.batch import Item, items_of
from tracklight.journal.cursor import CursorFile, RunLink
from tracklight.journal.lane import Lane
from tracklight.journal.ledger import Ledger
from tracklight.journal.reader import Entry, Reader
from tracklight.journal.refusal import Refusal, refusal_of, unreadable_record
from tracklight.journal.sender import CreatorNotDoneError, Sender, Sent
from tracklight.journal.workers import Workers
from tracklight.model.record import ArtifactFile, Metrics, Record, RunEnd, RunStart

log = EventLog("tracklight.delivery")

RUNS_IN_FLIGHT = 4
READ_RECORDS = 4_000
MOST_ITEMS_WAITING = 40_000
POLL_SECONDS = 0.1
FAILURES_BEFORE_REFUSAL = 5
FAILURES_BEFORE_GIVING_UP = 3
STALLED_SECONDS = 60.0
ARTIFACT_FAILURES_BEFORE_REFUSAL = 20


@dataclass(frozen=True, slots=True)
class _Answer:
    """What a request of a lane came to: ``sent``, or ``error`` and nothing has changed."""

    lane: Lane
    items: list[Item]
    sent: Sent | None
    error: TracklightError | OSError | None


class Delivery:
    """Brings one journal to one destination. `step` does a little; a thread or `drain` repeats it."""

    def __init__(
        self,
        reader_from: Callable[[int], Reader],
        cursor_file: CursorFile,
        ledger: Ledger,
        sender: Sender,
        *,
        recovered_start: Callable[[str], RunStart],
        was_abandoned: bool,
        monotonic: Callable[[], float] = time.monotonic,
        backoff: Backoff | None = None,
    ) -> None:
        """Prepare; nothing is read or sent yet.

        ``recovered_start`` stands in for the record that began a run where that is damaged or long sent;
        ``was_abandoned``: the process that wrote the journal has died, and perhaps had begun to send it.
        """
        self._cursor_file = cursor_file
        self._cursor = cursor_file.load()
        self._reader = reader_from(self._cursor.next_sequence)
        self._ledger = ledger
        self._sender = sender
        self._recovered_start = recovered_start
        self._was_abandoned = was_abandoned
        self._monotonic = monotonic
        self._backoff = backoff or Backoff()
        self._lane_backoff = Backoff()
        self._not_before = 0.0
        self._lanes: dict[str, Lane] = {
            run_id: Lane(run_id, link) for run_id, link in self._cursor.links.items()
        }
        self._unsorted: deque[Entry] = deque()  # read, and not in a lane yet: the disk may fail in between
        self._items_waiting = 0
        self._last_time_ms = 0
        self._last_success = monotonic()
        self._arrivals: deque[tuple[int, float]] = deque()
        self._workers: Workers[_Answer] = Workers("tracklight-send", RUNS_IN_FLIGHT)
        self._advanced = threading.Condition()
        self._is_caught_up = False
        self._has_read_all = False
        self.last_error: str | None = None
        self.is_reachable: bool | None = None
        """What the last request showed; None before the first answer."""
        self.was_reached = False
        ledger.join(self._cursor.destination, self._cursor.next_sequence)

    @property
    def next_sequence(self) -> int:
        """All records below this number are acknowledged or set aside."""
        return self._cursor.next_sequence

    @property
    def refused(self) -> int:
        """How many values the server refused for good."""
        return self._cursor.refused

    @property
    def damaged(self) -> int:
        """How many records could not be read back from the disk."""
        return self._reader.damaged

    @property
    def torn(self) -> int:
        """Whether the death of the process cut its last append short."""
        return self._reader.torn

    def oldest_age_seconds(self) -> float:
        """How long the oldest record has waited that was read and not acknowledged; 0 where none waits."""
        return self._monotonic() - self._arrivals[0][1] if self._arrivals else 0.0

    def step(self, wait_seconds: float = POLL_SECONDS) -> None:
        """Read, send, and acknowledge what was answered; wait at most so long for an answer.

        A disk that cannot be read or written is an outage like any other: it is kept in ``last_error`` and
        tried again, and nothing is acknowledged meanwhile.
        """
        try:
            self._read()
            self._dispatch()
        except OSError as error:
            self._wait(error, None)
        for answer in self._workers.collect(wait_seconds):
            try:
                self._apply(answer)
            except OSError as error:
                self._wait(error, None)
        try:
            self._advance()
        except OSError as error:
            self._wait(error, None)

    def wake(self) -> None:
        """Have `step` look at the journal at once."""
        self._workers.wake()

    def wait_for(self, sequence: int, timeout_seconds: float) -> bool:
        """Wait until all records below ``sequence`` are acknowledged or set aside; return whether they are."""
        with self._advanced:
            return self._advanced.wait_for(lambda: self.next_sequence >= sequence, timeout_seconds)

    def drain(self, should_stop: Callable[[], bool], *, while_reachable: bool) -> bool:
        """Send everything that the journal of a dead process holds, and end the runs that it left open.

        Returns True when all is acknowledged or set aside; False when it was stopped or, with
        ``while_reachable``, when the server did not answer a few times in a row.
        """
        self._last_success = self._monotonic()
        while not should_stop():
            self.step()
            if while_reachable and (
                self._backoff.failures >= FAILURES_BEFORE_GIVING_UP or self._is_stalled()
            ):
                return False
            if self._is_caught_up:
                return self._end_abandoned()
        return False

    def stop(self) -> None:
        """Let the sending threads end after the requests they are in."""
        self._workers.stop()

    def _is_stalled(self) -> bool:
        """Nothing is on its way, and nothing was taken for long: the server answers, and fails."""
        is_idle = self._workers.running == 0 and self._items_waiting > 0
        return is_idle and self._monotonic() - self._last_success > STALLED_SECONDS

    def _read(self) -> None:
        self._has_read_all = False
        while self._items_waiting < MOST_ITEMS_WAITING:
            if not self._unsorted:
                self._unsorted.extend(self._reader.read(READ_RECORDS))
                if not self._unsorted:
                    self._has_read_all = True
                    return
                self._arrivals.append((self._unsorted[-1].sequence, self._monotonic()))
            while self._unsorted:
                entry = self._unsorted[0]
                if entry.record is None:
                    self._set_aside([unreadable_record(entry.sequence)])
                else:
                    self._enqueue(entry.sequence, entry.record)
                self._unsorted.popleft()

    def _enqueue(self, sequence: int, record: Record) -> None:
        items = items_of(sequence, record)
        if not record.run_id:
            self._set_aside([refusal_of(item, "", "No run was open when this was logged.") for item in items])
            return
        lane = self._lanes.get(record.run_id)
        if lane is None:
            lane = self._lanes[record.run_id] = Lane(record.run_id)
            if not isinstance(record, RunStart):
                items.insert(0, Item(sequence, self._recovered_start(record.run_id)))
                lane.start_tried = 1
        lane.items.extend(items)
        self._items_waiting += len(items)
        if isinstance(record, Metrics):
            self._last_time_ms = max(self._last_time_ms, record.timestamp_ms)
        elif isinstance(record, ArtifactFile):
            self._ledger.note_spooled(sequence, record.spool_name)

    def _dispatch(self) -> None:
        now = self._monotonic()
        if now < self._not_before:
            return
        # After an outage one request finds out whether the server is back.
        room = 1 if self._backoff.failures else RUNS_IN_FLIGHT
        for lane in list(self._lanes.values()):
            if self._workers.running >= room:
                return
            if lane.items and not lane.is_busy and now >= lane.not_before and self._may_start(lane):
                lane.is_busy = True
                self._workers.submit(partial(self._send, lane, lane.next_request()))

    def _may_start(self, lane: Lane) -> bool:
        """A nested run waits for its parent, whose id on the server it needs."""
        content = lane.items[0].content
        if not isinstance(content, RunStart) or content.parent_run_id is None:
            return True
        parent = self._lanes.get(content.parent_run_id)
        return parent is None or parent.link is not None or parent.refusal is not None

    def _send(self, lane: Lane, items: list[Item]) -> _Answer:
        """Send one request of a lane; runs on a worker thread, raises nothing."""
        try:
            return _Answer(lane, items, self._request(lane, items), None)
        except (TracklightError, OSError) as error:
            return _Answer(lane, items, None, error)
        except Exception as error:  # a defect of ours must not stop the delivery of the rest
            log.error("delivery.defect", run_id=lane.run_id, exc_info=True)
            return _Answer(lane, items, None, ServerFailedError(f"{type(error).__name__}: {error}"))

    def _request(self, lane: Lane, items: list[Item]) -> Sent:
        content = items[0].content
        if lane.refusal is not None:
            return Sent(None, [(item, lane.refusal) for item in items])
        if isinstance(content, RunStart):
            parent = self._lanes.get(content.parent_run_id) if content.parent_run_id else None
            may_exist = self._was_abandoned or lane.start_tried > 0
            lane.start_tried += 1
            return self._sender.start(content, parent.link if parent else None, may_exist=may_exist)
        assert lane.link is not None
        if isinstance(content, RunEnd):
            if lane.start_tried > 1 or self._was_abandoned:
                self._sender.delete_twins(lane.run_id, lane.link)
            return self._sender.end(content, lane.link)
        if isinstance(content, ArtifactFile):
            return self._sender.upload(items[0], content, lane.link)
        return self._sender.log(items, lane.link)

    def _apply(self, answer: _Answer) -> None:
        lane, items, error = answer.lane, answer.items, answer.error
        lane.is_busy = False
        match error:
            case None:
                assert answer.sent is not None
                self._succeeded(lane, items, answer.sent)
            case CreatorNotDoneError():
                lane.not_before = self._monotonic() + 2 * POLL_SECONDS
            case RequestRefusedError():
                if isinstance(items[0].content, RunStart):
                    lane.refusal = str(error)
                self._succeeded(lane, items, Sent(None, [(item, str(error)) for item in items]))
            case ServerFailedError():
                self._failed(lane, items, error)
            case AccessDeniedError() | ArtifactError() if isinstance(items[0].content, ArtifactFile):
                self._failed(lane, items, error)  # a store of its own: other runs go on meanwhile
            case ServerUnreachableError() if isinstance(items[0].content, ArtifactFile):
                self._wait_for_store(lane, error)
            case ServerUnreachableError():
                self._wait(error, error.retry_after_seconds)
            case _:
                self._wait(error, None)

    def _succeeded(self, lane: Lane, items: list[Item], sent: Sent) -> None:
        self._set_aside([refusal_of(item, lane.run_id, reason) for item, reason in sent.refused])
        if self.is_reachable is False:
            log.info("delivery.resumed", destination=self._cursor.destination)
        self.is_reachable = self.was_reached = True
        self._last_success = self._monotonic()
        self._backoff.succeeded()
        if sent.link is not None and lane.link is None:
            lane.link = self._cursor.links[lane.run_id] = sent.link
        lane.acknowledge(len(items))
        self._items_waiting -= len(items)
        content = items[-1].content
        if isinstance(content, RunEnd) and content.run_status.is_terminal and not lane.items:
            self._cursor.links.pop(lane.run_id, None)
            self._lanes.pop(lane.run_id, None)

    def _failed(self, lane: Lane, items: list[Item], error: TracklightError) -> None:
        """MLflow's internal error may be the server's trouble, or a record that it cannot digest.

        A batch is narrowed until one record is left. When that one keeps failing while the same run takes
        a tag, it is the record, and it must not hold up the rest.
        """
        self.last_error = str(error)
        lane.failed(len(items))
        lane.not_before = self._monotonic() + self._lane_backoff.wait_after(lane.failures)
        is_file = isinstance(items[0].content, ArtifactFile)
        most = ARTIFACT_FAILURES_BEFORE_REFUSAL if is_file else FAILURES_BEFORE_REFUSAL
        if lane.link is not None and len(items) == 1 and lane.failures >= most:
            lane.is_busy = True
            self._workers.submit(partial(self._judge, lane, items, lane.link, error))

    def _judge(self, lane: Lane, items: list[Item], link: RunLink, error: TracklightError) -> _Answer:
        try:
            self._sender.touch(link)
        except (TracklightError, OSError) as outage:
            return _Answer(lane, items, None, ServerUnreachableError(str(outage)))
        again = self._send(lane, items)  # the server is well now: if it was not before, the record is taken
        if isinstance(again.error, type(error)):
            return _Answer(lane, items, Sent(link, [(items[0], str(again.error))]), None)
        return again

    def _wait_for_store(self, lane: Lane, error: ServerUnreachableError) -> None:
        """Artifacts may be in another place than the server: the other runs find out whether that is up."""
        self.last_error = str(error)
        lane.failures += 1
        wait = self._lane_backoff.wait_after(lane.failures)
        lane.not_before = self._monotonic() + max(wait, error.retry_after_seconds or 0.0)

    def _wait(self, error: TracklightError | OSError | None, retry_after_seconds: float | None) -> None:
        """Leave the destination alone for a while."""
        self.last_error = str(error)
        if self.is_reachable is not False:
            log.warning("delivery.interrupted", destination=self._cursor.destination, error=str(error))
        self.is_reachable = False
        now = self._monotonic()
        if now >= self._not_before:
            self._not_before = now + self._backoff.failed(retry_after_seconds)

    def _set_aside(self, refusals: list[Refusal]) -> None:
        if not refusals:
            return
        self._cursor_file.set_aside(refusals)
        self._cursor.refused += len(refusals)
        for refusal in refusals:
            if refusal.spool_name is not None:
                self._ledger.keep(refusal.spool_name)
        first = refusals[0]
        log.warning(
            "delivery.refused", records=len(refusals), run_id=first.run_id, key=first.key, reason=first.reason
        )

    def _advance(self) -> None:
        waiting = [lane.items[0].sequence for lane in self._lanes.values() if lane.items]
        if self._unsorted:
            waiting.append(self._unsorted[0].sequence)
        next_sequence = min(waiting, default=self._reader.next_sequence)
        self._is_caught_up = not waiting and self._has_read_all
        if next_sequence == self._cursor.next_sequence:
            return
        while self._arrivals and self._arrivals[0][0] < next_sequence:
            self._arrivals.popleft()
        self._cursor.damaged = self._reader.damaged
        with self._advanced:
            self._cursor.next_sequence = next_sequence
            self._advanced.notify_all()
        self._cursor_file.save(self._cursor)
        self._ledger.acknowledge(self._cursor.destination, next_sequence)

    def _end_abandoned(self) -> bool:
        for run_id, link in list(self._cursor.links.items()):
            try:
                self._sender.delete_twins(run_id, link)
                self._sender.end_abandoned(link, self._last_time_ms or None)
            except RequestRefusedError as error:
                self.last_error = str(error)
            except (TracklightError, OSError) as error:
                self._wait(error, None)
                return False
            del self._cursor.links[run_id]
        self._cursor_file.save(self._cursor)
        return True
