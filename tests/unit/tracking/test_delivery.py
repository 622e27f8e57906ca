"""What a tracker does while its server misbehaves: the program notices nothing, and everything arrives once."""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from tracklight.client.transport import Answer
from tracklight.journal.cursor import CursorFile
from tracklight.journal.drain import drain_journal
from tracklight.journal.folder import list_journals
from tracklight.journal.frame import encode_frame, encode_record, padded
from tracklight.journal.segment import list_segments
from tracklight.model.record import Params
from tracklight.model.run import RunStatus
from tracklight.testing.faulty_server import Asked, FaultyServer, Forward, mlflow_error
from tracklight.testing.stored import StoredRun
from tracklight.tracking.destinations import Destinations
from tracklight.tracking.mlflow_tracker import MLflowTracker

Stored = Callable[[], list[StoredRun]]
MakeTracker = Callable[..., MLflowTracker]
PATIENCE_SECONDS = 45.0


def log_a_run(tracker: MLflowTracker, steps: int = 50) -> None:
    with tracker.start_run("a"):
        tracker.log_param("rate", 0.1)
        tracker.log_metrics({"loss": 1.0, "accuracy": 0.5}, step=0)
        for step in range(1, steps):
            tracker.log_metric("loss", 1 / (step + 1), step)
        tracker.set_tag("kind", "test")


def check_one_whole_run(runs: list[StoredRun], steps: int = 50) -> None:
    (run,) = runs
    assert run.history("loss") == [(step, 1 / (step + 1)) for step in range(steps)]
    assert run.history("accuracy") == [(0, 0.5)]
    assert run.params == {"rate": "0.1"}
    assert run.tags["kind"] == "test"
    assert run.run_status is RunStatus.FINISHED


def fails_times(
    times: int, failure: Callable[[Asked, Forward], Answer | None]
) -> Callable[[Asked, Forward], Answer | None]:
    """Let the first requests fail, and all others through."""
    left = [times]
    lock = threading.Lock()

    def fault(asked: Asked, forward: Forward) -> Answer | None:
        with lock:
            left[0] -= 1
            may_pass = left[0] < 0
        return forward() if may_pass else failure(asked, forward)

    return fault


def page(status: int, body: bytes = b"<html>Sign in</html>", **headers: str) -> Answer:
    return Answer(status, {"content-type": "text/html", **headers}, body)


def test_all_is_well(tracker: MLflowTracker, stored: Stored) -> None:
    log_a_run(tracker)
    assert tracker.close()
    check_one_whole_run(stored())
    assert tracker.health().is_healthy


def test_a_server_that_is_down_at_first_gets_everything_once_it_is_up(
    faulty: FaultyServer, tracker: MLflowTracker, stored: Stored
) -> None:
    faulty.stop()
    began = time.monotonic()
    log_a_run(tracker)
    assert time.monotonic() - began < 1.0, "the program does not wait"
    assert not tracker.flush(timeout_seconds=0.5)
    assert tracker.health().waiting > 50
    faulty.start()
    assert tracker.flush(PATIENCE_SECONDS)
    check_one_whole_run(stored())
    assert tracker.health().is_healthy


def test_a_flapping_server_gets_everything_once(
    faulty: FaultyServer, tracker: MLflowTracker, stored: Stored
) -> None:
    """Of five requests two are cut, one of them after the server has done what it asked."""
    chance = random.Random(7)

    def fault(asked: Asked, forward: Forward) -> Answer | None:
        luck = chance.random()
        if luck < 0.2:
            return None
        answer = forward()
        return None if luck < 0.4 else answer

    faulty.fault = fault
    for part in range(5):
        with tracker.start_run(f"run {part}"):
            for step in range(100):
                tracker.log_metric("loss", float(step), step)
    assert tracker.flush(PATIENCE_SECONDS)
    faulty.fault = None
    assert tracker.close()
    runs = stored()
    assert sorted(run.name for run in runs) == [f"run {part}" for part in range(5)]
    for run in runs:
        assert run.history("loss") == [(step, float(step)) for step in range(100)]
        assert run.run_status is RunStatus.FINISHED


@pytest.mark.parametrize("endpoint", ["experiments/create", "runs/create", "runs/log-batch", "runs/update"])
def test_a_reply_that_is_lost_after_the_commit_makes_nothing_twice(
    faulty: FaultyServer, tracker: MLflowTracker, stored: Stored, endpoint: str
) -> None:
    lost = []

    def fault(asked: Asked, forward: Forward) -> Answer | None:
        answer = forward()
        if asked.endpoint == endpoint and len(lost) < 2:
            lost.append(asked)
            return None
        return answer

    faulty.fault = fault
    log_a_run(tracker)
    assert tracker.flush(PATIENCE_SECONDS)
    assert tracker.close()
    assert lost
    check_one_whole_run(stored())


def test_a_create_that_arrives_late_leaves_no_twin(
    faulty: FaultyServer, make_tracker: MakeTracker, stored: Stored
) -> None:
    """The client gave up; the server does it nevertheless, after the client has looked for it in vain."""
    held = threading.Event()
    first = []

    def fault(asked: Asked, forward: Forward) -> Answer | None:
        if asked.endpoint == "runs/create" and not first:
            first.append(asked)
            held.wait(PATIENCE_SECONDS)
            forward()
            return None
        answer = forward()
        if asked.endpoint == "runs/create":
            held.set()
        return answer

    faulty.fault = fault
    tracker = make_tracker(request_timeout_seconds=0.5)
    with tracker.start_run("a"):
        tracker.log_metric("loss", 1.0)
        assert tracker.flush(PATIENCE_SECONDS)
        deadline = time.monotonic() + 10
        while len(stored()) < 2 and time.monotonic() < deadline:
            time.sleep(0.02)
        assert len(stored()) == 2
    assert tracker.close()
    (run,) = stored()
    assert run.history("loss") == [(0, 1.0)]


def test_a_black_hole_holds_up_neither_the_program_nor_its_end(
    faulty: FaultyServer, make_tracker: MakeTracker, stored: Stored
) -> None:
    hole = threading.Event()
    faulty.fault = lambda _asked, _forward: hole.wait(PATIENCE_SECONDS) and None
    tracker = make_tracker(exit_timeout_seconds=1.0)
    began = time.monotonic()
    log_a_run(tracker)
    assert time.monotonic() - began < 1.0
    assert not tracker.close()
    assert time.monotonic() - began < 4.0
    hole.set()
    faulty.fault = None
    later = make_tracker()
    with later.start_run("b"):
        pass
    assert later.flush(PATIENCE_SECONDS)
    wait_until(lambda: not list_journals(later.tracker.settings.journals)[1:])
    assert later.close()
    check_one_whole_run([run for run in stored() if run.name == "a"])


def test_an_answer_that_stops_half_way_is_no_answer(
    faulty: FaultyServer, make_tracker: MakeTracker, stored: Stored
) -> None:
    def half(asked: Asked, forward: Forward) -> Answer:
        answer = forward()
        return Answer(answer.status, {"content-length": str(len(answer.body) + 10)}, answer.body)

    faulty.fault = fails_times(3, half)
    tracker = make_tracker(request_timeout_seconds=0.5)
    log_a_run(tracker)
    assert tracker.flush(PATIENCE_SECONDS)
    assert tracker.close()
    check_one_whole_run(stored())


@pytest.mark.parametrize("status", [429, 503])
def test_a_server_that_says_when_to_come_back_is_not_asked_before(
    faulty: FaultyServer, tracker: MLflowTracker, stored: Stored, status: int
) -> None:
    faulty.fault = fails_times(1, lambda *_: mlflow_error(status, "TEMPORARILY_UNAVAILABLE", Retry_After="2"))
    log_a_run(tracker)
    assert tracker.flush(PATIENCE_SECONDS)
    assert faulty.asked[1].at - faulty.asked[0].at > 1.9
    assert tracker.close()
    check_one_whole_run(stored())


@pytest.mark.parametrize(
    "failure",
    [
        page(200),
        page(302, location="https://login.example"),
        page(404),
        page(500),
        page(502),
        page(504),
        page(200, b""),
        Answer(200, {"content-type": "application/json"}, b"[]"),
        Answer(200, {"content-type": "application/json"}, b'{"run'),
    ],
    ids=["sign-in", "redirect", "404", "500", "502", "504", "empty", "list", "torn"],
)
def test_what_a_proxy_says_in_the_servers_place_is_waited_out(
    faulty: FaultyServer, tracker: MLflowTracker, stored: Stored, failure: Answer
) -> None:
    log_a_run(tracker, steps=2)
    assert tracker.flush(PATIENCE_SECONDS)
    faulty.fault = fails_times(2, lambda *_: failure)
    with tracker.start_run("b"):
        for step in range(20):
            tracker.log_metric("loss", 1.0, step)
    assert tracker.flush(PATIENCE_SECONDS)
    assert tracker.close()
    assert tracker.health().refused == 0
    assert len(next(run for run in stored() if run.name == "b").points) == 20


def test_wrong_credentials_are_waited_out(
    faulty: FaultyServer, tracker: MLflowTracker, stored: Stored
) -> None:
    with tracker.start_run("a"):
        tracker.log_metric("loss", 1.0, 0)
        assert tracker.flush(PATIENCE_SECONDS)
        faulty.fault = fails_times(3, lambda *_: mlflow_error(401, "UNAUTHENTICATED", "who are you?"))
        tracker.log_metric("loss", 0.5, 1)
        assert not tracker.flush(timeout_seconds=0.3)
        assert "401" in (tracker.health().last_error or "")
    assert tracker.flush(PATIENCE_SECONDS)
    assert tracker.close()
    assert stored()[0].history("loss") == [(0, 1.0), (1, 0.5)]


def test_a_batch_that_is_too_large_for_a_proxy_is_halved(
    faulty: FaultyServer, tracker: MLflowTracker, stored: Stored
) -> None:
    def fault(asked: Asked, forward: Forward) -> Answer:
        return page(413, b"<html>too large</html>") if len(asked.body) > 3000 else forward()

    faulty.fault = fault
    log_a_run(tracker, steps=500)
    assert tracker.flush(PATIENCE_SECONDS)
    assert tracker.close()
    assert tracker.health().refused == 0
    check_one_whole_run(stored(), steps=500)


def test_one_value_that_is_too_large_for_a_proxy_is_set_aside_and_the_rest_flows(
    faulty: FaultyServer, tracker: MLflowTracker, stored: Stored
) -> None:
    faulty.fault = lambda asked, forward: page(413) if len(asked.body) > 3000 else forward()
    with tracker.start_run("a"):
        tracker.log_metric("loss", 1.0)
        tracker.log_param("large", "x" * 5000)
        tracker.log_param("small", "x")
    assert tracker.close()
    (run,) = stored()
    assert run.params == {"small": "x"}
    assert tracker.health().refused == 1


def test_a_parameter_that_changes_is_set_aside_with_mlflows_message_and_the_rest_flows(
    tracker: MLflowTracker, stored: Stored, faulty: FaultyServer, capsys: pytest.CaptureFixture[str]
) -> None:
    with tracker.start_run("a"):
        tracker.log_param("rate", 1)
        tracker.log_metric("loss", 1.0, 0)
        tracker.log_param("rate", 2)
        tracker.log_metric("loss", 0.5, 1)
    journal = tracker.tracker.journal_path
    assert journal is not None
    assert tracker.close()
    (run,) = stored()
    assert run.params == {"rate": "1"}
    assert run.history("loss") == [(0, 1.0), (1, 0.5)]
    assert run.run_status is RunStatus.FINISHED
    (refusal,) = CursorFile(journal, faulty.uri).refusals()
    assert (refusal.kind, refusal.key, refusal.value) == ("Param", "rate", "2")
    assert "Changing param values is not allowed" in refusal.reason
    assert tracker.health().refused == 1
    assert "refused 1 value" in capsys.readouterr().err


def test_a_record_that_always_breaks_the_server_is_set_aside_and_the_rest_flows(
    faulty: FaultyServer, tracker: MLflowTracker, stored: Stored
) -> None:
    def fault(asked: Asked, forward: Forward) -> Answer:
        is_poisoned = asked.endpoint == "runs/log-batch" and b'"poison"' in asked.body
        return mlflow_error(500, "INTERNAL_ERROR", "boom") if is_poisoned else forward()

    faulty.fault = fault
    with tracker.start_run("a"):
        for step in range(6):
            tracker.log_metric("loss" if step != 3 else "poison", 1.0, step)
    with tracker.start_run("b"):
        tracker.log_metric("loss", 1.0)
    assert tracker.flush(PATIENCE_SECONDS)
    assert tracker.close()
    runs = {run.name: run for run in stored()}
    assert runs["a"].history("loss") == [(step, 1.0) for step in range(6) if step != 3]
    assert runs["a"].run_status is RunStatus.FINISHED
    assert runs["b"].history("loss") == [(0, 1.0)]
    assert tracker.health().refused == 1


def test_a_server_that_fails_for_a_while_refuses_nothing(
    faulty: FaultyServer, tracker: MLflowTracker, stored: Stored
) -> None:
    """Its internal errors are no verdict on the records."""
    with tracker.start_run("first"):
        assert tracker.flush(PATIENCE_SECONDS)
        faulty.fault = fails_times(5, lambda *_: mlflow_error(500, "INTERNAL_ERROR", "database is locked"))
        tracker.log_metric("loss", 1.0)
        assert tracker.flush(PATIENCE_SECONDS)
    log_a_run(tracker)
    assert tracker.close()
    assert tracker.health().refused == 0
    check_one_whole_run([run for run in stored() if run.name == "a"])


def test_a_request_that_is_delivered_twice_changes_nothing(
    faulty: FaultyServer, tracker: MLflowTracker, stored: Stored
) -> None:
    def fault(asked: Asked, forward: Forward) -> Answer:
        if asked.endpoint in ("runs/log-batch", "runs/update"):
            forward()
        return forward()

    faulty.fault = fault
    log_a_run(tracker)
    assert tracker.close()
    check_one_whole_run(stored())


def test_one_slow_run_does_not_hold_up_another(
    faulty: FaultyServer, tracker: MLflowTracker, stored: Stored
) -> None:
    gate = threading.Event()

    def fault(asked: Asked, forward: Forward) -> Answer:
        if asked.endpoint == "runs/log-batch" and b'"slow"' in asked.body:
            gate.wait(PATIENCE_SECONDS)
        return forward()

    faulty.fault = fault
    with tracker.start_run("slow"):
        tracker.log_metric("slow", 1.0)
    with tracker.start_run("quick"):
        tracker.log_metric("loss", 1.0)
    wait_until(lambda: any(run.name == "quick" and run.run_status is RunStatus.FINISHED for run in stored()))
    gate.set()
    assert tracker.close()
    assert {run.run_status for run in stored()} == {RunStatus.FINISHED}


def test_artifacts_that_the_store_denies_do_not_hold_up_other_runs(
    faulty: FaultyServer, tracker: MLflowTracker, stored: Stored, project: Path
) -> None:
    """A server whose artifacts are a folder of its own machine: the client cannot write there."""

    def fault(asked: Asked, forward: Forward) -> Answer:
        answer = forward()
        if asked.endpoint != "runs/create" or b'"artifacts"' not in asked.body:
            return answer
        content = json.loads(answer.body)
        content["run"]["info"]["artifact_uri"] = "/proc/nobody/writes/here"
        return Answer(answer.status, {}, json.dumps(content).encode())

    faulty.fault = fault
    (project / "file.txt").write_text("x")
    with tracker.start_run("artifacts"):
        tracker.log_artifact(project / "file.txt")
    with tracker.start_run("other"):
        tracker.log_metric("loss", 1.0)
    wait_until(lambda: any(run.name == "other" and run.run_status is RunStatus.FINISHED for run in stored()))
    assert tracker.health().refused + tracker.health().waiting > 0


def test_no_two_trackers_deliver_the_same_leftover(
    faulty: FaultyServer, make_tracker: MakeTracker, stored: Stored
) -> None:
    faulty.stop()
    dead = make_tracker()
    log_a_run(dead)
    assert not dead.close(timeout_seconds=0.2)
    faulty.start()
    trackers = [make_tracker() for _ in range(4)]
    for number, tracker in enumerate(trackers):
        with tracker.start_run(f"later {number}"):
            pass
    settings = trackers[0].tracker.settings
    wait_until(lambda: len(list_journals(settings.journals)) <= 4 and len(stored()) == 5)
    assert all(tracker.close() for tracker in trackers)
    check_one_whole_run([run for run in stored() if run.name == "a"])
    assert sum(b'"rate"' in asked.body for asked in faulty.asked) == 1


def wait_until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not is_so():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.02)


def test_a_record_of_a_newer_version_is_set_aside_and_the_rest_flows(
    faulty: FaultyServer, make_tracker: MakeTracker, stored: Stored
) -> None:
    faulty.stop()
    tracker = make_tracker()
    log_a_run(tracker)
    path = tracker.tracker.journal_path
    assert path is not None
    assert not tracker.close(timeout_seconds=0.2)
    name = list_segments(path)[-1]
    segment = path / str(name)
    data = segment.read_bytes()
    data += bytes(padded(len(data)) - len(data))
    unknown = msgspec.msgpack.encode(["from-the-future", "run", 1])
    known = encode_record(Params("elsewhere", {"rate": "2"}))
    for sequence, payload in enumerate((unknown, known), start=tracker.health().accepted + 1):
        frame = encode_frame(payload, sequence, name.salt)
        data += frame + bytes(padded(len(frame)) - len(frame))
    segment.write_bytes(data)
    faulty.start()
    (result,) = drain_journal(path, Destinations(tracker.tracker.settings).open_client)
    assert (result.is_complete, result.refused, result.damaged) == (True, 1, 0)
    (refusal,) = CursorFile(path, faulty.uri).refusals()
    assert refusal.kind == "unknown"
    runs = {run.name: run for run in stored()}
    check_one_whole_run([runs["a"]])
    assert runs["recovered-elsewher"].params == {"rate": "2"}
    assert runs["recovered-elsewher"].run_status is RunStatus.KILLED
