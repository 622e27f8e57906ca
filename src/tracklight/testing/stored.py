"""What an MLflow database on SQLite holds, read without MLflow and while a server writes it."""

from __future__ import annotations

import contextlib
import sqlite3
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from tracklight.model.run import RunStatus

RUNS = """
SELECT r.run_uuid, r.name, r.status, r.lifecycle_stage, r.artifact_uri, r.start_time, r.end_time, e.name
FROM runs r JOIN experiments e ON e.experiment_id = r.experiment_id
ORDER BY r.start_time, r.run_uuid
"""
POINTS = "SELECT run_uuid, key, step, timestamp, value, is_nan FROM metrics ORDER BY key, step, timestamp"
PARAMS = "SELECT run_uuid, key, value FROM params"
TAGS = "SELECT run_uuid, key, value FROM tags"


@dataclass(frozen=True, slots=True)
class StoredPoint:
    """One row of MLflow's metrics; NaN is kept as NaN."""

    key: str
    step: int
    timestamp_ms: int
    value: float


@dataclass(frozen=True, slots=True)
class StoredRun:
    """A run's rows."""

    run_id: str
    name: str
    run_status: RunStatus
    is_deleted: bool
    artifact_folder: Path
    start_time_ms: int
    end_time_ms: int | None
    experiment_name: str
    params: dict[str, str]
    tags: dict[str, str]
    points: tuple[StoredPoint, ...]

    def history(self, key: str) -> list[tuple[int, float]]:
        """Return step and value of every row of one metric, by step."""
        return [(point.step, point.value) for point in self.points if point.key == key]


def read_runs(database: Path, experiment_name: str | None = None) -> list[StoredRun]:
    """Return the runs of an experiment, of all experiments by default, oldest first, deleted ones too.

    Raises:
        sqlite3.OperationalError: there is no such database, or it is not MLflow's.
    """
    with contextlib.closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=30)) as connection:
        connection.execute("BEGIN")
        points: dict[str, list[StoredPoint]] = defaultdict(list)
        for run_id, key, step, timestamp_ms, value, is_nan in connection.execute(POINTS):
            points[run_id].append(StoredPoint(key, step, timestamp_ms, float("nan") if is_nan else value))
        params = _texts(connection, PARAMS)
        tags = _texts(connection, TAGS)
        return [
            StoredRun(
                run_id=run_id,
                name=name,
                run_status=RunStatus(status),
                is_deleted=stage != "active",
                artifact_folder=Path(artifact_uri.removeprefix("file://")),
                start_time_ms=start,
                end_time_ms=end,
                experiment_name=experiment,
                params=params[run_id],
                tags=tags[run_id],
                points=tuple(points[run_id]),
            )
            for run_id, name, status, stage, artifact_uri, start, end, experiment in connection.execute(RUNS)
            if experiment_name in (None, experiment)
        ]


def _texts(connection: sqlite3.Connection, query: str) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = defaultdict(dict)
    for run_id, key, value in connection.execute(query):
        found[run_id][key] = value
    return found
