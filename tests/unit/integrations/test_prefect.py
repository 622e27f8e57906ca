"""Runs of real flows, on Prefect's own test server."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Callable
from uuid import UUID

import pytest

pytest.importorskip("prefect")
from prefect import flow, task
from prefect.client.orchestration import get_client
from prefect.exceptions import Pause
from prefect.flow_engine import run_flow
from prefect.states import Completed, Failed, Scheduled, Suspended
from prefect.task_runners import ThreadPoolTaskRunner

from tracklight.integrations.prefect import flow_run, hooks, task_run
from tracklight.testing.stored import StoredRun
from tracklight.tracking import MLflowTracker

StoredRuns = Callable[[], list[StoredRun]]

pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.timeout(180)]


def test_a_flow_execution_is_one_finished_run_with_its_tags(
    tracker: MLflowTracker, stored_runs: StoredRuns
) -> None:
    @flow(name="etl-flow", flow_run_name="day-{day}")
    def etl(day: str, config: dict[str, object]) -> None:
        with flow_run(tracker, run_name=f"bhavcopy-etl-{day}", tags={"team": "data"}):
            tracker.log_param("trade_date", day)
            tracker.log_metric("row_count", 3)

    state = etl("2024-01-10", {"table": "t", "db_password": "hunter2", "retries": 3}, return_state=True)

    (run,) = stored_runs()
    assert (run.name, run.run_status) == ("bhavcopy-etl-2024-01-10", "FINISHED")
    assert latest(run) == {"row_count": 3.0}
    tags = run.tags
    assert tags["prefect.flow_run_id"] == str(state.state_details.flow_run_id)
    assert tags["prefect.flow_name"] == "etl-flow"
    assert tags["prefect.flow_run_name"] == "day-2024-01-10"
    assert tags["prefect.parameter.day"] == "2024-01-10"
    assert tags["prefect.parameter.config"] == ('{"table": "t", "db_password": "[redacted]", "retries": 3}')
    assert tags["prefect.retry_count"] == "0"
    assert tags["prefect.state"] == "Completed"
    assert tags["prefect.flow_run_url"].endswith(f"/flow-run/{state.state_details.flow_run_id}")
    assert tags["team"] == "data"
    assert "prefect.deployment_id" not in tags


def test_a_retried_flow_run_goes_on_with_the_same_run(
    tracker: MLflowTracker, stored_runs: StoredRuns
) -> None:
    attempts: list[str] = []

    @flow(retries=2, **hooks(tracker))
    def flaky() -> None:
        with flow_run(tracker, run_name="flaky") as run:
            attempts.append(run.run_id)
            tracker.log_metric("attempt", len(attempts), step=len(attempts))
            if len(attempts) < 3:
                raise ValueError("not yet")

    flaky()

    (run,) = stored_runs()
    assert len(attempts) == 3
    assert len(set(attempts)) == 1
    assert run.run_status == "FINISHED"
    assert latest(run) == {"attempt": 3.0}
    tags = run.tags
    assert (tags["prefect.retry_count"], tags["prefect.state"]) == ("2", "Completed")
    assert tags["tracklight.end_reason"] == ""


def test_a_flow_run_that_is_run_again_later_goes_on_with_the_same_run(
    tracker: MLflowTracker, stored_runs: StoredRuns
) -> None:
    """What the retry button of Prefect does: the flow run is scheduled anew and executed by another process."""
    works = [False, True]

    @flow(**hooks(tracker))
    def etl() -> None:
        with flow_run(tracker, run_name="etl"):
            if not works.pop(0):
                raise ValueError("broken")

    state = etl(return_state=True)
    (before,) = stored_runs()
    with get_client(sync_client=True) as client:
        flow_run_id = state.state_details.flow_run_id
        client.set_flow_run_state(flow_run_id, Scheduled(name="AwaitingRetry"), force=True)
        again = client.read_flow_run(flow_run_id)
    run_flow(etl, flow_run=again, return_type="state")

    (after,) = stored_runs()
    assert (before.run_status, after.run_status) == ("FAILED", "FINISHED")
    assert after.run_id == before.run_id
    assert after.tags["prefect.retry_count"] == "1"


def test_a_failed_flow_is_a_failed_run_that_says_why(tracker: MLflowTracker, stored_runs: StoredRuns) -> None:
    @flow(**hooks(tracker))
    def failing() -> None:
        with flow_run(tracker):
            raise ValueError("no such day")

    failing(return_state=True)

    (run,) = stored_runs()
    assert run.run_status == "FAILED"
    assert run.tags["prefect.state"] == "Failed"
    assert "no such day" in run.tags["tracklight.end_reason"]


def test_a_failure_that_leaves_no_block_is_told_by_the_hooks(
    tracker: MLflowTracker, stored_runs: StoredRuns
) -> None:
    @task
    def broken() -> None:
        raise ValueError("task")

    @flow(**hooks(tracker))
    def etl() -> object:
        with flow_run(tracker):
            return broken(return_state=True)

    etl(return_state=True)

    (run,) = stored_runs()
    assert (run.run_status, run.tags["prefect.state"]) == ("FAILED", "Failed")


def test_a_flow_that_fails_before_its_block_is_a_failed_run_all_the_same(
    tracker: MLflowTracker, stored_runs: StoredRuns
) -> None:
    @flow(name="strict-flow", **hooks(tracker))
    def etl(days: int) -> None:
        with flow_run(tracker):
            pass

    etl("many", return_state=True)

    (run,) = stored_runs()
    assert run.run_status == "FAILED"
    assert run.tags["prefect.flow_name"] == "strict-flow"
    assert "Validation of flow parameters failed" in run.tags["tracklight.end_reason"]


def test_a_flow_that_passes_its_time_limit_is_failed_and_timed_out(
    tracker: MLflowTracker, stored_runs: StoredRuns
) -> None:
    @flow(timeout_seconds=1, **hooks(tracker))
    async def slow() -> None:
        with flow_run(tracker):
            await asyncio.sleep(30)

    asyncio.run(slow(return_state=True))

    (run,) = stored_runs()
    assert (run.run_status, run.tags["prefect.state"]) == ("FAILED", "TimedOut")


@pytest.mark.parametrize("crash", [KeyboardInterrupt(), SystemExit(1), asyncio.CancelledError()])
def test_a_crashed_flow_is_a_killed_run(
    tracker: MLflowTracker, stored_runs: StoredRuns, crash: BaseException
) -> None:
    @flow(**hooks(tracker))
    def crashing() -> None:
        with flow_run(tracker):
            raise crash

    with pytest.raises(type(crash)):
        crashing()

    (run,) = stored_runs()
    assert (run.run_status, run.tags["prefect.state"]) == ("KILLED", "Crashed")


def test_without_hooks_the_block_alone_tells_a_crash(tracker: MLflowTracker, stored_runs: StoredRuns) -> None:
    @flow
    def crashing() -> None:
        with flow_run(tracker):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        crashing()

    (run,) = stored_runs()
    assert (run.run_status, run.tags["prefect.state"]) == ("KILLED", "Crashed")


def test_tasks_in_threads_log_to_the_run_of_their_flow(
    tracker: MLflowTracker, stored_runs: StoredRuns
) -> None:
    @task
    def measure(index: int) -> None:
        time.sleep(0.01)
        tracker.log_metric(f"task_{index}", index)

    @task
    async def measure_in_loop(index: int) -> None:
        await asyncio.sleep(0.01)
        tracker.log_metric(f"async_{index}", index)

    @flow(task_runner=ThreadPoolTaskRunner(max_workers=4))
    def etl(first: int) -> None:
        with flow_run(tracker, run_name=f"from-{first}"):
            futures = [measure.submit(first), measure_in_loop.submit(first)]
            futures += measure.map(range(first + 1, first + 6))
            for future in futures:
                future.result()

    etl(0)
    etl(100)

    first, second = stored_runs()
    assert set(latest(first)) == {f"task_{index}" for index in range(6)} | {"async_0"}
    assert set(latest(second)) == {f"task_{index}" for index in range(100, 106)} | {"async_100"}


def test_flows_that_run_at_the_same_time_keep_apart(tracker: MLflowTracker, stored_runs: StoredRuns) -> None:
    @task
    async def measure(index: int) -> None:
        tracker.log_metric("index", index)

    @flow
    async def etl(index: int) -> None:
        with flow_run(tracker, run_name=f"etl-{index}"):
            await asyncio.sleep(0.3)
            await measure(index)
            measure.submit(index).wait()

    async def all_flows() -> None:
        await asyncio.gather(*(etl(index) for index in range(4)))

    asyncio.run(all_flows())

    runs = stored_runs()
    assert {run.name: latest(run)["index"] for run in runs} == {
        f"etl-{index}": float(index) for index in range(4)
    }
    assert not any("mlflow.parentRunId" in run.tags for run in runs)


def test_task_runs_and_subflows_are_nested_runs_on_request(
    tracker: MLflowTracker, stored_runs: StoredRuns
) -> None:
    tries: list[int] = []

    @task(task_run_name="parse-{part}", retries=1)
    def parse(part: str) -> None:
        with task_run(tracker):
            tracker.log_metric("rows", 7)
            tries.append(1)
            if len(tries) == 1:
                raise ValueError("once")

    @flow(name="load-flow")
    def load() -> None:
        with flow_run(tracker, run_name="load"):
            tracker.log_metric("loaded", 1)

    @flow
    def etl() -> None:
        with flow_run(tracker, run_name="etl"):
            parse.submit("a").result()
            load()
            tracker.log_metric("after", 1)

    etl()

    by_name = {run.name: run for run in stored_runs()}
    assert set(by_name) == {"etl", "parse-a", "load"}
    parent = by_name["etl"].run_id
    assert latest(by_name["etl"]) == {"after": 1.0}
    assert latest(by_name["parse-a"]) == {"rows": 7.0}
    assert by_name["parse-a"].tags["mlflow.parentRunId"] == parent
    assert by_name["load"].tags["mlflow.parentRunId"] == parent
    assert by_name["parse-a"].tags["prefect.retry_count"] == "1"
    assert by_name["parse-a"].tags["prefect.task_name"] == "parse"
    assert {run.run_status for run in by_name.values()} == {"FINISHED"}


def test_a_block_in_a_block_of_the_same_flow_is_the_same_run(
    tracker: MLflowTracker, stored_runs: StoredRuns
) -> None:
    @task
    def helper() -> None:
        with flow_run(tracker, tags={"helped": "yes"}):
            tracker.log_metric("helper", 1)

    @flow
    def etl() -> None:
        with flow_run(tracker, run_name="etl") as run:
            helper.submit().result()
            assert run.run_status == "RUNNING"

    etl()

    (run,) = stored_runs()
    assert latest(run) == {"helper": 1.0}
    assert run.tags["helped"] == "yes"


def test_a_named_state_that_the_flow_returns_is_finished(
    tracker: MLflowTracker, stored_runs: StoredRuns
) -> None:
    @flow(**hooks(tracker))
    def etl(fails: bool) -> object:
        with flow_run(tracker, run_name=f"fails={fails}"):
            return Failed(message="no data") if fails else Completed(name="Skipped")

    etl(False, return_state=True)
    etl(True, return_state=True)

    good, bad = stored_runs()
    assert good.run_status == "FINISHED"
    assert bad.run_status == "FAILED"
    assert bad.tags["tracklight.end_reason"] == "no data"


def test_outside_prefect_the_same_code_makes_ordinary_runs(
    tracker: MLflowTracker, stored_runs: StoredRuns
) -> None:
    @task
    def parse() -> None:
        with task_run(tracker, run_name="parse"):
            tracker.log_metric("rows", 7)

    @flow(**hooks(tracker))
    def etl() -> None:
        with flow_run(tracker, run_name="etl", tags={"team": "data"}):
            parse.fn()

    etl.fn()

    outer, inner = stored_runs()
    assert (outer.name, inner.name) == ("etl", "parse")
    assert {outer.run_status, inner.run_status} == {"FINISHED"}
    assert not [key for key in outer.tags if key.startswith("prefect.")]
    assert inner.tags["mlflow.parentRunId"] == outer.run_id


def test_a_suspended_flow_run_is_a_scheduled_run_that_goes_on_when_it_is_resumed(
    tracker: MLflowTracker, stored_runs: StoredRuns
) -> None:
    answers = [None, "yes"]

    @flow(**hooks(tracker))
    def etl() -> None:
        with flow_run(tracker, run_name="etl"):
            tracker.log_metric("asked", 1)
            if answers.pop(0) is None:
                raise Pause(state=Suspended())

    with pytest.raises(Pause):
        etl()
    (suspended,) = stored_runs()
    with get_client(sync_client=True) as client:
        again = client.read_flow_run(UUID(suspended.tags["prefect.flow_run_id"]))
    run_flow(etl, flow_run=again)

    (resumed,) = stored_runs()
    assert (suspended.run_status, suspended.end_time_ms) == ("SCHEDULED", None)
    assert suspended.tags["prefect.state"] == "Suspended"
    assert (resumed.run_status, resumed.run_id) == ("FINISHED", suspended.run_id)


def test_importing_tracklight_imports_no_prefect() -> None:
    program = "import sys, tracklight.tracking, tracklight.cli.main; sys.exit('prefect' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def latest(run: StoredRun) -> dict[str, float]:
    return {point.key: point.value for point in run.points}
