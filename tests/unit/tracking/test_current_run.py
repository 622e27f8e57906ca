"""Which run a call belongs to, in threads, tasks, nested blocks and several trackers."""

from __future__ import annotations

import asyncio
import contextvars
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from tracklight.client.transport import Answer
from tracklight.errors import NoActiveRunError
from tracklight.model.run import RunStatus, TagKey
from tracklight.testing.faulty_server import Asked, FaultyServer, Forward
from tracklight.testing.stored import StoredRun
from tracklight.tracking.mlflow_tracker import MLflowTracker

Stored = Callable[[], list[StoredRun]]
MakeTracker = Callable[..., MLflowTracker]


def by_name(runs: list[StoredRun]) -> dict[str, StoredRun]:
    assert len({run.name for run in runs}) == len(runs)
    return {run.name: run for run in runs}


def test_asyncio_tasks_log_to_the_run_of_their_own_block(tracker: MLflowTracker, stored: Stored) -> None:
    async def work(number: int) -> None:
        with tracker.start_run(f"task {number}", nested=True):
            for step in range(10):
                tracker.log_metric("number", number, step)
                await asyncio.sleep(0)

    async def all_at_once() -> None:
        await asyncio.gather(*(work(number) for number in range(10)))

    asyncio.run(all_at_once())
    assert tracker.close()
    runs = by_name(stored())
    for number in range(10):
        assert runs[f"task {number}"].history("number") == [(step, float(number)) for step in range(10)]


def test_threads_without_the_context_start_runs_of_their_own_side_by_side(
    tracker: MLflowTracker, stored: Stored
) -> None:
    def train(number: int) -> None:
        with tracker.start_run(f"thread {number}"):
            tracker.log_metric("number", number)
            time.sleep(0.05)

    with tracker.start_run("main"), ThreadPoolExecutor(4) as pool:
        list(pool.map(train, range(8)))
    assert tracker.close()
    runs = by_name(stored())
    for number in range(8):
        assert runs[f"thread {number}"].history("number") == [(0, float(number))]
        assert TagKey.PARENT_RUN not in runs[f"thread {number}"].tags


def test_a_task_that_is_cancelled_marks_its_run_killed(tracker: MLflowTracker, stored: Stored) -> None:
    async def work() -> None:
        with tracker.start_run("a"):
            await asyncio.sleep(60)

    async def cancel() -> None:
        task = asyncio.create_task(work())
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancel())
    assert tracker.close()
    assert stored()[0].run_status is RunStatus.KILLED


def test_threads_that_were_handed_the_context_log_to_its_run(tracker: MLflowTracker, stored: Stored) -> None:
    def outer(number: int) -> None:
        with tracker.start_run(f"run {number}", nested=True), ThreadPoolExecutor(4) as pool:
            for step in range(20):
                pool.submit(
                    contextvars.copy_context().run, tracker.log_metric, "number", number, step
                ).result()

    threads = [threading.Thread(target=outer, args=(number,)) for number in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert tracker.close()
    runs = by_name(stored())
    for number in range(5):
        assert runs[f"run {number}"].history("number") == [(step, float(number)) for step in range(20)]


def test_while_one_run_is_open_any_thread_logs_to_it_and_with_two_none_is_guessed(
    tracker: MLflowTracker, stored: Stored
) -> None:
    with ThreadPoolExecutor(1) as pool, tracker.start_run("a"):
        pool.submit(tracker.log_metric, "loss", 1.0).result()
        with tracker.start_run("b", nested=True), pytest.raises(NoActiveRunError):
            pool.submit(tracker.log_metric, "loss", 2.0).result()
    assert tracker.close()
    runs = by_name(stored())
    assert runs["a"].history("loss") == [(0, 1.0)]
    assert runs["b"].points == ()


def test_nested_runs_are_children_of_the_run_they_are_in(tracker: MLflowTracker, stored: Stored) -> None:
    with tracker.start_run("parent"):
        with tracker.start_run("child", nested=True):
            with tracker.start_run("grandchild", nested=True):
                tracker.log_metric("depth", 2)
            tracker.log_metric("depth", 1)
        tracker.log_metric("depth", 0)
    assert tracker.close()
    runs = by_name(stored())
    assert runs["child"].tags[TagKey.PARENT_RUN] == runs["parent"].run_id
    assert runs["grandchild"].tags[TagKey.PARENT_RUN] == runs["child"].run_id
    assert [runs[name].history("depth")[0][1] for name in ("parent", "child", "grandchild")] == [0, 1, 2]


def test_a_nested_run_knows_its_parent_however_late_the_server_is(
    faulty: FaultyServer, tracker: MLflowTracker, stored: Stored
) -> None:
    faulty.stop()
    with tracker.start_run("parent"), tracker.start_run("child", nested=True):
        tracker.log_metric("loss", 1.0)
    faulty.start()
    assert tracker.flush(30)
    assert tracker.close()
    runs = by_name(stored())
    assert runs["child"].tags[TagKey.PARENT_RUN] == runs["parent"].run_id


def test_a_run_of_one_tracker_may_be_the_parent_of_anothers(
    faulty: FaultyServer, make_tracker: MakeTracker, stored: Stored
) -> None:
    """Also where the child could be created before its parent is."""

    def fault(asked: Asked, forward: Forward) -> Answer:
        if asked.endpoint == "runs/create" and b'"parent"' in asked.body:
            time.sleep(0.5)
        return forward()

    faulty.fault = fault
    first, second = make_tracker("x"), make_tracker("x")
    with first.start_run("parent") as parent, second.tracker.start_run("child", parent=parent) as child:
        child.log_metric("loss", 1.0)
    assert first.close()
    assert second.close()
    runs = by_name(stored())
    assert runs["child"].tags[TagKey.PARENT_RUN] == runs["parent"].run_id


def test_two_trackers_in_one_process_share_nothing(
    make_tracker: MakeTracker, faulty: FaultyServer, stored: Stored
) -> None:
    first, second = make_tracker("first"), make_tracker("second", strict=False)
    with first.start_run("a"):
        with second.start_run("b"):
            first.log_metric("mine", 1.0)
            second.log_metric("mine", 2.0)
        with pytest.raises(NoActiveRunError):
            make_tracker("third").log_metric("mine", 3.0)
        second.log_metric("mine", 4.0)
    assert first.close()
    assert first.health().is_healthy
    assert second.close()
    assert second.health().mistakes == 1
    runs = by_name(stored())
    assert (runs["a"].experiment_name, runs["b"].experiment_name) == ("first", "second")
    assert runs["a"].history("mine") == [(0, 1.0)]
    assert runs["b"].history("mine") == [(0, 2.0)]


def test_32_threads_log_to_one_run(tracker: MLflowTracker, stored: Stored) -> None:
    with tracker.start_run("a") as run:

        def work(thread: int) -> None:
            for step in range(100):
                run.log_metric(f"thread{thread}", step, step)

        threads = [threading.Thread(target=work, args=(thread,)) for thread in range(32)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert tracker.close()
    for thread in range(32):
        assert stored_history(stored, f"thread{thread}") == [(step, float(step)) for step in range(100)]


def stored_history(stored: Stored, key: str) -> list[tuple[int, float]]:
    return stored()[0].history(key)


def test_a_run_goes_on_by_its_id_in_another_process_of_the_program(
    make_tracker: MakeTracker, stored: Stored
) -> None:
    first = make_tracker()
    with first.start_run("a") as run:
        first.log_metric("loss", 1.0, 0)
    assert first.close()
    for run_id in (run.run_id, stored()[0].run_id):
        later = make_tracker()
        with later.start_run(run_id=run_id):
            later.log_metric("loss", 0.5, 1)
        assert later.close()
    (found,) = stored()
    assert found.history("loss")[:2] == [(0, 1.0), (1, 0.5)]
    assert found.run_status is RunStatus.FINISHED
