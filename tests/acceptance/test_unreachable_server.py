"""Best practices 5 and 6: whatever the server does, the pipeline does the same, and nothing is lost."""

from __future__ import annotations

import re
import socket
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path

import pytest

from tracklight.testing.server_process import ServerProcess
from tracklight.testing.stored import StoredRun, read_runs

from .conftest import ROOT

pq = pytest.importorskip("pyarrow.parquet")

FLOW = str(ROOT / "examples" / "etl_flow" / "flow.py")
DAYS = 2
# A call that waited for a server would take the 10 s of a connection or the 60 s of an answer; there are 13 calls.
NO_CALL_WAITED_SECONDS = 8.0
METRICS = {
    *(f"{step}_duration_seconds" for step in ("scrape", "parse", "normalize", "write", "load")),
    *("row_count", "duration_seconds", "null_percentage", "duplicate_percentage"),
}

RunProgram = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def own_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    process = ServerProcess(tmp_path_factory.mktemp("own"))
    yield process
    process.stop()


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port that takes connections and never answers."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(64)
        yield int(listener.getsockname()[1])


@pytest.fixture
def run_flow(run_program: RunProgram) -> Callable[[str, str], str]:
    """Run the ETL flow with a server and a folder; return what it printed, but for its times."""

    def run(uri: str, data: str) -> str:
        done = run_program(
            FLOW,
            *("--days", str(DAYS), "--data", data),
            MLFLOW_TRACKING_URI=uri,
            TRACKLIGHT_EXIT_TIMEOUT_SECONDS="2",
            BHAVCOPY_PLAIN="1",
            timeout=120,
        )
        return re.sub(r"[\d.]+ s\n", "\n", done.stdout)

    return run


def test_what_is_logged_while_the_server_is_away_arrives_when_it_is_back(
    run_flow: Callable[[str, str], str], run_program: RunProgram, own_server: ServerProcess, project: Path
) -> None:
    own_server.start()
    printed_with_server = run_flow(own_server.uri, "with")
    own_server.stop()
    printed_without_server = run_flow(own_server.uri, "without")

    assert printed_without_server == printed_with_server
    assert result(project / "without") == result(project / "with")
    assert len(read_runs(own_server.database)) == DAYS

    own_server.start()
    run_program("-m", "tracklight", "sync")

    runs = read_runs(own_server.database, "bhavcopy-etl")
    as_expected, late = runs[:DAYS], runs[DAYS:]
    assert [comparable(run) for run in late] == [comparable(run) for run in as_expected]
    for run in runs:
        check_names(run)
        assert latest(run)["duration_seconds"] < NO_CALL_WAITED_SECONDS
    assert not list((project / ".tracklight" / "journals").iterdir())


def test_a_server_that_never_answers_does_not_hold_the_flow(
    run_flow: Callable[[str, str], str],
    run_program: RunProgram,
    silent_port: int,
    project: Path,
    new_database,
) -> None:
    run_flow(f"http://127.0.0.1:{silent_port}", "silent")
    database = new_database("afterwards")
    run_program("-m", "tracklight", "sync", "--to", f"sqlite:///{database}")

    runs = read_runs(database, "bhavcopy-etl")
    assert len(runs) == DAYS
    for run in runs:
        check_names(run)
        assert latest(run)["duration_seconds"] < NO_CALL_WAITED_SECONDS


def check_names(run: StoredRun) -> None:
    """Exactly what the document names."""
    day = date.fromisoformat(run.params["trade_date"])
    assert run.name == f"bhavcopy-etl-{day}"
    assert run.run_status == "FINISHED"
    assert run.params == {
        "trade_date": day.isoformat(),
        "load_to_clickhouse": "True",
        "clickhouse_table": "bhavcopy",
        "partition_year": str(day.year),
        "partition_month": str(day.month),
        "partition_day": str(day.day),
    }
    assert set(latest(run)) == METRICS


def comparable(run: StoredRun) -> dict[str, object]:
    """What two runs of the same day have in common: all but ids and times."""
    values = {key: value for key, value in latest(run).items() if not key.endswith("_seconds")}
    tags = {key: value for key, value in run.tags.items() if not key.startswith("tracklight.")}
    return {"name": run.name, "status": run.run_status, "params": run.params, "tags": tags, "metrics": values}


def latest(run: StoredRun) -> dict[str, float]:
    return {point.key: point.value for point in run.points}


def result(data: Path) -> tuple[dict[str, object], list[tuple[object, ...]]]:
    """Return what the flow made: every Parquet partition's rows, and those of the warehouse."""
    partitions = {
        str(path.parent.relative_to(data)): pq.read_table(path, partitioning=None).to_pylist()
        for path in sorted((data / "lake").rglob("*.parquet"))
    }
    assert list(partitions) == ["lake/year=2024/month=1/day=10", "lake/year=2024/month=1/day=11"]
    with sqlite3.connect(data / "warehouse.db") as connection:
        rows = connection.execute("SELECT * FROM bhavcopy ORDER BY trade_date, symbol, series").fetchall()
    connection.close()
    assert len(rows) == sum(len(rows) for rows in partitions.values())
    return partitions, rows
