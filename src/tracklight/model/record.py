"""What a journal holds: one typed record for each call of the tracker."""

from __future__ import annotations

import msgspec

from tracklight.model.run import RunStatus


class Metrics(msgspec.Struct, frozen=True, array_like=True, tag="m"):
    """Metric points of one run at one time and step."""

    run_id: str
    timestamp_ms: int
    step: int
    values: dict[str, float]


class Params(msgspec.Struct, frozen=True, array_like=True, tag="p"):
    """Parameters of one run."""

    run_id: str
    values: dict[str, str]


class Tags(msgspec.Struct, frozen=True, array_like=True, tag="t"):
    """Tags of one run."""

    run_id: str
    values: dict[str, str]


class RunStart(msgspec.Struct, frozen=True, array_like=True, tag="s"):
    """A run begins, or goes on (``resumes``), in this journal.

    ``run_id`` is the tracker's own id. A run that resumes is looked up on the server, by this id or by the
    tag that holds it, and only created when nothing else is about to create it: ``creator`` names the
    journal, if any, that is. ``parent_creator`` is the same of the parent, where that is not this journal.
    """

    run_id: str
    experiment_name: str
    run_name: str
    user: str
    start_time_ms: int
    tags: dict[str, str]
    parent_run_id: str | None = None
    resumes: bool = False
    creator: str | None = None
    parent_creator: str | None = None


class RunEnd(msgspec.Struct, frozen=True, array_like=True, tag="e"):
    """A run reaches a terminal status, or is set back to RUNNING."""

    run_id: str
    run_status: RunStatus
    end_time_ms: int


class ArtifactFile(msgspec.Struct, frozen=True, array_like=True, tag="a"):
    """A file in the journal's spool that belongs under ``artifact_path`` of the run's artifacts."""

    run_id: str
    spool_name: str
    artifact_path: str
    size_bytes: int


Record = Metrics | Params | Tags | RunStart | RunEnd | ArtifactFile
