"""The time of one metric-logging call as the caller sees it, and what of it survives kill -9.

    python benchmarks/log_call.py [--quick] [--only NAME ...]

Writes benchmarks/results/log_call.{json,md,svg}. Needs `rich`; each measured side gets an environment of its own.
"""

import argparse
import shutil
from contextlib import ExitStack

from rich.console import Console
from rich.progress import Progress

from harness.environments import Environment, InstallError, make_environment
from harness.log_call_report import build_report
from harness.machine import BENCH_FOLDER, describe_machine
from harness.measurement import Effort, Measurement
from harness.servers import HOST, SLOW_ANSWER_SECONDS, hold_refusing_port, run_mlflow_server, run_relay
from sides import FLOOR, LOG_CALL_SIDES, MLFLOW, MeasuredSide

FULL = Effort(rounds=5, burst_calls=200_000, burst_seconds=4.0, crashes=3, crash_calls=2000)
QUICK = Effort(rounds=2, burst_calls=20_000, burst_seconds=1.5, crashes=1, crash_calls=500)


def install_sides(
    sides: tuple[MeasuredSide, ...], progress: Progress
) -> tuple[dict[str, Environment], dict[str, str], dict[str, str]]:
    """The environments by name, and by side its version or the reason why it does not install."""
    environments: dict[str, Environment] = {}
    versions: dict[str, str] = {}
    failures: dict[str, str] = {}
    for side in progress.track(sides, description="environments (the first time takes minutes)"):
        try:
            environments[side.environment] = make_environment(side.environment, side.requirements)
            versions[side.name] = environments[side.environment].find_version(side.package)
        except InstallError as error:
            failures[side.name] = f"does not install here: {error}"
    return environments, versions, failures


def measure(sides: tuple[MeasuredSide, ...], effort: Effort, console: Console) -> None:
    machine = describe_machine()
    folder = BENCH_FOLDER / "work" / "log_call"
    shutil.rmtree(folder, ignore_errors=True)
    with ExitStack() as stack:
        progress = stack.enter_context(Progress(console=console, transient=True))
        environments, versions, failures = install_sides(sides, progress)
        mlflow = make_environment("mlflow", (MLFLOW,))
        starting = progress.add_task("starting the MLflow server", total=None)
        server = stack.enter_context(run_mlflow_server(mlflow.python, folder / "server"))
        progress.remove_task(starting)
        urls = {
            "none": "",
            "up": server.url,
            "slow": stack.enter_context(run_relay(server, seconds=SLOW_ANSWER_SECONDS)),
            "down": f"http://{HOST}:{stack.enter_context(hold_refusing_port())}",
        }
        measurement = Measurement(effort, folder, server, urls, environments, failures)
        for number in range(1, effort.rounds + 1):
            measurement.time_round(number, sides, progress)
        for number in range(1, effort.crashes + 1):
            measurement.crash_round(number, [side for side in sides if side != FLOOR], progress)
    report = build_report(machine, measurement, versions, mlflow.find_version("mlflow"))
    report.show(console)
    report.save()
    shutil.rmtree(folder, ignore_errors=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="short bursts and one crash per side")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="sides to run, for example Tracklight Aim")
    options = parser.parse_args()
    sides = tuple(side for side in LOG_CALL_SIDES if not options.only or side.name in options.only)
    if not sides:
        parser.error(f"--only: known sides are {', '.join(side.name for side in LOG_CALL_SIDES)}")
    measure(sides, QUICK if options.quick else FULL, Console())


if __name__ == "__main__":
    main()
