"""`MLflowTracker`: the tracker with the API that pipelines were written for."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import date, datetime
from functools import partial
from typing import Any

from tracklight.errors import ConfigurationError, NoActiveRunError, TracklightError
from tracklight.model.record import RunStart
from tracklight.settings import Settings
from tracklight.tracking.health import Health
from tracklight.tracking.run import Run
from tracklight.tracking.tracker import Tracker
from tracklight.tracking.values import clean_text


class MLflowTracker:
    """Logs to the run that is current: the one whose ``with tracker.start_run(...)`` block this code is in.

    Never raises into the pipeline and never waits for a server: an outage is bridged by the journal, a mistake
    is warned about, counted in `health` and kept; ``strict=True`` raises mistakes instead. The current run is
    right across asyncio tasks, threads that were handed the context, and, while one run is open, all threads.
    """

    def __init__(
        self,
        experiment_name: str,
        tracking_uri: str | None = None,
        *,
        strict: bool | None = None,
        settings: Settings | None = None,
    ) -> None:
        """Take the address from the argument, ``MLFLOW_TRACKING_URI``, the project's file, or the embedded store.

        Raises:
            ConfigurationError: with ``strict``, a setting cannot be used; without, it is warned about and the
                defaults are taken.
        """
        try:
            self.tracker = Tracker(experiment_name, tracking_uri, strict=strict, settings=settings)
        except ConfigurationError as error:
            if strict:
                raise
            self.tracker = Tracker(experiment_name, settings=Settings.fallback(tracking_uri))
            self.tracker.mistake("mlflow_configuration_failed", error)
        self._nowhere = Run(self.tracker, RunStart("", experiment_name, "", "", 0, {}))

    def __reduce__(self) -> tuple[partial[MLflowTracker], tuple[str]]:
        """Pickle as experiment and settings: the copy has a journal of its own and no open run."""
        return partial(MLflowTracker, settings=self.tracker.settings), (self.experiment_name,)

    @property
    def experiment_name(self) -> str:
        return self.tracker.experiment_name

    @property
    def tracking_uri(self) -> str:
        """Where the runs go, without credentials."""
        return self.tracker.tracking_uri

    def start_run(
        self,
        run_name: str | None = None,
        tags: Mapping[str, Any] | None = None,
        nested: bool = False,
        *,
        run_id: str | None = None,
    ) -> Run:
        """Start a run, to be used as a context manager; the block's run is the current one.

        An exception in the block marks the run FAILED and goes on; cancellation, Ctrl-C and SIGTERM mark it
        KILLED. With ``nested`` it is a child of the enclosing block's run. ``run_id`` goes on with a run that exists.
        """
        enclosing = self.tracker.enclosing_run()
        if enclosing is not None and not nested and run_id is None:
            error = TracklightError(
                f"Run {enclosing.run_id} is open, and another was started that is not nested: they are logged side "
                "by side. Pass nested=True, or end the first."
            )
            self.tracker.mistake("mlflow_run_start_failed", error)
        parent = enclosing if nested else None
        return self.tracker.start_run(run_name, tags, parent=parent, run_id=run_id)

    def log_param(self, key: str, value: Any) -> None:
        """Log a parameter of the current run; see `Run.log_param`."""
        self._run().log_param(key, value)

    def log_params(self, params: Any) -> None:
        """Log parameters of the current run, a mapping or a dataclass; see `Run.log_params`."""
        self._run().log_params(params)

    def log_metric(self, key: str, value: Any, step: int | None = None) -> None:
        """Log one point of a metric of the current run; see `Run.log_metric`."""
        self._run().log_metric(key, value, step)

    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Log one point of several metrics of the current run; see `Run.log_metrics`."""
        self._run().log_metrics(metrics, step)

    def log_artifact(self, local_path: str | os.PathLike[str], artifact_path: str | None = None) -> None:
        """Log a file of the current run; see `Run.log_artifact`."""
        self._run().log_artifact(local_path, artifact_path)

    def log_artifacts(self, local_dir: str | os.PathLike[str], artifact_path: str | None = None) -> None:
        """Log a folder of the current run; see `Run.log_artifacts`."""
        self._run().log_artifacts(local_dir, artifact_path)

    def set_tag(self, key: str, value: Any) -> None:
        """Set a tag of the current run; see `Run.set_tag`."""
        self._run().set_tag(key, value)

    def set_tags(self, tags: Mapping[str, Any]) -> None:
        """Set tags of the current run; see `Run.set_tags`."""
        self._run().set_tags(tags)

    def log_execution_metadata(
        self,
        trade_date: date | str | None = None,
        row_count: int | None = None,
        duration_seconds: float | None = None,
        partition_info: Mapping[str, Any] | None = None,
    ) -> None:
        """Log what every pipeline execution has; what is None is not logged, 0 is.

        Parameters ``trade_date`` (ISO date) and ``partition_<key>``; metrics ``row_count`` and ``duration_seconds``.
        """
        partition = {} if partition_info is None else partition_info
        if not isinstance(partition, Mapping):
            partition = {"info": partition}
        params = {f"partition_{key}": value for key, value in partition.items()}
        if trade_date is not None:
            params["trade_date"] = _iso_date(trade_date)
        metrics = {"row_count": row_count, "duration_seconds": duration_seconds}
        run = self._run()
        run.log_params(params)
        run.log_metrics({key: value for key, value in metrics.items() if value is not None})

    def resolve_run_id(self, run_id: str) -> str:
        """Return the server's id of a run; see `Tracker.resolve_run_id`."""
        return self.tracker.resolve_run_id(run_id)

    def flush(self, timeout_seconds: float = 60.0) -> bool:
        """Wait until all that was logged is delivered; see `Tracker.flush`."""
        return self.tracker.flush(timeout_seconds)

    def close(self, timeout_seconds: float | None = None) -> bool:
        """Deliver what is left and stop; see `Tracker.close`."""
        return self.tracker.close(timeout_seconds)

    def health(self) -> Health:
        """Tell how the delivery is doing."""
        return self.tracker.health()

    def _run(self) -> Run:
        run = self.tracker.current_run()
        if run is not None:
            return run
        error = NoActiveRunError(
            "Nothing says which run this belongs to: log inside a `with tracker.start_run(...)` block. It is kept "
            "among the refused records of the journal."
        )
        self.tracker.mistake("mlflow_log_failed", error)
        return self._nowhere


def _iso_date(value: date | str) -> str:
    day = value.date() if isinstance(value, datetime) else value
    return day.isoformat() if isinstance(day, date) else clean_text(day)
