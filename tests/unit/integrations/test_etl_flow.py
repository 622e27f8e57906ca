"""The ETL example under Prefect."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("prefect")
pytest.importorskip("pyarrow")
from prefect.settings import PREFECT_API_URL

from tracklight.testing.stored import read_runs

FLOW = Path(__file__).parents[3] / "examples" / "etl_flow" / "flow.py"

pytestmark = pytest.mark.timeout(180)


def test_the_flow_is_one_run_with_the_params_and_metrics_of_the_document(project: Path) -> None:
    environment = os.environ | {"PREFECT_API_URL": str(PREFECT_API_URL.value())}
    environment |= {
        "TRACKLIGHT_EXIT_TIMEOUT_SECONDS": "60"
    }  # to make the store takes seconds on a busy machine
    environment.pop("BHAVCOPY_PLAIN", None)
    command = [sys.executable, str(FLOW), "--days", "1", "--http"]
    done = subprocess.run(
        command, cwd=project, env=environment, capture_output=True, text=True, timeout=150, check=False
    )
    assert done.returncode == 0, done.stderr

    (run,) = read_runs(project / ".tracklight" / "mlflow.db")
    assert (run.name, run.run_status) == ("bhavcopy-etl-2024-01-10", "FINISHED")
    assert run.params == {
        "trade_date": "2024-01-10",
        "load_to_clickhouse": "True",
        "clickhouse_table": "bhavcopy",
        "partition_year": "2024",
        "partition_month": "1",
        "partition_day": "10",
    }
    assert {point.key for point in run.points} == {
        *(f"{step}_duration_seconds" for step in ("scrape", "parse", "normalize", "write", "load")),
        *("row_count", "duration_seconds", "null_percentage", "duplicate_percentage"),
    }
    assert run.tags["prefect.flow_name"] == "bhavcopy-etl"
    assert run.tags["prefect.parameter.trade_date"] == "2024-01-10"
    assert (project / "data" / "lake" / "year=2024" / "month=1" / "day=10").is_dir()
