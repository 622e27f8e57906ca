"""When a destination is asked again: with a clock that is moved by hand."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import msgspec
import pytest

from tracklight.client.calls import Client
from tracklight.client.http import HttpTransport
from tracklight.client.transport import Answer, Transport
from tracklight.errors import ServerUnreachableError
from tracklight.journal.backoff import Backoff
from tracklight.journal.cursor import CursorFile
from tracklight.journal.delivery import Delivery
from tracklight.journal.ledger import Ledger
from tracklight.journal.reader import Reader
from tracklight.journal.sender import Sender
from tracklight.model.record import ArtifactFile, Metrics, RunEnd, RunStart
from tracklight.model.run import RunStatus


@dataclass
class Clock:
    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class ScriptedTransport:
    """Answers as MLflow does where all is well; ``trouble`` is what it does instead, once each."""

    clock: Clock
    address: str = "http://scripted"
    trouble: list[Answer | Exception] = field(default_factory=list)
    asked: list[tuple[str, float]] = field(default_factory=list)

    def send(
        self,
        method: str,
        path: str,
        *,
        query: Sequence[tuple[str, str]] = (),
        body: bytes | BinaryIO | None = None,
        content_type: str | None = None,
        sink: BinaryIO | None = None,
    ) -> Answer:
        self.asked.append((path.removeprefix("/api/2.0/mlflow/"), self.clock.now))
        if self.trouble:
            trouble = self.trouble.pop(0)
            if isinstance(trouble, Exception):
                raise trouble
            return trouble
        if "mlflow-artifacts" in path:
            raise ServerUnreachableError("the store is down")
        info = {
            "run_id": "r1",
            "experiment_id": "1",
            "status": "RUNNING",
            "artifact_uri": "mlflow-artifacts:/1",
        }
        found: dict[str, object] = {}
        match self.asked[-1][0]:
            case "experiments/get-by-name":
                found = {"experiment": {"experiment_id": "1", "name": "x"}}
            case "runs/create":
                found = {"run": {"info": info}}
            case "runs/update":
                found = {"run_info": info}
        return Answer(200, {}, msgspec.json.encode(found))

    def close(self) -> None: ...


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def transport(clock: Clock) -> ScriptedTransport:
    return ScriptedTransport(clock)


RECORDS = [
    RunStart("run", "x", "", "", 1, {}),
    *(Metrics("run", number, number, {"loss": 1.0}) for number in range(50)),
    RunEnd("run", RunStatus.FINISHED, 1),
]


@pytest.fixture
def delivery(
    write_journal: Callable[..., Path], transport: ScriptedTransport, clock: Clock
) -> Iterator[Delivery]:
    delivery = delivery_of(write_journal(RECORDS), transport, clock)
    yield delivery
    delivery.stop()


class ServerWithArtifacts(HttpTransport):
    """A scripted server at an address that artifacts may be sent to."""

    def __init__(self, script: ScriptedTransport) -> None:
        super().__init__("http://127.0.0.1:9")
        self.send = script.send  # type: ignore[method-assign]


def delivery_of(path: Path, transport: Transport, clock: Clock) -> Delivery:
    return Delivery(
        lambda next_sequence: Reader(path, next_sequence, None),
        CursorFile(path, transport.address),
        Ledger(path / "spool", lambda _sequence: None),
        Sender(Client(transport, now=lambda: 0.0), "journal", path / "spool", lambda _name: False),
        recovered_start=lambda run_id: RunStart(run_id, "x", "", "", 1, {}),
        was_abandoned=False,
        monotonic=clock,
        backoff=Backoff(1.0, 8.0, uniform=lambda _low, high: high),
    )


def run_until_idle(delivery: Delivery, clock: Clock, seconds: float, step_seconds: float = 0.25) -> None:
    """Let time go by in small steps."""
    for _ in range(round(seconds / step_seconds)):
        for _ in range(3):
            delivery.step(0.002)
        clock.now += step_seconds


def times(transport: ScriptedTransport) -> list[float]:
    return [at - 1000.0 for _, at in transport.asked]


def test_a_server_that_is_down_is_asked_less_and_less_often(
    delivery: Delivery, transport: ScriptedTransport, clock: Clock
) -> None:
    transport.trouble = [ServerUnreachableError("down")] * 100
    run_until_idle(delivery, clock, 32.0)
    assert times(transport) == [0.0, 1.0, 3.0, 7.0, 15.0, 23.0, 31.0]
    assert delivery.is_reachable is False
    assert delivery.last_error == "down"


def test_once_it_answers_everything_goes_at_once(
    delivery: Delivery, transport: ScriptedTransport, clock: Clock
) -> None:
    transport.trouble = [ServerUnreachableError("down")] * 3
    run_until_idle(delivery, clock, 7.5)
    assert delivery.next_sequence == 53
    assert delivery.is_reachable is True
    assert times(transport)[:4] == [0.0, 1.0, 3.0, 7.0]


@pytest.mark.parametrize("status", [429, 503])
def test_a_retry_after_is_waited_for(
    delivery: Delivery, transport: ScriptedTransport, clock: Clock, status: int
) -> None:
    transport.trouble = [Answer(status, {"retry-after": "20"}, b"")]
    run_until_idle(delivery, clock, 25.0)
    assert times(transport)[:2] == [0.0, 20.0]
    assert delivery.next_sequence == 53


def test_a_retry_after_that_is_a_date_is_waited_for(
    delivery: Delivery, transport: ScriptedTransport, clock: Clock
) -> None:
    transport.trouble = [Answer(503, {"retry-after": "Thu, 01 Jan 1970 00:00:10 GMT"}, b"")]
    run_until_idle(delivery, clock, 12.0)
    assert times(transport)[:2] == [0.0, 10.0]


def test_a_short_retry_after_does_not_undo_the_back_off(
    delivery: Delivery, transport: ScriptedTransport, clock: Clock
) -> None:
    transport.trouble = [Answer(503, {"retry-after": "0"}, b"")] * 4
    run_until_idle(delivery, clock, 16.0)
    assert times(transport)[:5] == [0.0, 1.0, 3.0, 7.0, 15.0]


def test_how_long_the_oldest_record_waits_is_known(
    delivery: Delivery, transport: ScriptedTransport, clock: Clock
) -> None:
    transport.trouble = [ServerUnreachableError("down")] * 4
    run_until_idle(delivery, clock, 7.0)
    assert delivery.oldest_age_seconds() == 7.0
    run_until_idle(delivery, clock, 10.0)
    assert delivery.oldest_age_seconds() == 0.0


def test_waits_are_jittered_between_half_and_all_of_the_ceiling() -> None:
    bounds: list[tuple[float, float]] = []

    def uniform(low: float, high: float) -> float:
        bounds.append((low, high))
        return low

    backoff = Backoff(0.25, 30.0, uniform=uniform)
    for _ in range(10):
        backoff.failed()
    assert bounds[:3] == [(0.125, 0.25), (0.25, 0.5), (0.5, 1.0)]
    assert bounds[-1] == (15.0, 30.0)
    backoff.succeeded()
    backoff.failed()
    assert bounds[-1] == (0.125, 0.25)


def test_a_backoff_never_overflows() -> None:
    backoff = Backoff(uniform=lambda _low, high: high)
    assert [backoff.failed() for _ in range(5000)][-1] == 30.0


def test_a_server_that_answers_and_fails_for_a_minute_is_given_up_and_nothing_is_acknowledged(
    delivery: Delivery, transport: ScriptedTransport, clock: Clock
) -> None:
    failure = Answer(500, {}, b'{"error_code": "INTERNAL_ERROR", "message": "disk on fire"}')
    transport.trouble = [failure] * 1000

    def let_time_go_by() -> bool:
        clock.now += 1.0
        return False

    assert delivery.drain(let_time_go_by, while_reachable=True) is False
    assert 60.0 <= clock.now - 1000.0 < 120.0
    assert delivery.next_sequence == 1
    assert "disk on fire" in str(delivery.last_error)


def test_an_artifact_store_that_is_down_holds_up_only_the_run_with_the_artifact(
    write_journal: Callable[..., Path], transport: ScriptedTransport, clock: Clock
) -> None:
    path = write_journal(
        [
            RunStart("with-artifact", "x", "", "", 1, {}),
            ArtifactFile("with-artifact", "spooled", "model.pkl", 7),
            RunEnd("with-artifact", RunStatus.FINISHED, 1),
            *RECORDS,
        ]
    )
    (path / "spool").mkdir(exist_ok=True)
    (path / "spool" / "spooled").write_text("weights")
    delivery = delivery_of(path, ServerWithArtifacts(transport), clock)
    run_until_idle(delivery, clock, 60.0)
    delivery.stop()
    updates = [what for what, _ in transport.asked if what == "runs/update"]
    uploads = [what for what, _ in transport.asked if "mlflow-artifacts" in what]
    assert len(updates) == 1  # the run without an artifact has ended
    assert 3 <= len(uploads) <= 20
    assert delivery.next_sequence == 2  # the artifact waits
    assert delivery.refused == 0
    assert delivery.is_reachable is True


def test_waiting_does_not_touch_the_programs_own_random_numbers(
    delivery: Delivery, transport: ScriptedTransport, clock: Clock
) -> None:
    state = random.getstate()
    transport.trouble = [ServerUnreachableError("down")] * 5
    run_until_idle(delivery, clock, 10.0)
    assert Backoff().failed() > 0
    assert random.getstate() == state
