"""One run for each execution of a Prefect flow, however often it is retried.

::

    tracker = MLflowTracker("bhavcopy-etl")

    @task
    def scrape(day): ...
        tracker.log_metric("scrape_duration_seconds", seconds)   # in any thread: the run of this task's flow

    @flow(retries=2, **hooks(tracker))
    def etl(day):
        with flow_run(tracker, run_name=f"bhavcopy-etl-{day}"):
            scrape.submit(day).wait()

Called outside Prefect (``etl.fn(day)``, or the undecorated function), the same code makes ordinary runs.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypedDict

from prefect import Flow, State, Task
from prefect.client.schemas.objects import FlowRun, TaskRun
from prefect.context import FlowRunContext, TaskRunContext
from prefect.exceptions import Pause
from prefect.utilities.urls import url_for

from tracklight.model.run import MlflowLimit, RunStatus, TagKey
from tracklight.tracking.mlflow_tracker import MLflowTracker
from tracklight.tracking.redaction import Redaction
from tracklight.tracking.run import Run

STATE_TAG = "prefect.state"
Hook = Callable[[Flow[..., Any], FlowRun, State[Any]], None]


class Hooks(TypedDict):
    """Arguments of ``@flow``."""

    on_failure: list[Hook]
    on_cancellation: list[Hook]
    on_crashed: list[Hook]


@contextmanager
def flow_run(
    tracker: MLflowTracker, run_name: str | None = None, tags: Mapping[str, Any] | None = None
) -> Iterator[Run]:
    """Log the block to the run of the current flow run, and end it with the block.

    The run's id is the flow run's, so a retry, in this process or another, goes on with the same run. Without
    ``run_name`` it is called as the flow run is. Subflows are nested runs. Inside an open block of the same flow
    run (in a task, say) it is that block's run, which then ends with the outer block.

    The run ends FAILED where an exception leaves the block, KILLED where a signal, a cancellation or an exit
    does, SCHEDULED where the flow run is suspended; `hooks` tell it what Prefect made of that.
    """
    context, task_context = FlowRunContext.get(), TaskRunContext.get()
    current = tracker.tracker.enclosing_run()
    if context is None or context.flow is None or context.flow_run is None:
        with tracker.start_run(run_name, tags, nested=current is not None) as run:
            yield run
        return
    prefect_run = context.flow_run
    if current is not None and current.run_id == prefect_run.id.hex:
        current.set_tags(tags or {})
        yield current
    elif task_context is not None and task_context.task_run.flow_run_id == prefect_run.id:
        with task_run(tracker, run_name, tags) as run:
            yield run
    else:
        run = tracker.tracker.start_run(
            run_name or prefect_run.name,
            flow_tags(context.flow, prefect_run, tracker.tracker.redaction) | dict(tags or {}),
            parent=current if prefect_run.parent_task_run_id else None,
            run_id=prefect_run.id.hex,
        )
        with _current_until_end(tracker, run):
            yield run


@contextmanager
def task_run(
    tracker: MLflowTracker, run_name: str | None = None, tags: Mapping[str, Any] | None = None
) -> Iterator[Run]:
    """Log the block to a run of its own for the current task run, nested in the flow's run.

    A retry of the task goes on with the same run. It ends as the run of `flow_run` does.
    """
    context = TaskRunContext.get()
    current = tracker.tracker.enclosing_run()
    if context is None:
        with tracker.start_run(run_name, tags, nested=current is not None) as run:
            yield run
        return
    flow_run_id = context.task_run.flow_run_id
    run = tracker.tracker.start_run(
        run_name or context.task_run.name,
        task_tags(context.task, context.task_run) | dict(tags or {}),
        parent=current or (flow_run_id.hex if flow_run_id else None),
        run_id=context.task_run.id.hex,
    )
    with _current_until_end(tracker, run):
        yield run


def hooks(tracker: MLflowTracker) -> Hooks:
    """Return hooks for ``@flow(**hooks(tracker))`` that end the run as Prefect ends the flow run.

    They see what a block cannot: that a signal was a cancellation, that a time limit was passed, that a task's
    failure became the flow's, and the flow process that Prefect killed, for which its runner calls them.
    """

    def end_run(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:
        run = tracker.tracker.start_run(
            flow_run.name,
            flow_tags(flow, flow_run, tracker.tracker.redaction),
            run_id=flow_run.id.hex,
        )
        has_failed = state.is_failed()
        run.set_tag(STATE_TAG, "Cancelled" if state.is_cancelling() else state.name)
        run.set_tag(TagKey.END_REASON, state.message or "")
        run.end(RunStatus.FAILED if has_failed else RunStatus.KILLED)
        if not has_failed:  # the process may have no other moment
            tracker.flush(tracker.tracker.settings.exit_limit_seconds)

    return Hooks(on_failure=[end_run], on_cancellation=[end_run], on_crashed=[end_run])


def flow_tags(flow: Flow[..., Any], flow_run: FlowRun, redaction: Redaction) -> dict[str, str]:
    """Return the tags of a flow run; parameters are JSON without what the redaction takes for secrets."""
    tags = {
        "prefect.flow_run_id": str(flow_run.id),
        "prefect.flow_name": flow.name,
        "prefect.flow_run_name": flow_run.name,
    }
    if flow_run.deployment_id is not None:
        tags["prefect.deployment_id"] = str(flow_run.deployment_id)
    url = url_for("flow-run", flow_run.id) or url_for("flow-run", flow_run.id, url_type="api")
    if url:
        tags["prefect.flow_run_url"] = url
    for name, value in flow_run.parameters.items():
        shown = _without_secrets(name, value, redaction)
        tags[f"prefect.parameter.{name}"] = shown if isinstance(shown, str) else json.dumps(shown)
    return tags | _attempt_tags(flow_run)


def task_tags(task: Task[..., Any], task_run: TaskRun) -> dict[str, str]:
    """Return the tags of a task run."""
    return {
        "prefect.task_run_id": str(task_run.id),
        "prefect.task_name": task.name,
        "prefect.task_run_name": task_run.name,
        "prefect.flow_run_id": str(task_run.flow_run_id or ""),
    } | _attempt_tags(task_run)


def _attempt_tags(run: FlowRun | TaskRun) -> dict[str, str]:
    """Return the retry count; from the second attempt on also what takes back the end of the one before."""
    retries = max(run.run_count - 1, 0)
    again = {STATE_TAG: "Running", TagKey.END_REASON.value: ""} if retries else {}
    return {"prefect.retry_count": str(retries), **again}


@contextmanager
def _current_until_end(tracker: MLflowTracker, run: Run) -> Iterator[None]:
    outer = tracker.tracker.enter(run)
    try:
        yield
    except BaseException as error:
        run_status, state_name = _ending(error)
        reason = f"{type(error).__name__}: {error}"[: MlflowLimit.TAG_LENGTH]
        run.set_tags({STATE_TAG: state_name, TagKey.END_REASON: reason})
        run.end(run_status)
        raise
    else:
        run.set_tag(STATE_TAG, "Completed")
        run.end()
    finally:
        tracker.tracker.leave(outer)


def _ending(error: BaseException) -> tuple[RunStatus, str]:
    """Return how a run ends and the name of the state that Prefect will most likely give its flow run."""
    match error:
        case Pause():
            return RunStatus.SCHEDULED, "Suspended"
        case Exception():
            return RunStatus.FAILED, "Failed"
        case _:  # TerminationSignal, KeyboardInterrupt, CancelledError, SystemExit
            return RunStatus.KILLED, "Crashed"


def _without_secrets(key: str, value: Any, redaction: Redaction) -> Any:
    match value:
        case str():
            return redaction.apply(key, value)
        case Mapping():
            return {
                name: _without_secrets(f"{key}.{name}", inner, redaction) for name, inner in value.items()
            }
        case list() | tuple():
            return [_without_secrets(key, inner, redaction) for inner in value]
        case _:
            return value
