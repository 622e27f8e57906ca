"""The table of endpoints that the client calls and the server answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

import msgspec

from tracklight.wire import messages as m

API_PREFIX = "/api/2.0/mlflow/"

Request = TypeVar("Request", bound=msgspec.Struct)
Response = TypeVar("Response", bound=msgspec.Struct)


@dataclass(frozen=True, slots=True)
class Endpoint(Generic[Request, Response]):
    """One call of MLflow's REST API. A GET carries its request in the query, a POST in the body."""

    name: str
    method: Literal["GET", "POST"]
    path: str
    request_type: type[Request]
    response_type: type[Response]

    @property
    def full_path(self) -> str:
        return API_PREFIX + self.path


GET_EXPERIMENT_BY_NAME = Endpoint(
    "get_experiment_by_name", "GET", "experiments/get-by-name", m.GetExperimentByName, m.ExperimentAnswer
)
GET_EXPERIMENT = Endpoint("get_experiment", "GET", "experiments/get", m.GetExperiment, m.ExperimentAnswer)
CREATE_EXPERIMENT = Endpoint(
    "create_experiment", "POST", "experiments/create", m.CreateExperiment, m.ExperimentIdAnswer
)
SEARCH_EXPERIMENTS = Endpoint(
    "search_experiments", "POST", "experiments/search", m.SearchExperiments, m.ExperimentsAnswer
)
CREATE_RUN = Endpoint("create_run", "POST", "runs/create", m.CreateRun, m.RunAnswer)
GET_RUN = Endpoint("get_run", "GET", "runs/get", m.GetRun, m.RunAnswer)
UPDATE_RUN = Endpoint("update_run", "POST", "runs/update", m.UpdateRun, m.RunInfoAnswer)
DELETE_RUN = Endpoint("delete_run", "POST", "runs/delete", m.DeleteRun, m.Empty)
SEARCH_RUNS = Endpoint("search_runs", "POST", "runs/search", m.SearchRuns, m.RunsAnswer)
LOG_BATCH = Endpoint("log_batch", "POST", "runs/log-batch", m.LogBatch, m.Empty)
LOG_METRIC = Endpoint("log_metric", "POST", "runs/log-metric", m.LogMetric, m.Empty)
LOG_PARAM = Endpoint("log_param", "POST", "runs/log-parameter", m.LogParam, m.Empty)
SET_TAG = Endpoint("set_tag", "POST", "runs/set-tag", m.SetTag, m.Empty)
GET_METRIC_HISTORY = Endpoint(
    "get_metric_history", "GET", "metrics/get-history", m.GetMetricHistory, m.MetricsAnswer
)
LIST_ARTIFACTS = Endpoint("list_artifacts", "GET", "artifacts/list", m.ListArtifacts, m.FilesAnswer)

ENDPOINTS: tuple[Endpoint[Any, Any], ...] = (
    GET_EXPERIMENT_BY_NAME,
    GET_EXPERIMENT,
    CREATE_EXPERIMENT,
    SEARCH_EXPERIMENTS,
    CREATE_RUN,
    GET_RUN,
    UPDATE_RUN,
    DELETE_RUN,
    SEARCH_RUNS,
    LOG_BATCH,
    LOG_METRIC,
    LOG_PARAM,
    SET_TAG,
    GET_METRIC_HISTORY,
    LIST_ARTIFACTS,
)
