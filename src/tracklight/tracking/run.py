"""A run: what is logged to it, and how it ends."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Any, Protocol, Self

from tracklight.errors import (
    ArtifactError,
    InvalidKeyError,
    InvalidValueError,
    JournalFullError,
)
from tracklight.events import EventLog
from tracklight.model.record import ArtifactFile, Metrics, Params, Record, RunEnd, RunStart, Tags
from tracklight.model.run import MlflowLimit, RunStatus, TagKey
from tracklight.tracking.redaction import Redaction
from tracklight.tracking.values import (
    allowed_key,
    check_key,
    clean_text,
    flatten,
    flatten_all,
    metric_value,
    step_number,
)

INVALID_VALUE_TAG = "tracklight.invalid."
SHOWN_CHARACTERS = 200


class RunOwner(Protocol):
    """What a run needs of the tracker that started it."""

    events: EventLog
    redaction: Redaction
    append: Callable[[Record], None]

    def enter(self, run: Run) -> Run | None: ...
    def leave(self, outer: Run | None) -> None: ...
    def forget(self, run: Run) -> None: ...
    def spool_file(self, source: Path) -> tuple[str, int]: ...
    def spool_text(self, text: str, suffix: str) -> tuple[str, int]: ...
    def mistake(self, event: str, error: Exception, **fields: Any) -> None: ...
    def dropped(self, points: int, error: JournalFullError, **fields: Any) -> None: ...


class Run:
    """One run. Every ``log_`` method is one append to the journal: no network, nothing raised by an outage.

    ``run_id`` is the tracker's own id, known at once; a server that chooses its own keeps this one in the tag
    ``tracklight.run_key``, and `Tracker.resolve_run_id` gives the server's. Thread-safe.

    As a context manager the run is the current one of its tracker inside the block, and ends with it: FINISHED,
    KILLED where the block is cancelled or interrupted, FAILED where another exception leaves it.

    Mistakes (a metric that is no number, a missing file, a name that MLflow does not take) are warned about,
    counted in `Tracker.health` and kept as far as they can be; with ``strict`` they raise.
    """

    def __init__(self, tracker: RunOwner, start: RunStart) -> None:
        """Runs are made by `Tracker.start_run`."""
        self._tracker = tracker
        self._append = tracker.append
        self._known_keys: set[str] = set()
        self._tells_metrics = tracker.events.shows_debug()
        self._outer: list[Run | None] = []
        self.start = start
        self.run_id = start.run_id
        self.run_status = RunStatus.RUNNING
        self.dropped_metrics = 0
        self.is_inherited = False
        """The run belongs to the process that this one was forked from, and ends there."""

    @property
    def owner(self) -> RunOwner:
        """The tracker that started it."""
        return self._tracker

    @property
    def name(self) -> str:
        return self.start.run_name

    @property
    def experiment_name(self) -> str:
        return self.start.experiment_name

    def log_metric(
        self, key: str, value: Any, step: int | None = None, timestamp_ms: int | None = None
    ) -> None:
        """Log one point of a metric, now and at step 0 unless told.

        When this returns, the point survives a kill of the process. Takes numbers of Python, numpy and torch,
        NaN and infinities too.
        """
        try:
            if key not in self._known_keys:
                key = self._admit_key(key)
            if type(value) is not float:
                value = metric_value(value)
            if type(step) is not int:
                step = step_number(step)
            timestamp_ms = time.time_ns() // 1_000_000 if timestamp_ms is None else int(timestamp_ms)
            self._append(Metrics(self.run_id, timestamp_ms, step, {key: value}))
            if self._tells_metrics:
                self._tell("metric", key=key, value=value, step=step)
        except JournalFullError as error:
            self._dropped(1, error)
        except Exception as error:  # noqa: BLE001 - the outage guard: nothing is raised into the training
            self._failed("metric", error, key=key)
            self._keep_invalid(key, value)

    def log_metrics(
        self, metrics: Mapping[str, Any], step: int | None = None, timestamp_ms: int | None = None
    ) -> None:
        """Log one point of several metrics, with the same step and time."""
        values: dict[str, float] = {}
        try:
            for key, value in metrics.items():
                try:
                    values[self._admit_key(key)] = metric_value(value)
                except InvalidValueError as error:
                    self._failed("metric", error, key=key)
                    self._keep_invalid(key, value)
            timestamp_ms = time.time_ns() // 1_000_000 if timestamp_ms is None else int(timestamp_ms)
            if values:
                self._append(Metrics(self.run_id, timestamp_ms, step_number(step), values))
                if self._tells_metrics:
                    self._tell("metrics", keys=list(values), step=step)
        except JournalFullError as error:
            self._dropped(len(values), error)
        except Exception as error:  # noqa: BLE001 - the outage guard, as in log_metric
            self._failed("metrics", error, keys=list(values))
            self._keep_invalid("metrics", {"step": step, **values})

    def log_param(self, key: str, value: Any) -> None:
        """Log a parameter; a mapping or a dataclass becomes one for each leaf, with names joined by dots.

        A value that is longer than MLflow allows is stored as an artifact, and the parameter says where.
        """
        with self._guard("param", key=key):
            self._log_params(flatten(clean_text(key), value))

    def log_params(self, params: Any) -> None:
        """Log several parameters, a mapping or a dataclass, as `log_param` does."""
        with self._guard("params", params=type(params).__name__):
            self._log_params(flatten_all(params))

    def set_tag(self, key: str, value: Any) -> None:
        """Set a tag; the last value counts."""
        with self._guard("tag", key=key):
            self._set_tags([(key, value)])

    def set_tags(self, tags: Mapping[str, Any]) -> None:
        """Set several tags."""
        with self._guard("tags", tags=type(tags).__name__):
            self._set_tags(tags.items())

    def log_artifact(self, local_path: str | os.PathLike[str], artifact_path: str | None = None) -> None:
        """Log a file, or a folder with all that is in it, under ``artifact_path`` of the run's artifacts.

        The file is kept as it is now, so it may be changed or deleted when this returns, and is uploaded
        later, whole or not at all.
        """
        with self._guard("artifact", path=local_path):
            source = Path(local_path)
            if source.is_dir():
                self._log_folder(source, PurePosixPath(artifact_path or "") / source.name)
                return
            self._spool(source, PurePosixPath(artifact_path or "") / source.name)
            self._tell("artifact", path=str(source), artifact_path=artifact_path)

    def log_artifacts(self, local_dir: str | os.PathLike[str], artifact_path: str | None = None) -> None:
        """Log every file in a folder, with the folders below it, as `log_artifact` does."""
        with self._guard("artifacts", path=local_dir):
            self._log_folder(Path(local_dir), PurePosixPath(artifact_path or ""))

    def log_text(self, text: str, artifact_file: str) -> None:
        """Log a text as an artifact, in UTF-8."""
        with self._guard("artifact", path=artifact_file):
            self._spool_text(clean_text(text), PurePosixPath(artifact_file))
            self._tell("artifact", artifact_path=artifact_file)

    def end(self, run_status: RunStatus | str = RunStatus.FINISHED, end_time_ms: int | None = None) -> None:
        """End the run; it may still be logged to, and ended again with another status.

        Raises:
            ValueError: this is not a status of a run.
        """
        run_status = RunStatus(run_status)
        if self.is_inherited:
            return
        with self._guard("run_end"):
            if self.dropped_metrics:
                self._append(Tags(self.run_id, {TagKey.DROPPED_METRICS: str(self.dropped_metrics)}))
            self._append(RunEnd(self.run_id, run_status, end_time_ms or time.time_ns() // 1_000_000))
            self.run_status = run_status
            self._tracker.forget(self)
            self._tracker.events.info("mlflow_run_ended", run_id=self.run_id, run_status=str(run_status))

    def __enter__(self) -> Self:
        self._outer.append(self._tracker.enter(self))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._tracker.leave(self._outer.pop())
        if self.run_status.is_terminal:
            return
        run_status = status_of(error)
        if error is not None and run_status is not RunStatus.FINISHED:
            self.set_tag(
                TagKey.END_REASON, f"{type(error).__name__}: {clean_text(error)}"[: MlflowLimit.TAG_LENGTH]
            )
        self.end(run_status)

    def _admit_key(self, key: object) -> str:
        text = clean_text(key)
        if text in self._known_keys:
            return text
        self._check_key(text)
        self._known_keys.add(text)
        return text

    def _check_key(self, key: str) -> None:
        """Warn early about a name that the server will refuse; it keeps what it refuses."""
        try:
            check_key(key)
        except InvalidKeyError as error:
            self._failed("key", error, key=key)

    def _log_params(self, params: Iterable[tuple[str, Any]]) -> None:
        values = self._texts(params, "params", MlflowLimit.PARAM_LENGTH)
        if values:
            self._append(Params(self.run_id, values))
            self._tell_each("param", values)

    def _set_tags(self, tags: Iterable[tuple[str, Any]]) -> None:
        values = self._texts(tags, "tags", MlflowLimit.TAG_LENGTH)
        if values:
            self._append(Tags(self.run_id, values))
            self._tell_each("tag", values)

    def _texts(
        self, values: Iterable[tuple[object, Any]], folder: str, most_characters: int
    ) -> dict[str, str]:
        clean = ((clean_text(key), value) for key, value in values)
        return {key: self._text(key, value, folder, most_characters) for key, value in clean}

    def _text(self, key: str, value: Any, folder: str, most_characters: int) -> str:
        self._check_key(key)
        text = self._tracker.redaction.apply(key, clean_text(value))
        if len(text) <= most_characters:
            return text
        path = self._spool_text(text, PurePosixPath(folder) / f"{key.replace(':', '_')}.txt")
        return f"{text[:SHOWN_CHARACTERS]}... [{len(text):,} characters, whole in artifact {path}]"

    def _log_folder(self, folder: Path, artifact_path: PurePosixPath) -> None:
        files = _files_below(folder)
        for path in files:
            self._spool(path, artifact_path / path.relative_to(folder).as_posix())
        self._tell("artifacts", path=str(folder), files=len(files))

    def _spool(self, source: Path, artifact_path: PurePosixPath) -> None:
        path = _artifact_path(artifact_path)
        name, size_bytes = self._tracker.spool_file(source)
        self._append(ArtifactFile(self.run_id, name, clean_text(path), size_bytes))

    def _spool_text(self, text: str, artifact_path: PurePosixPath) -> PurePosixPath:
        path = _artifact_path(artifact_path)
        name, size_bytes = self._tracker.spool_text(text, path.suffix)
        self._append(ArtifactFile(self.run_id, name, clean_text(path), size_bytes))
        return path

    @contextmanager
    def _guard(self, what: str, **fields: Any) -> Iterator[None]:
        """The outage guard: what goes wrong inside is counted and warned about, and raised with ``strict`` only."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 - nothing is raised into the training
            self._failed(what, error, **fields)

    def _tell(self, what: str, **fields: Any) -> None:
        self._tracker.events.debug(f"mlflow_{what}_logged", run_id=self.run_id, **fields)

    def _tell_each(self, what: str, values: Mapping[str, str]) -> None:
        if len(values) == 1:
            ((key, value),) = values.items()
            self._tell(what, key=key, value=value)
        else:
            self._tell(f"{what}s", values=values)

    def _failed(self, what: str, error: Exception, **fields: Any) -> None:
        self._tracker.mistake(f"mlflow_{what}_failed", error, run_id=self.run_id, **fields)

    def _dropped(self, points: int, error: JournalFullError) -> None:
        self.dropped_metrics += points
        self._tracker.dropped(points, error, run_id=self.run_id)

    def _keep_invalid(self, key: object, value: object) -> None:
        """Keep what cannot be a metric where a person will see it: in a tag of the run."""
        try:
            self.set_tag(allowed_key(f"{INVALID_VALUE_TAG}{key}"), clean_text(repr(value))[:SHOWN_CHARACTERS])
        except Exception:  # noqa: BLE001 - the outage guard: not even its text can be had
            return


def status_of(error: BaseException | None) -> RunStatus:
    """Return how a run ends whose block was left by this exception."""
    match error:
        case None:
            return RunStatus.FINISHED
        case KeyboardInterrupt() | asyncio.CancelledError():
            return RunStatus.KILLED
        case SystemExit(code=code) if code in (None, 0):
            return RunStatus.FINISHED
        case _:
            return RunStatus.FAILED


def _files_below(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise ArtifactError(f"{folder} is not a folder: name one, or log a file with log_artifact.")
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _artifact_path(path: PurePosixPath) -> PurePosixPath:
    if path.is_absolute() or ".." in path.parts or not path.parts:
        raise InvalidValueError(
            f"The artifact path {str(path)!r} is absolute or has '..': name one below the run."
        )
    return path
