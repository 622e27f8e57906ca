"""Our server answers each endpoint of the table as MLflow's own does."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import httpx2
import pytest

from tracklight.wire.codec import encode, query_of
from tracklight.wire.endpoints import (
    CREATE_EXPERIMENT,
    CREATE_RUN,
    DELETE_RUN,
    GET_EXPERIMENT,
    GET_EXPERIMENT_BY_NAME,
    GET_METRIC_HISTORY,
    GET_RUN,
    LIST_ARTIFACTS,
    LOG_BATCH,
    LOG_METRIC,
    LOG_PARAM,
    SEARCH_EXPERIMENTS,
    SEARCH_RUNS,
    SET_TAG,
    UPDATE_RUN,
    Endpoint,
)
from tracklight.wire.messages import (
    CreateExperiment,
    CreateRun,
    DeleteRun,
    GetExperiment,
    GetExperimentByName,
    GetMetricHistory,
    GetRun,
    ListArtifacts,
    LogBatch,
    LogMetric,
    LogParam,
    Metric,
    Param,
    SearchExperiments,
    SearchRuns,
    SetTag,
    Tag,
    UpdateRun,
)

RUN = "<run id>"
NAN, INFINITY = float("nan"), float("inf")


class Conversation:
    """One server, the run and experiment that a test works on, and its answers with those named alike."""

    def __init__(self, address: str, name: str) -> None:
        self.address = address
        self.experiment_id = self.ask(CREATE_EXPERIMENT, CreateExperiment(name))[1]["experiment_id"]
        created = self.ask(CREATE_RUN, CreateRun(self.experiment_id, 1000, run_name="first"))[1]
        self.run_id: str = created["run"]["info"]["run_id"]

    def ask(self, endpoint: Endpoint[Any, Any], request: Any) -> tuple[int, Any]:
        if endpoint.method == "GET":
            return self._send("GET", endpoint.full_path, params=query_of(request))
        return self.post(endpoint, encode(request))

    def post(
        self, endpoint: Endpoint[Any, Any], body: bytes, content_type: str = "application/json"
    ) -> tuple[int, Any]:
        return self._send("POST", endpoint.full_path, content=body, headers={"content-type": content_type})

    def _send(self, method: str, path: str, **request: Any) -> tuple[int, Any]:
        answer = httpx2.request(method, self.address + path, timeout=60, **request)
        return answer.status_code, answer.json()

    def alike(self, answer: Any) -> Any:
        """The answer without what differs between two servers by right."""
        if isinstance(answer, dict):
            return {
                key: "<time or place>" if key in VOLATILE else self.alike(item)
                for key, item in answer.items()
            }
        if isinstance(answer, (list, tuple)):
            return [self.alike(item) for item in answer]
        if isinstance(answer, str):
            return re.sub(r"\b1[0-9]{12}\b", "<time>", answer.replace(self.run_id, RUN))
        return answer


VOLATILE = {"creation_time", "last_update_time", "artifact_uri", "artifact_location", "root_uri"}


@pytest.fixture
def conversations(
    stock_server: str, our_server: str, request: pytest.FixtureRequest
) -> tuple[Conversation, Conversation]:
    name = f"experiment of {request.node.name}"
    return Conversation(stock_server, name), Conversation(our_server, name)


Ask = Callable[[Conversation], tuple[int, Any]]


def same_answer(conversations: tuple[Conversation, Conversation], ask: Ask, status: int) -> Any:
    stock, ours = conversations
    stock_answer, our_answer = stock.alike(ask(stock)), ours.alike(ask(ours))
    assert our_answer == stock_answer
    assert our_answer[0] == status
    return our_answer[1]


def full_batch(run_id: str) -> LogBatch:
    values = [0.1 + 0.2, -0.0, 5e-324, 1.7976931348623157e308, NAN, INFINITY, -INFINITY, 2.0**60]
    return LogBatch(
        run_id,
        metrics=tuple(Metric(f"m/{i % 3}", value, 1000 + i, i) for i, value in enumerate(values)),
        params=(Param("alpha", "0.1"), Param("empty", ""), Param("text", "grün\n'\"")),
        tags=(Tag("team", "a"), Tag("mlflow.note.content", "note")),
    )


def test_a_run_with_metrics_params_and_tags_reads_the_same(
    conversations: tuple[Conversation, Conversation],
) -> None:
    same_answer(conversations, lambda c: c.ask(LOG_BATCH, full_batch(c.run_id)), 200)
    same_answer(conversations, lambda c: c.ask(GET_RUN, GetRun(c.run_id)), 200)


def test_single_values_read_the_same(conversations: tuple[Conversation, Conversation]) -> None:
    same_answer(conversations, lambda c: c.ask(LOG_METRIC, LogMetric(c.run_id, "m", NAN, 5, 2)), 200)
    same_answer(conversations, lambda c: c.ask(LOG_PARAM, LogParam(c.run_id, "p", "v")), 200)
    same_answer(conversations, lambda c: c.ask(SET_TAG, SetTag(c.run_id, "t", "v")), 200)
    same_answer(conversations, lambda c: c.ask(GET_RUN, GetRun(c.run_id)), 200)


def test_a_batch_that_comes_twice_changes_nothing(conversations: tuple[Conversation, Conversation]) -> None:
    for _ in range(2):
        same_answer(conversations, lambda c: c.ask(LOG_BATCH, full_batch(c.run_id)), 200)
    history = same_answer(
        conversations, lambda c: c.ask(GET_METRIC_HISTORY, GetMetricHistory(c.run_id, "m/0")), 200
    )
    assert len(history["metrics"]) == 3


def test_history_pages_read_the_same(conversations: tuple[Conversation, Conversation]) -> None:
    same_answer(conversations, lambda c: c.ask(LOG_BATCH, full_batch(c.run_id)), 200)
    page = same_answer(
        conversations, lambda c: c.ask(GET_METRIC_HISTORY, GetMetricHistory(c.run_id, "m/0", 2)), 200
    )
    token = page["next_page_token"]
    same_answer(
        conversations, lambda c: c.ask(GET_METRIC_HISTORY, GetMetricHistory(c.run_id, "m/0", 2, token)), 200
    )


def test_updates_of_a_run_read_the_same(conversations: tuple[Conversation, Conversation]) -> None:
    same_answer(
        conversations, lambda c: c.ask(UPDATE_RUN, UpdateRun(c.run_id, "FINISHED", 2000, "renamed")), 200
    )
    same_answer(conversations, lambda c: c.ask(GET_RUN, GetRun(c.run_id)), 200)
    same_answer(conversations, lambda c: c.ask(UPDATE_RUN, UpdateRun(c.run_id, "RUNNING")), 200)


def test_a_deleted_run_reads_the_same(conversations: tuple[Conversation, Conversation]) -> None:
    same_answer(conversations, lambda c: c.ask(DELETE_RUN, DeleteRun(c.run_id)), 200)
    same_answer(conversations, lambda c: c.ask(GET_RUN, GetRun(c.run_id)), 200)
    same_answer(conversations, lambda c: c.ask(SET_TAG, SetTag(c.run_id, "t", "v")), 400)


@pytest.mark.parametrize(
    "filter_string",
    [
        "",
        "metrics.`m/1` > 0.2",
        "params.alpha = '0.1'",
        "tags.team LIKE 'a%'",
        "attributes.status = 'RUNNING'",
    ],
)
def test_found_runs_read_the_same(
    conversations: tuple[Conversation, Conversation], filter_string: str
) -> None:
    same_answer(conversations, lambda c: c.ask(LOG_BATCH, full_batch(c.run_id)), 200)
    found = same_answer(
        conversations,
        lambda c: c.ask(
            SEARCH_RUNS, SearchRuns((c.experiment_id,), filter_string, order_by=("metrics.`m/1` DESC",))
        ),
        200,
    )
    assert len(found["runs"]) == 1


def test_pages_of_runs_read_the_same(conversations: tuple[Conversation, Conversation]) -> None:
    for conversation in conversations:
        conversation.ask(CREATE_RUN, CreateRun(conversation.experiment_id, 500, run_name="second"))
    page = same_answer(
        conversations, lambda c: c.ask(SEARCH_RUNS, SearchRuns((c.experiment_id,), max_results=1)), 200
    )
    assert page["next_page_token"]


def test_experiments_read_the_same(conversations: tuple[Conversation, Conversation]) -> None:
    name = conversations[0].ask(GET_EXPERIMENT, GetExperiment(conversations[0].experiment_id))[1][
        "experiment"
    ]["name"]
    same_answer(conversations, lambda c: c.ask(GET_EXPERIMENT, GetExperiment(c.experiment_id)), 200)
    same_answer(conversations, lambda c: c.ask(GET_EXPERIMENT_BY_NAME, GetExperimentByName(name)), 200)
    found = same_answer(
        conversations,
        lambda c: c.ask(SEARCH_EXPERIMENTS, SearchExperiments(5, filter=f"name = '{name}'")),
        200,
    )
    assert len(found["experiments"]) == 1


def test_a_run_without_artifacts_lists_the_same(conversations: tuple[Conversation, Conversation]) -> None:
    same_answer(conversations, lambda c: c.ask(LIST_ARTIFACTS, ListArtifacts(c.run_id)), 200)


REFUSED: dict[str, tuple[int, Ask]] = {
    "missing run": (404, lambda c: c.ask(GET_RUN, GetRun("0" * 32))),
    "run id of an odd shape": (400, lambda c: c.ask(LOG_BATCH, LogBatch("../x"))),
    "no run id": (400, lambda c: c.ask(GET_RUN, GetRun(""))),
    "missing experiment": (404, lambda c: c.ask(GET_EXPERIMENT, GetExperiment("123456"))),
    "missing experiment name": (
        404,
        lambda c: c.ask(GET_EXPERIMENT_BY_NAME, GetExperimentByName("nobody's")),
    ),
    "run in a missing experiment": (404, lambda c: c.ask(CREATE_RUN, CreateRun("123456", 1))),
    "experiment without a name": (400, lambda c: c.ask(CREATE_EXPERIMENT, CreateExperiment(""))),
    "experiment name too long": (400, lambda c: c.ask(CREATE_EXPERIMENT, CreateExperiment("x" * 600))),
    "artifact location with a fragment": (
        400,
        lambda c: c.ask(CREATE_EXPERIMENT, CreateExperiment("f", "s3://bucket/a#b")),
    ),
    "artifact location of a run": (400, lambda c: c.ask(CREATE_EXPERIMENT, CreateExperiment("r", "runs:/x"))),
    "metric name too long": (
        400,
        lambda c: c.ask(LOG_BATCH, LogBatch(c.run_id, metrics=(Metric("k" * 300, 1.0, 1),))),
    ),
    "metric name with odd characters": (
        400,
        lambda c: c.ask(LOG_BATCH, LogBatch(c.run_id, metrics=(Metric("a;b", 1.0, 1),))),
    ),
    "param named twice": (
        400,
        lambda c: c.ask(LOG_BATCH, LogBatch(c.run_id, params=(Param("p", "1"), Param("p", "2")))),
    ),
    "tag name too long": (400, lambda c: c.ask(SET_TAG, SetTag(c.run_id, "k" * 300, "v"))),
    "too many metrics": (
        400,
        lambda c: c.ask(LOG_BATCH, LogBatch(c.run_id, metrics=tuple(Metric("m", i, i) for i in range(1001)))),
    ),
    "bad filter": (400, lambda c: c.ask(SEARCH_RUNS, SearchRuns((c.experiment_id,), "metrics.m >> 1"))),
    "too many results": (
        400,
        lambda c: c.ask(SEARCH_RUNS, SearchRuns((c.experiment_id,), max_results=50_001)),
    ),
    "bad page token": (
        400,
        lambda c: c.ask(SEARCH_RUNS, SearchRuns((c.experiment_id,), page_token="no token")),
    ),
    "history page of no size": (
        400,
        lambda c: c.ask(GET_METRIC_HISTORY, GetMetricHistory(c.run_id, "m", max_results=-1)),
    ),
    "artifacts above the root": (400, lambda c: c.ask(LIST_ARTIFACTS, ListArtifacts(c.run_id, "../.."))),
    "body that is not JSON": (400, lambda c: c.post(SET_TAG, b"{not json")),
    "body of another type": (400, lambda c: c.post(SET_TAG, b"{}", "text/plain")),
    "run id that is a number": (400, lambda c: c.post(SET_TAG, b'{"run_id": 5, "key": "k", "value": "v"}')),
    "metric without a time": (
        400,
        lambda c: c.post(LOG_BATCH, b'{"run_id": "a", "metrics": [{"key": "k", "value": 1}]}'),
    ),
    "metrics that are no list": (400, lambda c: c.post(LOG_BATCH, b'{"run_id": "a", "metrics": 7}')),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refusals_are_mlflows_own(conversations: tuple[Conversation, Conversation], case: str) -> None:
    status, ask = REFUSED[case]
    same_answer(conversations, ask, status)


def test_another_value_of_a_param_is_refused_alike(
    conversations: tuple[Conversation, Conversation],
) -> None:
    same_answer(conversations, lambda c: c.ask(LOG_PARAM, LogParam(c.run_id, "p", "old")), 200)
    same_answer(conversations, lambda c: c.ask(LOG_PARAM, LogParam(c.run_id, "p", "new")), 400)
    same_answer(
        conversations, lambda c: c.ask(LOG_BATCH, LogBatch(c.run_id, params=(Param("p", "new"),))), 400
    )


def test_a_param_too_long_is_cut_alike(conversations: tuple[Conversation, Conversation]) -> None:
    same_answer(conversations, lambda c: c.ask(LOG_PARAM, LogParam(c.run_id, "p", "v" * 6001)), 200)
    same_answer(conversations, lambda c: c.ask(GET_RUN, GetRun(c.run_id)), 200)


def test_an_experiment_name_is_taken_once(conversations: tuple[Conversation, Conversation]) -> None:
    same_answer(conversations, lambda c: c.ask(CREATE_EXPERIMENT, CreateExperiment("twice")), 200)
    same_answer(conversations, lambda c: c.ask(CREATE_EXPERIMENT, CreateExperiment("twice")), 400)
