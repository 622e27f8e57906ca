"""A tracker: one experiment, one journal, the runs of one process."""

from __future__ import annotations

import os
import socket
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from contextvars import ContextVar
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tracklight.client.calls import Client
from tracklight.errors import ArtifactError, JournalFullError, TracklightError
from tracklight.events import EventLog
from tracklight.journal.folder import JournalInfo
from tracklight.journal.journal import JournalLimits
from tracklight.journal.outbox import Outbox
from tracklight.journal.sender import find_run
from tracklight.journal.spool import spool_file, spool_text
from tracklight.model.record import Record, RunStart
from tracklight.model.run import RunStatus
from tracklight.settings import Settings
from tracklight.tracking import process_end
from tracklight.tracking.destinations import Destinations
from tracklight.tracking.health import Health
from tracklight.tracking.provenance import source_tags, user_name
from tracklight.tracking.redaction import Redaction
from tracklight.tracking.run import Run
from tracklight.tracking.system_metrics import SystemMetrics
from tracklight.tracking.values import clean_text


class Tracker:
    """Starts runs of one experiment and brings what they log to a server, in the background.

    Two trackers share nothing. The constructor does no network I/O; the journal's folder is made when the
    first run starts. Thread-safe.
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
            ConfigurationError: a setting or the project's file cannot be used.
        """
        self.settings = settings or Settings.load(tracking_uri=tracking_uri, strict=strict)
        self.experiment_name = clean_text(experiment_name)
        self.events = EventLog("tracklight.tracking")
        self.redaction = Redaction(self.settings.redact_keys, is_on=self.settings.redact)
        self.mistakes = 0
        self._dropped = 0
        self._destinations = Destinations(
            self.settings, (self.settings.tracking_uri, *self.settings.mirror_uris)
        )
        self._current: ContextVar[Run | None] = ContextVar(f"tracklight-run-{id(self):x}", default=None)
        self._open: dict[str, Run] = {}
        self._system_metrics: SystemMetrics | None = None
        self._client: Client | None = None
        self._outbox = Outbox(
            self.settings.journals,
            self._journal_info,
            self._destinations.open_client,
            JournalLimits(
                self.settings.segment_bytes,
                self.settings.journal_bytes,
                self.settings.fsync,
                self.settings.fsync_interval_seconds,
            ),
            preamble=self._inherited_starts,
            is_idle=lambda: not self._open,
        )
        self.append: Callable[[Record], None] = self._outbox.append
        """Write a record to the journal; see `Journal.append`."""

    @property
    def tracking_uri(self) -> str:
        """The address of the first destination, without credentials."""
        return self._destinations.names[0]

    @property
    def client(self) -> Client:
        """A client of the first destination, for reading.

        Raises:
            ConfigurationError: the address cannot be used.
        """
        if self._client is None:
            self._client = self._destinations.open_client(self.tracking_uri)
        return self._client

    @property
    def journal_path(self) -> Path | None:
        """The folder of this process's journal; None before the first run."""
        folder = self._outbox.journal.folder
        return folder.path if folder else None

    def start_run(
        self,
        run_name: str | None = None,
        tags: Mapping[str, Any] | None = None,
        *,
        parent: Run | str | None = None,
        run_id: str | None = None,
    ) -> Run:
        """Start a run, or go on with the one that has ``run_id``; returns at once, whatever the server does.

        ``run_id`` is the server's id or the tracker's; where no such run exists, one is made that has it as
        its key, so that a retried job that always gives the same id always logs to the same run.
        """
        parent_id = parent.run_id if isinstance(parent, Run) else parent
        start = RunStart(
            run_id=run_id or uuid.uuid4().hex,
            experiment_name=self.experiment_name,
            run_name="" if run_name is None else clean_text(run_name),
            user=user_name(),
            start_time_ms=time.time_ns() // 1_000_000,
            tags=source_tags(),
            parent_run_id=parent_id,
            resumes=run_id is not None,
            parent_creator=self._creator_elsewhere(parent) if isinstance(parent, Run) else None,
        )
        run = Run(self, start)
        process_end.watch(self)
        self._open[run.run_id] = run
        try:
            self.append(start)
        except (TracklightError, OSError) as error:
            self.mistake("mlflow_run_start_failed", error, run_id=run.run_id)
        self.events.info(
            "mlflow_run_started", run_id=run.run_id, run_name=run.name, experiment=self.experiment_name
        )
        if tags:
            run.set_tags(tags)
        if self.settings.system_metrics:
            self._watch_system()
        return run

    def current_run(self) -> Run | None:
        """Return the run whose block this thread or task is in, else the only one that is open."""
        run = self._current.get()
        if run is None:
            runs = self.open_runs()
            run = runs[0] if len(runs) == 1 else None
        return run

    def enclosing_run(self) -> Run | None:
        """Return the run whose block this thread or task is in."""
        return self._current.get()

    def open_runs(self) -> list[Run]:
        """Return the runs that were started and have not ended."""
        return list(self._open.values())

    def resolve_run_id(self, run_id: str) -> str:
        """Return the server's id of a run, given that or the tracker's. Asks the server.

        Raises:
            RunNotFoundError: the server does not know the run (yet: see `flush`).
            ServerError: the server does not answer.
        """
        return find_run(self.client, run_id, self.experiment_name).run_id

    def flush(self, timeout_seconds: float = 60.0) -> bool:
        """Wait until the servers have taken, or refused, all that was logged so far; return whether they have."""
        return self._outbox.flush(timeout_seconds)

    def close(self, timeout_seconds: float | None = None) -> bool:
        """End the runs that are open, deliver what is left and stop; return whether nothing is left.

        The end of the program calls it, so nobody needs to. What could not be delivered in time stays in the
        journal: the next tracker in this project sends it, or ``tracklight sync``.
        """
        if self._system_metrics is not None:
            self._system_metrics.stop()
        self.end_open_runs(RunStatus.FINISHED)
        limit = self.settings.exit_limit_seconds if timeout_seconds is None else timeout_seconds
        is_delivered = self._outbox.close(limit)
        if self._client is not None:
            self._client.close()
        return is_delivered

    def health(self) -> Health:
        """Tell what was accepted, delivered, refused and dropped, and what waits."""
        return Health(**asdict(self._outbox.totals()), dropped=self._dropped, mistakes=self.mistakes)

    def enter(self, run: Run) -> Run | None:
        """Make a run the current one of this context; return the one before."""
        outer = self._current.get()
        self._current.set(run)
        return outer

    def leave(self, outer: Run | None) -> None:
        """Make the outer run the current one again."""
        self._current.set(outer)

    def forget(self, run: Run) -> None:
        """A run has ended."""
        self._open.pop(run.run_id, None)

    def end_open_runs(self, run_status: RunStatus) -> None:
        """End every run that is open and that this process began."""
        for run in self.open_runs():
            run.end(run_status)

    def restart_after_fork(self) -> None:
        """In a fork's child: go on in a journal of its own; the runs that are open end in the parent."""
        for run in self._open.values():
            run.is_inherited = True
        self._outbox.restart_after_fork()
        self._client = None
        self._system_metrics = None

    def spool_file(self, source: Path) -> tuple[str, int]:
        """Keep a file until it is uploaded; see `journal.spool.spool_file`."""
        return spool_file(source, self._spool_folder(), self.settings.spool)

    def spool_text(self, text: str, suffix: str) -> tuple[str, int]:
        """Keep a text until it is uploaded; see `journal.spool.spool_text`."""
        return spool_text(text, self._spool_folder(), suffix)

    def mistake(self, event: str, error: Exception, **fields: Any) -> None:
        """Count and warn; with ``strict`` raise. An outage never comes here: the journal takes it."""
        self.mistakes += 1
        if self.settings.strict:
            raise error
        shown = {name: clean_text(value) for name, value in fields.items()}
        self.events.warning_each_minute(event, error=f"{type(error).__name__}: {clean_text(error)}", **shown)

    def dropped(self, points: int, error: JournalFullError, **fields: Any) -> None:
        """Count metric points that the journal had no room for; with ``strict`` raise."""
        self._dropped += points
        if self.settings.strict:
            raise error
        self.events.warning_each_minute("mlflow_metric_failed", error=str(error), **fields)

    def _creator_elsewhere(self, parent: Run) -> str | None:
        """Return the journal that creates a run of another tracker where the runs of this one go."""
        other = parent.owner
        if not isinstance(other, Tracker) or other is self or other.journal_path is None:
            return None
        is_beside = (other.tracking_uri, other.experiment_name) == (self.tracking_uri, self.experiment_name)
        return other.journal_path.name if is_beside else None

    def _spool_folder(self) -> Path:
        folder = self._outbox.journal.folder
        if folder is None:
            reason = self._outbox.journal.disk_error or "no run was started"
            raise ArtifactError(f"There is no journal to keep the file in ({reason}), so it is not logged.")
        return folder.spool

    def _journal_info(self, parent: str | None) -> JournalInfo:
        return JournalInfo(
            destinations=self._destinations.names,
            experiment_name=self.experiment_name,
            host=socket.gethostname(),
            pid=os.getpid(),
            created_ms=time.time_ns() // 1_000_000,
            parent=parent,
        )

    def _inherited_starts(self, parent: str | None) -> Iterable[Record]:
        for run in self.open_runs():
            if run.is_inherited:
                yield RunStart(
                    run_id=run.run_id,
                    experiment_name=run.start.experiment_name,
                    run_name=run.start.run_name,
                    user=run.start.user,
                    start_time_ms=run.start.start_time_ms,
                    tags={},
                    parent_run_id=run.start.parent_run_id,
                    creator=parent,
                )

    def _watch_system(self) -> None:
        if self._system_metrics is None:
            self._system_metrics = SystemMetrics(
                self.open_runs, self.settings.system_metrics_interval_seconds
            )
