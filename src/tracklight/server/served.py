"""The answer to each endpoint of the table, by MLflow's own store and in MLflow's own messages.

This module imports MLflow, which takes seconds: `tracklight.server.app` imports it with the first request.
"""

from __future__ import annotations

import urllib.parse
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from google.protobuf.message import Message
from mlflow.entities import ExperimentTag, Metric, Param, RunTag, ViewType
from mlflow.exceptions import MlflowException
from mlflow.protos import service_pb2 as pb
from mlflow.protos.databricks_pb2 import NOT_IMPLEMENTED, RESOURCE_DOES_NOT_EXIST
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from mlflow.store.artifact.host_policy import (
    host_addressed_rejection_message,
    rejected_host_addressed_scheme,
    validate_artifact_uri_host,
)
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
from mlflow.utils.uri import validate_path_is_safe, validate_query_string
from mlflow.utils.validation import (
    _validate_experiment_artifact_location,
    _validate_experiment_artifact_location_length,
)

from tracklight.server.reading import (
    Schema,
    array,
    at_most,
    each_has,
    integer,
    number,
    required,
    string,
    strings,
)


@dataclass(frozen=True, slots=True)
class ServedEndpoint:
    """How one endpoint is read and answered."""

    request_type: type[Message]
    schema: Schema
    answer: Callable[[SqlAlchemyStore, Any], Message]


def create_experiment(store: SqlAlchemyStore, request: pb.CreateExperiment) -> Message:
    if request.artifact_location:
        _check_artifact_location(request.artifact_location)
    tags = [ExperimentTag(tag.key, tag.value) for tag in request.tags]
    experiment_id = store.create_experiment(request.name, request.artifact_location, tags)
    return pb.CreateExperiment.Response(experiment_id=experiment_id)


def get_experiment(store: SqlAlchemyStore, request: pb.GetExperiment) -> Message:
    return pb.GetExperiment.Response(experiment=store.get_experiment(request.experiment_id).to_proto())


def get_experiment_by_name(store: SqlAlchemyStore, request: pb.GetExperimentByName) -> Message:
    experiment = store.get_experiment_by_name(request.experiment_name)
    if experiment is None:
        raise MlflowException(
            f"Could not find experiment with name '{request.experiment_name}'",
            error_code=RESOURCE_DOES_NOT_EXIST,
        )
    return pb.GetExperimentByName.Response(experiment=experiment.to_proto())


def search_experiments(store: SqlAlchemyStore, request: pb.SearchExperiments) -> Message:
    found = store.search_experiments(
        view_type=request.view_type,
        max_results=request.max_results,
        order_by=request.order_by,
        filter_string=request.filter,
        page_token=request.page_token or None,
    )
    return pb.SearchExperiments.Response(
        experiments=[experiment.to_proto() for experiment in found], next_page_token=found.token or None
    )


def create_run(store: SqlAlchemyStore, request: pb.CreateRun) -> Message:
    run = store.create_run(
        experiment_id=request.experiment_id,
        user_id=request.user_id,
        start_time=request.start_time,
        tags=[RunTag(tag.key, tag.value) for tag in request.tags],
        run_name=request.run_name,
    )
    return pb.CreateRun.Response(run=run.to_proto())


def get_run(store: SqlAlchemyStore, request: pb.GetRun) -> Message:
    return pb.GetRun.Response(run=store.get_run(request.run_id or request.run_uuid).to_proto())


def update_run(store: SqlAlchemyStore, request: pb.UpdateRun) -> Message:
    info = store.update_run_info(
        request.run_id or request.run_uuid,
        request.status if request.HasField("status") else None,
        request.end_time if request.HasField("end_time") else None,
        request.run_name if request.HasField("run_name") else None,
    )
    return pb.UpdateRun.Response(run_info=info.to_proto())


def delete_run(store: SqlAlchemyStore, request: pb.DeleteRun) -> Message:
    store.delete_run(request.run_id)
    return pb.DeleteRun.Response()


def search_runs(store: SqlAlchemyStore, request: pb.SearchRuns) -> Message:
    view_type = ViewType.ACTIVE_ONLY
    if request.HasField("run_view_type"):
        view_type = ViewType.from_proto(request.run_view_type)
    found = store.search_runs(
        experiment_ids=list(request.experiment_ids),
        filter_string=request.filter,
        run_view_type=view_type,
        max_results=request.max_results,
        order_by=request.order_by,
        page_token=request.page_token or None,
    )
    return pb.SearchRuns.Response(runs=[run.to_proto() for run in found], next_page_token=found.token or None)


def log_batch(store: SqlAlchemyStore, request: pb.LogBatch) -> Message:
    store.log_batch(
        run_id=request.run_id,
        metrics=[Metric.from_proto(metric) for metric in request.metrics],
        params=[Param.from_proto(param) for param in request.params],
        tags=[RunTag.from_proto(tag) for tag in request.tags],
    )
    return pb.LogBatch.Response()


def log_metric(store: SqlAlchemyStore, request: pb.LogMetric) -> Message:
    metric = Metric(
        request.key,
        request.value,
        request.timestamp,
        request.step,
        request.model_id or None,
        request.dataset_name or None,
        request.dataset_digest or None,
        request.run_id or None,
    )
    store.log_metric(request.run_id or request.run_uuid, metric)
    return pb.LogMetric.Response()


def log_param(store: SqlAlchemyStore, request: pb.LogParam) -> Message:
    store.log_param(request.run_id or request.run_uuid, Param(request.key, request.value))
    return pb.LogParam.Response()


def set_tag(store: SqlAlchemyStore, request: pb.SetTag) -> Message:
    store.set_tag(request.run_id or request.run_uuid, RunTag(request.key, request.value))
    return pb.SetTag.Response()


def get_metric_history(store: SqlAlchemyStore, request: pb.GetMetricHistory) -> Message:
    max_results = request.max_results if request.HasField("max_results") else None
    if max_results is not None and max_results <= 0:
        raise MlflowException.invalid_parameter_value(
            f"Invalid value {max_results} for parameter 'max_results' supplied. It must be a positive integer."
        )
    history = store.get_metric_history(
        request.run_id or request.run_uuid,
        request.metric_key,
        max_results=max_results,
        page_token=request.page_token or None,
    )
    return pb.GetMetricHistory.Response(
        metrics=[metric.to_proto() for metric in history], next_page_token=history.token or None
    )


def list_artifacts(store: SqlAlchemyStore, request: pb.ListArtifacts) -> Message:
    path = validate_path_is_safe(request.path) if request.HasField("path") else None
    root_uri = store.get_run(request.run_id or request.run_uuid).info.artifact_uri
    if urllib.parse.urlsplit(root_uri).scheme in ("http", "https", "mlflow-artifacts"):
        raise MlflowException(
            f"The artifacts under {root_uri} are behind an artifact server; ask that server for them.",
            error_code=NOT_IMPLEMENTED,
        )
    validate_artifact_uri_host(root_uri)
    files = get_artifact_repository(root_uri).list_artifacts(path)
    return pb.ListArtifacts.Response(files=[file.to_proto() for file in files], root_uri=root_uri)


def _check_artifact_location(location: str) -> None:
    parts = urllib.parse.urlparse(location)
    if parts.fragment or parts.params:
        raise MlflowException.invalid_parameter_value(
            "'artifact_location' URL can't include fragments or params."
        )
    validate_query_string(parts.query)
    scheme = rejected_host_addressed_scheme(location)
    if scheme is not None:
        raise MlflowException.invalid_parameter_value(
            host_addressed_rejection_message(scheme, field_name="artifact_location")
        )
    _validate_experiment_artifact_location(location)
    _validate_experiment_artifact_location_length(location)


RUN_ID = {"run_id": (required, string)}
KEY_VALUE = {**RUN_ID, "key": (required, string), "value": (string,)}

SERVED: dict[str, ServedEndpoint] = {
    "create_experiment": ServedEndpoint(
        pb.CreateExperiment,
        {"name": (required, string), "artifact_location": (string,), "tags": (array,)},
        create_experiment,
    ),
    "get_experiment": ServedEndpoint(pb.GetExperiment, {"experiment_id": (required, string)}, get_experiment),
    "get_experiment_by_name": ServedEndpoint(
        pb.GetExperimentByName, {"experiment_name": (required, string)}, get_experiment_by_name
    ),
    "search_experiments": ServedEndpoint(
        pb.SearchExperiments,
        {
            "view_type": (integer,),
            "max_results": (integer,),
            "order_by": (array,),
            "filter": (string,),
            "page_token": (string,),
        },
        search_experiments,
    ),
    "create_run": ServedEndpoint(
        pb.CreateRun,
        {"experiment_id": (string,), "start_time": (integer,), "run_name": (string,)},
        create_run,
    ),
    "get_run": ServedEndpoint(pb.GetRun, RUN_ID, get_run),
    "update_run": ServedEndpoint(
        pb.UpdateRun,
        {**RUN_ID, "end_time": (integer,), "status": (string,), "run_name": (string,)},
        update_run,
    ),
    "delete_run": ServedEndpoint(pb.DeleteRun, RUN_ID, delete_run),
    "search_runs": ServedEndpoint(
        pb.SearchRuns,
        {
            "experiment_ids": (array,),
            "filter": (string,),
            "max_results": (integer, at_most(50_000)),
            "order_by": (array, strings),
        },
        search_runs,
    ),
    "log_batch": ServedEndpoint(
        pb.LogBatch,
        {
            "run_id": (string, required),
            "metrics": (array, each_has("metrics", "key", "value", "timestamp")),
            "params": (array, each_has("params", "key")),
            "tags": (array, each_has("tags", "key")),
        },
        log_batch,
    ),
    "log_metric": ServedEndpoint(
        pb.LogMetric,
        {
            **RUN_ID,
            "key": (required, string),
            "value": (required, number),
            "timestamp": (integer, required),
            "step": (integer,),
        },
        log_metric,
    ),
    "log_param": ServedEndpoint(pb.LogParam, KEY_VALUE, log_param),
    "set_tag": ServedEndpoint(pb.SetTag, KEY_VALUE, set_tag),
    "get_metric_history": ServedEndpoint(
        pb.GetMetricHistory,
        {"run_id": (string, required), "metric_key": (string, required), "page_token": (string,)},
        get_metric_history,
    ),
    "list_artifacts": ServedEndpoint(
        pb.ListArtifacts,
        {"run_id": (string, required), "path": (string,), "page_token": (string,)},
        list_artifacts,
    ),
}
