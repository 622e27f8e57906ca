"""The bhavcopy ETL: scrape, parse, normalise, write Parquet, load; a Prefect flow that logs one run a day.

Where Prefect is not installed, or BHAVCOPY_PLAIN=1 is set, the same functions run as plain Python.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import re
import sqlite3
import time
import urllib.request
import zipfile
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import exchange
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from orchestration import flow, flow_run, hooks, task

from tracklight.tracking import MLflowTracker

tracker = MLflowTracker(experiment_name="bhavcopy-etl")

SCRAPE_TIMEOUT_SECONDS = 30
NAMES = {
    "SYMBOL": "symbol",
    "SERIES": "series",
    "OPEN": "open",
    "HIGH": "high",
    "LOW": "low",
    "CLOSE": "close",
    "LAST": "last",
    "PREVCLOSE": "previous_close",
    "TOTTRDQTY": "traded_quantity",
    "TOTTRDVAL": "traded_value",
    "TIMESTAMP": "trade_date",
    "TOTALTRADES": "trades",
    "ISIN": "isin",
}


@contextlib.contextmanager
def timed(metric: str) -> Iterator[None]:
    """Log how long the block took, as soon as it is through."""
    began = time.perf_counter()
    yield
    seconds = time.perf_counter() - began
    tracker.log_metric(metric, seconds)
    print(f"  {metric.removesuffix('_duration_seconds'):<10}{seconds:8.3f} s", flush=True)


@task
def scrape(trade_date: date, source: str) -> bytes:
    """Fetch the day's file from the archive: a folder, a file:// or an http:// address."""
    with timed("scrape_duration_seconds"):
        root = source if "://" in source else Path(source).absolute().as_uri()
        address = f"{root}/{exchange.archive_path(trade_date)}"
        with urllib.request.urlopen(address, timeout=SCRAPE_TIMEOUT_SECONDS) as answer:
            return answer.read()


@task
def parse(content: bytes) -> pd.DataFrame:
    """Read the CSV in the archive, and check that it is a bhavcopy."""
    with timed("parse_duration_seconds"):
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            (name,) = archive.namelist()
            table = pd.read_csv(io.BytesIO(archive.read(name)), keep_default_na=False, na_values=[""])
        missing = set(NAMES) - set(table.columns)
        if missing:
            raise ValueError(
                f"{name} lacks {', '.join(sorted(missing))}: is it a bhavcopy of the classic format?"
            )
        return table[list(NAMES)]


@task
def normalize(raw: pd.DataFrame) -> pd.DataFrame:
    """Name, type and deduplicate the columns; log what share of cells was empty and of rows repeated."""
    with timed("normalize_duration_seconds"):
        table = raw.rename(columns=NAMES)
        table["trade_date"] = pd.to_datetime(table["trade_date"], format="%d-%b-%Y").dt.date
        is_repeated = table.duplicated(["symbol", "series"])
        tracker.log_metrics(
            {
                "null_percentage": 100 * float(table.isna().to_numpy().mean()),
                "duplicate_percentage": 100 * float(is_repeated.mean()),
            }
        )
        table = table[~is_repeated].sort_values(["symbol", "series"], ignore_index=True)
        table["change_percent"] = (100 * (table["close"] / table["previous_close"] - 1)).round(4)
        return table


@task
def write_parquet(table: pd.DataFrame, lake: Path) -> Path:
    """Write the day's partition, in place of what a run before may have left there; return its folder."""
    with timed("write_duration_seconds"):
        day = table["trade_date"].iloc[0]
        partition = partition_of(day)
        arrow = pa.Table.from_pandas(table, preserve_index=False)
        for name, value in partition.items():
            arrow = arrow.append_column(name, pa.array([value] * len(arrow), pa.int32()))
        pq.write_to_dataset(
            arrow, lake, partition_cols=list(partition), existing_data_behavior="delete_matching"
        )
        return lake.joinpath(*(f"{name}={value}" for name, value in partition.items()))


@task
def load(table: pd.DataFrame, warehouse: Path, table_name: str) -> int:
    """Replace the day's rows in the warehouse, all or nothing; return how many there are.

    The document's warehouse is ClickHouse; here it is SQLite, so that nothing has to be installed.
    """
    if not re.fullmatch(r"\w+", table_name):
        raise ValueError(f"{table_name!r} is not a name for a table: use letters, digits and _.")
    with timed("load_duration_seconds"):
        rows = table.astype({"trade_date": str}).astype(object).where(table.notna(), None)
        columns = ", ".join(rows.columns)
        marks = ", ".join("?" * len(rows.columns))
        day = rows["trade_date"].iloc[0]
        with contextlib.closing(sqlite3.connect(warehouse)) as connection, connection:
            connection.execute(f"CREATE TABLE IF NOT EXISTS {table_name} ({columns})")
            connection.execute(f"DELETE FROM {table_name} WHERE trade_date = ?", (day,))
            connection.executemany(
                f"INSERT INTO {table_name} ({columns}) VALUES ({marks})",
                rows.itertuples(index=False, name=None),
            )
        return len(rows)


@flow(name="bhavcopy-etl", retries=1, **hooks(tracker))
def bhavcopy_etl(
    trade_date: date,
    source: str,
    data: Path,
    load_to_clickhouse: bool = True,
    clickhouse_table: str = "bhavcopy",
) -> int:
    """Bring one day from the archive to the lake and the warehouse; return its number of rows."""
    began = time.perf_counter()
    with flow_run(tracker, run_name=f"bhavcopy-etl-{trade_date}"):
        tracker.log_params(
            {
                "trade_date": trade_date,
                "load_to_clickhouse": load_to_clickhouse,
                "clickhouse_table": clickhouse_table,
            }
        )
        table = normalize(parse(scrape(trade_date, source)))
        write_parquet(table, data / "lake")
        if load_to_clickhouse:
            load(table, data / "warehouse.db", clickhouse_table)
        tracker.log_execution_metadata(
            trade_date=trade_date,
            row_count=len(table),
            duration_seconds=time.perf_counter() - began,
            partition_info=partition_of(trade_date),
        )
        return len(table)


def partition_of(day: date) -> dict[str, int]:
    return {"year": day.year, "month": day.month, "day": day.day}


def main() -> None:
    options = arguments()
    with contextlib.ExitStack() as stack:
        source = options.source
        if source is None:
            archive = options.data / "archive"
            for day in exchange.trading_days(options.date, options.days):
                exchange.write_bhavcopy(archive, day)
            source = stack.enter_context(exchange.serve(archive)) if options.http else str(archive)
        for day in exchange.trading_days(options.date, options.days):
            print(f"bhavcopy-etl-{day}", flush=True)
            rows = bhavcopy_etl(
                trade_date=day,
                source=source,
                data=options.data,
                load_to_clickhouse=not options.no_load,
                clickhouse_table=options.table,
            )
            print(f"  {rows:,} rows", flush=True)
    print("delivering what was logged", flush=True)
    tracker.close()


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--date", type=date.fromisoformat, default=date(2024, 1, 10), help="first trading day"
    )
    parser.add_argument("--days", type=int, default=3, help="how many trading days")
    parser.add_argument("--source", help="folder or address of the archive; by default one is generated")
    parser.add_argument(
        "--http", action="store_true", help="serve the generated archive, and scrape it by HTTP"
    )
    parser.add_argument(
        "--data", type=Path, default=Path("data"), help="folder for archive, lake and warehouse"
    )
    parser.add_argument("--table", default="bhavcopy", help="table of the warehouse")
    parser.add_argument("--no-load", action="store_true", help="do not load into the warehouse")
    return parser.parse_args()


if __name__ == "__main__":
    main()
