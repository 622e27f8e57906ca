"""The requests and answers of MLflow's REST API that Tracklight speaks.

Times are milliseconds since 1970, UTC. A field that an answer may leave out has a default.
"""

from __future__ import annotations

import msgspec

from tracklight.model.run import RunInfo, RunStatus


class Message(msgspec.Struct, frozen=True, omit_defaults=True):
    """The settings that all messages share."""


class Tag(Message, frozen=True):
    """A tag of a run or of an experiment."""

    key: str
    value: str = ""


class Param(Message, frozen=True):
    """A parameter of a run."""

    key: str
    value: str = ""


class Metric(Message, frozen=True):
    """One point of one metric."""

    key: str
    value: float
    timestamp_ms: int = msgspec.field(name="timestamp")
    step: int = 0


class Experiment(Message, frozen=True):
    """An experiment as MLflow knows it."""

    experiment_id: str
    name: str
    artifact_location: str = ""
    lifecycle_stage: str = ""
    creation_time_ms: int | None = msgspec.field(name="creation_time", default=None)
    last_update_time_ms: int | None = msgspec.field(name="last_update_time", default=None)
    tags: tuple[Tag, ...] = ()


class RunHeader(Message, frozen=True):
    """MLflow's ``RunInfo``; :meth:`to_info` gives the model's."""

    run_id: str
    experiment_id: str
    run_name: str = ""
    user_id: str = ""
    run_status: RunStatus = msgspec.field(name="status", default=RunStatus.RUNNING)
    start_time_ms: int | None = msgspec.field(name="start_time", default=None)
    end_time_ms: int | None = msgspec.field(name="end_time", default=None)
    artifact_uri: str = ""
    lifecycle_stage: str = ""

    def to_info(self) -> RunInfo:
        return RunInfo(
            run_id=self.run_id,
            experiment_id=self.experiment_id,
            run_name=self.run_name,
            run_status=self.run_status,
            start_time_ms=self.start_time_ms,
            end_time_ms=self.end_time_ms,
            artifact_uri=self.artifact_uri,
            lifecycle_stage=self.lifecycle_stage,
        )


class RunData(Message, frozen=True):
    """What was logged: the latest point of each metric, parameters and tags."""

    metrics: tuple[Metric, ...] = ()
    params: tuple[Param, ...] = ()
    tags: tuple[Tag, ...] = ()


class Run(Message, frozen=True):
    """A run as MLflow knows it."""

    info: RunHeader
    data: RunData = RunData()


class FileInfo(Message, frozen=True):
    """A file or folder among the artifacts of a run."""

    path: str
    is_dir: bool = False
    size_bytes: int | None = msgspec.field(name="file_size", default=None)


class Empty(Message, frozen=True):
    """An answer that says no more than that it was done."""


class GetExperimentByName(Message, frozen=True):
    experiment_name: str


class GetExperiment(Message, frozen=True):
    experiment_id: str


class ExperimentAnswer(Message, frozen=True):
    experiment: Experiment


class CreateExperiment(Message, frozen=True):
    name: str
    artifact_location: str = ""
    tags: tuple[Tag, ...] = ()


class ExperimentIdAnswer(Message, frozen=True):
    experiment_id: str


class SearchExperiments(Message, frozen=True):
    max_results: int
    page_token: str = ""
    filter: str = ""
    order_by: tuple[str, ...] = ()
    view_type: str = "ACTIVE_ONLY"


class ExperimentsAnswer(Message, frozen=True):
    experiments: tuple[Experiment, ...] = ()
    next_page_token: str = ""


class CreateRun(Message, frozen=True):
    experiment_id: str
    start_time_ms: int = msgspec.field(name="start_time")
    run_name: str = ""
    user_id: str = ""
    tags: tuple[Tag, ...] = ()


class GetRun(Message, frozen=True):
    run_id: str


class RunAnswer(Message, frozen=True):
    run: Run


class UpdateRun(Message, frozen=True):
    run_id: str
    run_status: RunStatus | None = msgspec.field(name="status", default=None)
    end_time_ms: int | None = msgspec.field(name="end_time", default=None)
    run_name: str | None = None


class RunInfoAnswer(Message, frozen=True):
    run_info: RunHeader


class SearchRuns(Message, frozen=True):
    experiment_ids: tuple[str, ...]
    filter: str = ""
    run_view_type: str = "ACTIVE_ONLY"
    max_results: int = 1000
    order_by: tuple[str, ...] = ()
    page_token: str = ""


class RunsAnswer(Message, frozen=True):
    runs: tuple[Run, ...] = ()
    next_page_token: str = ""


class LogBatch(Message, frozen=True):
    run_id: str
    metrics: tuple[Metric, ...] = ()
    params: tuple[Param, ...] = ()
    tags: tuple[Tag, ...] = ()


class LogMetric(Message, frozen=True):
    run_id: str
    key: str
    value: float
    timestamp_ms: int = msgspec.field(name="timestamp")
    step: int = 0


class LogParam(Message, frozen=True):
    run_id: str
    key: str
    value: str


class SetTag(Message, frozen=True):
    run_id: str
    key: str
    value: str


class DeleteRun(Message, frozen=True):
    run_id: str


class GetMetricHistory(Message, frozen=True):
    run_id: str
    metric_key: str
    max_results: int | None = None
    page_token: str = ""


class MetricsAnswer(Message, frozen=True):
    metrics: tuple[Metric, ...] = ()
    next_page_token: str = ""


class ListArtifacts(Message, frozen=True):
    run_id: str
    path: str = ""


class FilesAnswer(Message, frozen=True):
    root_uri: str = ""
    files: tuple[FileInfo, ...] = ()


class Failure(Message, frozen=True):
    """The body of every error that MLflow answers with."""

    error_code: str
    message: str = ""
