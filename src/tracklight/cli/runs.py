"""``tracklight runs``: the newest runs in a table."""

from __future__ import annotations

import time
from collections.abc import Sequence

import typer
from rich import box
from rich.markup import escape
from rich.table import Table

from tracklight.cli.screen import date_time, duration, out
from tracklight.client.calls import Client
from tracklight.errors import RunNotFoundError
from tracklight.settings import EMBEDDED, Settings
from tracklight.tracking.destinations import Destinations
from tracklight.wire import endpoints as api
from tracklight.wire import messages as m

STATUS_STYLE = {"FINISHED": "green", "FAILED": "red", "KILLED": "magenta", "RUNNING": "cyan"}
METRICS_SHOWN = 4
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
        out.print(f"No runs yet: {escape(str(settings.directory))} has no store. Log one with MLflowTracker.")
        return
    client = destinations.open_client(name)
    names = _experiment_names(client, experiment)
    request = m.SearchRuns(
        experiment_ids=tuple(names), max_results=limit, order_by=("attributes.start_time DESC",)
    )
    out.print(runs_table(client.call(api.SEARCH_RUNS, request).runs, names))
    if name == EMBEDDED:
        out.print(
            f"Open them with:  mlflow ui --backend-store-uri {escape(settings.embedded_uri)}", soft_wrap=True
        )


def runs_table(found: Sequence[m.Run], experiments: dict[str, str]) -> Table:
    """Return a table of runs; ``experiments`` are names by id."""
    table = Table(
        "experiment", "run", "status", "started", "took", "metrics", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0)
    )
    for run in found:
        info = run.info
        ended = info.end_time_ms or int(time.time() * 1000)
        took = (ended - info.start_time_ms) / 1000 if info.start_time_ms else None
        metrics = sorted(run.data.metrics, key=lambda metric: ("/" in metric.key, metric.key))
        shown = [f"{escape(metric.key)}={metric.value:.4g}" for metric in metrics[:METRICS_SHOWN]]
        more = len(metrics) - METRICS_SHOWN
        table.add_row(
            escape(experiments.get(info.experiment_id, info.experiment_id)),
            escape(info.run_name),
            f"[{STATUS_STYLE.get(info.run_status, 'default')}]{info.run_status}[/]",
            date_time(info.start_time_ms),
            duration(took),
            " ".join(shown) + (f" and {more} more" if more > 0 else ""),
        )
    return table


def _experiment_names(client: Client, name: str | None) -> dict[str, str]:
    request = m.SearchExperiments(max_results=MOST_EXPERIMENTS)
    experiments = client.call(api.SEARCH_EXPERIMENTS, request).experiments
    if name is not None:
        experiments = tuple(experiment for experiment in experiments if experiment.name == name)
        if not experiments:
            raise RunNotFoundError(f"{client.address} has no experiment {name!r}.")
    return {experiment.experiment_id: experiment.name for experiment in experiments}
