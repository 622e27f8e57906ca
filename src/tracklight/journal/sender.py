"""What each kind of record is on a server: the requests that one item, or one batch of items, becomes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tracklight.client.artifacts import upload
from tracklight.client.calls import Client
from tracklight.errors import ArtifactError, RequestRefusedError, RunNotFoundError, ServerUnreachableError
from tracklight.journal.batch import Item, batch_request
from tracklight.journal.cursor import RunLink
from tracklight.model.record import ArtifactFile, RunEnd, RunStart
from tracklight.model.run import RunStatus, TagKey
from tracklight.wire import endpoints as api
from tracklight.wire import messages as m

DISK_REFUSALS = (FileNotFoundError, FileExistsError, IsADirectoryError, NotADirectoryError)


@dataclass(frozen=True, slots=True)
class Sent:
    """What became of items: all were taken but those in ``refused``."""

    link: RunLink | None
    refused: list[tuple[Item, str]] = field(default_factory=list)


class CreatorNotDoneError(ServerUnreachableError):
    """Another process is about to create this run: wait for it."""


class Sender:
    """Sends items to one destination. Thread-safe, for different runs at the same time."""

    def __init__(self, client: Client, journal: str, spool: Path, is_alive: Callable[[str], bool]) -> None:
        """``is_alive`` tells whether a journal, by name, still has records to deliver."""
        self._client = client
        self._journal = journal
        self._spool = spool
        self._is_alive = is_alive
        self._experiments: dict[str, str] = {}

    def start(self, start: RunStart, parent: RunLink | None, *, may_exist: bool) -> Sent:
        """Create the run, or find it where an earlier request may have created it.

        Raises:
            ServerError: as `Client.call`.
        """
        experiment_id = self._experiment_id(start.experiment_name)
        must_look = may_exist or start.resumes or start.creator is not None
        run = self._find(start, experiment_id) if must_look else None
        if run is not None:
            return self._go_on(start, run)
        if start.creator is not None and self._is_alive(start.creator):
            raise CreatorNotDoneError(
                f"Run {start.run_id} is created by journal {start.creator}: waiting for it."
            )
        tags = {**start.tags, TagKey.RUN_KEY: start.run_id, TagKey.WRITER: self._journal}
        tags.update(self._parent_tag(start, parent, experiment_id))
        request = m.CreateRun(
            experiment_id=experiment_id,
            start_time_ms=start.start_time_ms,
            run_name=start.run_name,
            user_id=start.user,
            tags=_tags(tags),
        )
        return Sent(_link(self._client.call(api.CREATE_RUN, request).run))

    def log(self, items: Sequence[Item], link: RunLink) -> Sent:
        """Send metrics, parameters and tags; what is refused is found by halving the batch.

        Raises:
            ServerError: as `Client.call`, but for a refusal.
        """
        try:
            self._client.call(api.LOG_BATCH, batch_request(link.run_id, items))
        except RequestRefusedError as error:
            if len(items) == 1:
                return Sent(link, [(items[0], str(error))])
            half = len(items) // 2
            first = self.log(items[:half], link)
            second = self.log(items[half:], link)
            return Sent(link, first.refused + second.refused)
        return Sent(link)

    def upload(self, item: Item, file: ArtifactFile, link: RunLink) -> Sent:
        """Upload a spooled file, whole or not at all.

        Raises:
            ServerError: as `Client.call`, but for a refusal.
            ArtifactError: our own disk did not give the file, and may yet.
        """
        try:
            upload(self._client, link.artifact_uri, file.artifact_path, self._spool / file.spool_name)
        except (ArtifactError, RequestRefusedError) as error:
            cause = error.__cause__
            if isinstance(cause, OSError) and not isinstance(cause, DISK_REFUSALS):
                raise
            return Sent(link, [(item, str(error))])
        return Sent(link)

    def end(self, end: RunEnd, link: RunLink) -> Sent:
        """Set the run's status and, where it is terminal, its end.

        Raises:
            ServerError: as `Client.call`.
        """
        ended_ms = end.end_time_ms if end.run_status.is_terminal else None
        request = m.UpdateRun(run_id=link.run_id, run_status=end.run_status, end_time_ms=ended_ms)
        self._client.call(api.UPDATE_RUN, request)
        return Sent(link)

    def touch(self, link: RunLink) -> None:
        """Write something that changes nothing: it shows whether the server takes writes to this run.

        Raises:
            ServerError: as `Client.call`.
        """
        self._client.call(api.SET_TAG, m.SetTag(run_id=link.run_id, key=TagKey.WRITER, value=self._journal))

    def delete_twins(self, run_key: str, link: RunLink) -> None:
        """Delete runs that a request created whose reply was lost and that arrived after we had looked.

        Raises:
            ServerError: as `Client.call`.
        """
        for run in _runs_with_key(self._client, run_key, link.experiment_id):
            if run.info.run_id != link.run_id and not run.data.metrics and not run.data.params:
                self._client.call(api.DELETE_RUN, m.DeleteRun(run_id=run.info.run_id))

    def end_abandoned(self, link: RunLink, end_time_ms: int | None) -> None:
        """Mark a run KILLED whose process died, unless another process has taken it over since.

        Raises:
            ServerError: as `Client.call`.
        """
        run = self._client.call(api.GET_RUN, m.GetRun(run_id=link.run_id)).run
        if run.info.run_status is not RunStatus.RUNNING or _tag(run, TagKey.WRITER) != self._journal:
            return
        reason = m.SetTag(
            run_id=link.run_id,
            key=TagKey.END_REASON,
            value="The process ended without ending the run: killed, out of memory, or the machine stopped.",
        )
        self._client.call(api.SET_TAG, reason)
        self._client.call(
            api.UPDATE_RUN,
            m.UpdateRun(
                run_id=link.run_id,
                run_status=RunStatus.KILLED,
                end_time_ms=end_time_ms or run.info.start_time_ms,
            ),
        )

    def _go_on(self, start: RunStart, run: m.Run) -> Sent:
        """Take over a run that exists; a process that forked from the one that began it only logs to it."""
        link = _link(run)
        if start.creator is not None:
            return Sent(link)
        tags: dict[str, str] = {TagKey.WRITER: self._journal}
        if start.resumes:
            request = m.UpdateRun(run_id=link.run_id, run_status=RunStatus.RUNNING)
            self._client.call(api.UPDATE_RUN, request)
            if _tag(run, TagKey.END_REASON):
                tags[TagKey.END_REASON] = ""
        self._client.call(api.LOG_BATCH, m.LogBatch(run_id=link.run_id, tags=_tags(tags)))
        return Sent(link)

    def _find(self, start: RunStart, experiment_id: str) -> m.Run | None:
        run = _find_by_key(self._client, start.run_id, experiment_id)
        return run or (_find_by_id(self._client, start.run_id) if start.resumes else None)

    def _parent_tag(self, start: RunStart, parent: RunLink | None, experiment_id: str) -> dict[str, str]:
        if start.parent_run_id is None:
            return {}
        if parent is not None:
            return {TagKey.PARENT_RUN: parent.run_id}
        run = _find_by_key(self._client, start.parent_run_id, experiment_id)
        found = run.info.run_id if run else None
        if found is None and start.parent_creator is not None and self._is_alive(start.parent_creator):
            raise CreatorNotDoneError(
                f"Run {start.parent_run_id} is created by journal {start.parent_creator}: its child waits for it."
            )
        return {TagKey.PARENT_RUN: found or start.parent_run_id}

    def _experiment_id(self, name: str) -> str:
        if name not in self._experiments:
            self._experiments[name] = _get_or_create_experiment(self._client, name)
        return self._experiments[name]


def find_run(client: Client, run_id: str, experiment_name: str) -> RunLink:
    """Return the run that has this id on the server, or was given it by a tracker.

    Raises:
        RunNotFoundError: the server has no such run in this experiment.
        ServerError: as `Client.call`.
    """
    run = _find_by_id(client, run_id)
    if run is None:
        experiment_id = _find_experiment(client, experiment_name)
        run = _find_by_key(client, run_id, experiment_id) if experiment_id is not None else None
    if run is None:
        raise RunNotFoundError(f"{client.address} has no run {run_id!r} in experiment {experiment_name!r}.")
    return _link(run)


def _find_by_id(client: Client, run_id: str) -> m.Run | None:
    try:
        return client.call(api.GET_RUN, m.GetRun(run_id=run_id)).run
    except RequestRefusedError:
        return None


def _find_by_key(client: Client, run_key: str, experiment_id: str) -> m.Run | None:
    return next(iter(_runs_with_key(client, run_key, experiment_id)), None)


def _runs_with_key(client: Client, run_key: str, experiment_id: str) -> tuple[m.Run, ...]:
    if "'" in run_key:
        return ()
    request = m.SearchRuns(
        experiment_ids=(experiment_id,),
        filter=f"tags.`{TagKey.RUN_KEY}` = '{run_key}'",
        max_results=10,
        order_by=("attributes.start_time ASC", "attributes.run_id ASC"),
    )
    return client.call(api.SEARCH_RUNS, request).runs


def _find_experiment(client: Client, name: str) -> str | None:
    request = m.GetExperimentByName(experiment_name=name)
    try:
        return client.call(api.GET_EXPERIMENT_BY_NAME, request).experiment.experiment_id
    except RequestRefusedError as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return None
        raise


def _get_or_create_experiment(client: Client, name: str) -> str:
    found = _find_experiment(client, name)
    if found is not None:
        return found
    try:
        return client.call(api.CREATE_EXPERIMENT, m.CreateExperiment(name=name)).experiment_id
    except RequestRefusedError as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    request = m.GetExperimentByName(experiment_name=name)
    return client.call(api.GET_EXPERIMENT_BY_NAME, request).experiment.experiment_id


def _link(run: m.Run) -> RunLink:
    return RunLink(
        run_id=run.info.run_id, experiment_id=run.info.experiment_id, artifact_uri=run.info.artifact_uri
    )


def _tag(run: m.Run, key: str) -> str | None:
    return next((tag.value for tag in run.data.tags if tag.key == key), None)


def _tags(tags: dict[str, str]) -> tuple[m.Tag, ...]:
    return tuple(m.Tag(str(key), value) for key, value in tags.items())
