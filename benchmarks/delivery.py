"""Points per second from the call to the stored row, against a stock MLflow server on SQLite.

    python benchmarks/delivery.py [--quick]

Tracklight logs one by one; MLflow's client sends batches of 1,000 made by hand. Both to the same server, in turn.
Writes benchmarks/results/delivery.{json,md,svg}. Needs `rich`; each side gets an environment of its own.
"""

import argparse
import shutil
import statistics
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from harness.chart import Bar, draw_bars
from harness.children import SideRun
from harness.environments import make_environment
from harness.machine import BENCH_FOLDER, Machine, describe_machine
from harness.results import Aim, Grid, Report
from harness.servers import MLflowServer, run_mlflow_server
from sides import MLFLOW_BATCHES, TRACKLIGHT, MeasuredSide

SIDES = (TRACKLIGHT, MLFLOW_BATCHES)
RATIO_AIM = 1.0


class LostPointsError(Exception):
    """A side said that it had delivered points that are not in the server's database, or stored some twice."""


@dataclass(frozen=True, slots=True)
class Effort:
    rounds: int
    points: int


@dataclass(frozen=True, slots=True)
class DeliveryRound:
    """One delivery: seconds from before the run is started until it has ended and every point is stored."""

    side: str
    round: int
    points: int
    seconds: float

    @property
    def points_per_second(self) -> float:
        return self.points / self.seconds


FULL = Effort(rounds=5, points=20_000)
QUICK = Effort(rounds=2, points=5_000)


def deliver_once(
    side: MeasuredSide, server: MLflowServer, folder: Path, number: int, points: int
) -> DeliveryRound:
    """One round of one side, with its rows counted in the database.

    Raises:
        LostPointsError: the rows in the database are not the points that were logged.
    """
    name = f"{side.module.replace('_', '-')}-{number}"
    environment = make_environment(side.environment, side.requirements)
    run = SideRun(side, environment, folder / name, name, start_url=server.url, url=server.url)
    seconds = run.answer("deliver", calls=points)["seconds"]
    rows, steps = server.count_points(name)
    if not rows == steps == points:
        raise LostPointsError(
            f"{side.name} delivered {points} points; the database has {rows}, {steps} distinct."
        )
    return DeliveryRound(side.name, number, points, seconds)


def measure(effort: Effort, console: Console) -> Report:
    machine = describe_machine()
    folder = BENCH_FOLDER / "work" / "delivery"
    shutil.rmtree(folder, ignore_errors=True)
    rounds: list[DeliveryRound] = []
    with ExitStack() as stack:
        progress = stack.enter_context(Progress(console=console, transient=True))
        task = progress.add_task("environments and server", total=effort.rounds * len(SIDES))
        versions = {
            side.name: make_environment(side.environment, side.requirements).find_version(side.package)
            for side in SIDES
        }
        mlflow = make_environment(MLFLOW_BATCHES.environment, MLFLOW_BATCHES.requirements)
        server = stack.enter_context(run_mlflow_server(mlflow.python, folder / "server"))
        for number in range(1, effort.rounds + 1):
            for side in SIDES if number % 2 else SIDES[::-1]:
                progress.update(task, description=f"round {number} of {effort.rounds}: {side.name}")
                rounds.append(deliver_once(side, server, folder, number, effort.points))
                progress.advance(task)
    shutil.rmtree(folder, ignore_errors=True)
    return build_report(machine, effort, versions, rounds)


def build_report(
    machine: Machine, effort: Effort, versions: dict[str, str], rounds: Sequence[DeliveryRound]
) -> Report:
    speeds = {
        side.name: [done.points_per_second for done in rounds if done.side == side.name] for side in SIDES
    }
    medians = {name: statistics.median(values) for name, values in speeds.items()}
    ratio = medians[TRACKLIGHT.name] / medians[MLFLOW_BATCHES.name]
    rows = [(name, f"{medians[name]:,.0f}", f"{min(v):,.0f}", f"{max(v):,.0f}") for name, v in speeds.items()]
    bars = [
        Bar(name, value, f"{value:,.0f} per second", best=name == TRACKLIGHT.name)
        for name, value in medians.items()
    ]
    return Report(
        name="delivery",
        title="Points per second from the call to the stored row",
        machine=machine,
        method=[
            f"versions: {', '.join(f'{name} {version}' for name, version in versions.items())}",
            "server: stock `mlflow server`, SQLite, one worker, no job runner, the same for both sides",
            f"{effort.rounds} rounds of {effort.points:,} points, sides in turn, the first one changing",
            "time: from before the run is started until it has ended and every point is answered for",
            "after each round the rows are counted in the database: every point there, none twice",
        ],
        grids=[Grid("Points per second", ("side", "median", "slowest", "fastest"), rows)],
        aims=[Aim("not slower than log_batch by hand (ratio >= 1)", f"{ratio:.2f}", ratio >= RATIO_AIM)],
        facts={
            "versions": versions,
            "rounds": [asdict(done) | {"points_per_second": done.points_per_second} for done in rounds],
            "medians": medians,
            "ratio": ratio,
        },
        chart_svg=draw_bars("From the call to the stored row", "points per second, logarithmic", bars),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="fewer rounds of fewer points")
    console = Console()
    report = measure(QUICK if parser.parse_args().quick else FULL, console)
    report.show(console)
    report.save()


if __name__ == "__main__":
    main()
