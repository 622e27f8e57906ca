"""A run as a server knows it."""

from __future__ import annotations

from enum import StrEnum

import msgspec


class RunStatus(StrEnum):
    """MLflow's run states. ``COMPLETED``, as pipelines spell it, is FINISHED."""

    SCHEDULED = "SCHEDULED"
    RUNNING = "RUNNING"
    FINISHED = "FINISHED"
    FAILED = "FAILED"
    KILLED = "KILLED"

    @classmethod
    def _missing_(cls, value: object) -> RunStatus | None:
        return cls.FINISHED if value == "COMPLETED" else None

    @property
    def is_terminal(self) -> bool:
        return self not in (RunStatus.SCHEDULED, RunStatus.RUNNING)


class TagKey(StrEnum):
    """Tags that Tracklight writes or reads."""

    RUN_KEY = "tracklight.run_key"
    """The id a run was given by the tracker, before any server answered."""
    WRITER = "tracklight.writer"
    """The journal that writes the run at the moment."""
    END_REASON = "tracklight.end_reason"
    DROPPED_METRICS = "tracklight.dropped_metrics"
    PARENT_RUN = "mlflow.parentRunId"
    USER = "mlflow.user"
    SOURCE_NAME = "mlflow.source.name"
    SOURCE_TYPE = "mlflow.source.type"
    GIT_COMMIT = "mlflow.source.git.commit"


class MlflowLimit:
    """What one MLflow request and one value may hold (mlflow.utils.validation)."""

    METRICS_PER_BATCH = 1000
    PARAMS_PER_BATCH = 100
    TAGS_PER_BATCH = 100
    ENTITIES_PER_BATCH = 1000
    BATCH_BYTES = 1_000_000
    KEY_LENGTH = 250
    PARAM_LENGTH = 6000
    TAG_LENGTH = 8000


class RunInfo(msgspec.Struct, frozen=True, kw_only=True):
    """The identity of a run on one server."""

    run_id: str
    experiment_id: str
    run_name: str
    run_status: RunStatus
    start_time_ms: int | None
    end_time_ms: int | None
    artifact_uri: str
    lifecycle_stage: str
