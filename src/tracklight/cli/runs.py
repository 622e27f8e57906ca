"""``tracklight runs``: the newest runs in a table for each experiment."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Iterable
from itertools import groupby
from pathlib import Path

import typer
from rich import box
from rich.markup import escape
from rich.table import Table

from tracklight.cli.screen import date_time, duration, out, short
from tracklight.client.calls import Client
from tracklight.errors import RunNotFoundError
from tracklight.settings import EMBEDDED, Settings
from tracklight.tracking.destinations import Destinations
from tracklight.wire import endpoints as api
from tracklight.wire import messages as m

STATUS_STYLE = {"FINISHED": "green", "FAILED": "red", "KILLED": "magenta", "RUNNING": "cyan"}
METRICS_SHOWN = 3
MOST_EXPERIMENTS = 1000


def runs(
    experiment: str | None = typer.Option(None, help="Only the runs of this experiment.", metavar="NAME"),
    limit: int = typer.Option(20, min=1, max=1000, help="How many runs."),
    uri: str | None = typer.Option(
        None, help="The server.", show_default="MLFLOW_TRACKING_URI, then the project"
    ),
) -> None:
    """Show the newest runs, and how to open them in the MLflow UI."""
    settings = Settings.load(tracking_uri=uri)
    destinations = Destinations(settings, [settings.tracking_uri])
    name = destinations.names[0]
    if name == EMBEDDED and not settings.embedded_database.exists():
        out.print(
            f"No runs yet: {escape(str(settings.directory))} has no store. Log one with MLflowTracker.",
            soft_wrap=True,
        )
        return
    client = destinations.open_client(name)
    experiments = _experiment_names(client, experiment)
    request = m.SearchRuns(
        experiment_ids=tuple(experiments), max_results=limit, order_by=("attributes.start_time DESC",)
    )
    found = client.call(api.SEARCH_RUNS, request).runs
    newest = {run.info.experiment_id: -number for number, run in reversed(list(enumerate(found)))}
    by_experiment = sorted(found, key=lambda run: newest[run.info.experiment_id], reverse=True)
    for experiment_id, group in groupby(by_experiment, key=lambda run: run.info.experiment_id):
        out.print(_table(experiments[experiment_id], group))
    if name == EMBEDDED:
        out.print(
            f"Open them with:  {_mlflow()} ui --backend-store-uri {escape(settings.embedded_uri)}",
            soft_wrap=True,
        )


def _mlflow() -> str:
    """Return MLflow's command as it can be typed here: with its path, where the shell does not find it."""
    beside_us = Path(sys.executable).with_name("mlflow")
    return short(beside_us) if shutil.which("mlflow") is None and beside_us.exists() else "mlflow"


def _table(title: str, found: Iterable[m.Run]) -> Table:
    table = Table(title=escape(title), title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for column, min_width in (("run", 12), ("status", 8), ("started", 8), ("took", 6), ("metrics", 20)):
        table.add_column(column, no_wrap=True, overflow="ellipsis", min_width=min_width)
    for run in found:
        info = run.info
        ended_ms = info.end_time_ms or int(time.time() * 1000)
        table.add_row(
            escape(info.run_name),
            f"[{STATUS_STYLE.get(info.run_status, 'default')}]{info.run_status}[/]",
            date_time(info.start_time_ms),
            duration((ended_ms - info.start_time_ms) / 1000 if info.start_time_ms else None),
            _metrics(run),
        )
    return table


def _metrics(run: m.Run) -> str:
    metrics = sorted(run.data.metrics, key=lambda metric: (metric.key.startswith("system/"), metric.key))
    shown = [f"{escape(metric.key)} {metric.value:.4g}" for metric in metrics[:METRICS_SHOWN]]
    more = len(metrics) - METRICS_SHOWN
    return "\n".join([*shown, f"[dim]and {more} more[/]"] if more > 0 else shown)


def _experiment_names(client: Client, name: str | None) -> dict[str, str]:
    request = m.SearchExperiments(max_results=MOST_EXPERIMENTS)
    experiments = client.call(api.SEARCH_EXPERIMENTS, request).experiments
    if name is not None:
        experiments = tuple(experiment for experiment in experiments if experiment.name == name)
        if not experiments:
            raise RunNotFoundError(f"{client.address} has no experiment {name!r}.")
    return {experiment.experiment_id: experiment.name for experiment in experiments}
