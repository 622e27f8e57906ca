"""One journal, several servers: each gets everything, at its own pace."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tracklight.journal.cursor import CursorFile
from tracklight.journal.drain import drain_journal
from tracklight.journal.folder import list_journals
from tracklight.journal.segment import list_segments
from tracklight.model.run import RunStatus
from tracklight.settings import Settings
from tracklight.testing.faulty_server import FaultyServer, faulty_server
from tracklight.testing.stored import StoredRun, read_runs
from tracklight.tracking.destinations import Destinations
from tracklight.tracking.tracker import Tracker


@pytest.fixture
def mirror(new_database: Callable[[str], Path]) -> Iterator[FaultyServer]:
    with faulty_server(new_database("mirror")) as server:
        yield server


@pytest.fixture
def settings(faulty: FaultyServer, mirror: FaultyServer, project: Path) -> Settings:
    return Settings(
        tracking_uri=faulty.uri,
        mirror_uris=(mirror.uri,),
        directory=project / ".tracklight",
        segment_bytes=1 << 14,
        strict=True,
    )


def log_a_run(tracker: Tracker, file: Path) -> None:
    file.write_bytes(b"weights")
    with tracker.start_run("mirrored") as run:
        for step in range(800):
            run.log_metric("loss", step / 3, step)
        run.log_param("rate", 0.1)
        run.log_artifact(file)
    file.unlink()


def only_run(server: FaultyServer) -> StoredRun:
    (run,) = read_runs(server.database)
    return run


def check_whole(run: StoredRun) -> None:
    assert run.history("loss") == [(step, step / 3) for step in range(800)]
    assert run.params == {"rate": "0.1"}
    assert run.run_status is RunStatus.FINISHED
    assert (run.artifact_folder / "weights.bin").read_bytes() == b"weights"


def test_both_servers_get_everything(
    settings: Settings, faulty: FaultyServer, mirror: FaultyServer, project: Path
) -> None:
    tracker = Tracker("mirrors", settings=settings)
    log_a_run(tracker, project / "weights.bin")
    assert tracker.close()
    check_whole(only_run(faulty))
    check_whole(only_run(mirror))
    assert list_journals(settings.journals) == []


@pytest.mark.parametrize("down", ["first", "second"])
def test_a_server_that_is_down_holds_up_no_other_and_gets_everything_later(
    settings: Settings, faulty: FaultyServer, mirror: FaultyServer, project: Path, down: str
) -> None:
    dead, alive = (faulty, mirror) if down == "first" else (mirror, faulty)
    dead.stop()
    tracker = Tracker("mirrors", settings=settings)
    log_a_run(tracker, project / "weights.bin")
    assert not tracker.close(timeout_seconds=3)
    check_whole(only_run(alive))
    assert read_runs(dead.database) == []

    (path,) = list_journals(settings.journals)
    assert CursorFile(path, dead.uri).load().next_sequence == 1
    assert CursorFile(path, alive.uri).load().next_sequence > 800
    assert len(list_segments(path)) > 1, "segments stay until both have them"
    assert len(list((path / "spool").iterdir())) == 1, "and so do files"

    asked_before = len(alive.asked)
    dead.start()
    results = drain_journal(path, Destinations(settings).open_client)
    assert all(result.is_complete for result in results)
    check_whole(only_run(dead))
    assert len(alive.asked) == asked_before
    assert list_journals(settings.journals) == []
