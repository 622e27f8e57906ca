"""The size of a fresh installation without extras, and the time of its imports.

    python benchmarks/footprint.py [--quick]

Writes benchmarks/results/footprint.{json,md,svg}. Needs `rich`; installs into `.bench/envs/footprint`.
"""

import argparse
import shutil
import statistics
import subprocess
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from rich.console import Console
from rich.progress import Progress

from harness.chart import Bar, draw_bars
from harness.environments import Environment, make_environment
from harness.machine import BENCH_FOLDER, Machine, describe_machine
from harness.results import Aim, Grid, Report

SIZE_AIM_MB = 110
IMPORT_AIM_MS = 80
INSTALLERS = {
    "pip",
    "setuptools",
    "wheel",
    "_distutils_hack",
    "distutils",
    "_virtualenv.py",
    "_virtualenv.pth",
}
HEAVY = ("mlflow", "pandas", "sqlalchemy")
NOTHING = "pass"
STATEMENTS = (NOTHING, "import tracklight", "from tracklight.tracking import MLflowTracker")
LARGEST_SHOWN = 12


@dataclass(frozen=True, slots=True)
class ImportTime:
    """A statement's median time in a fresh interpreter, less the bare interpreter's; and what heavy it loads."""

    statement: str
    median_ms: float
    heavy: tuple[str, ...]


def measure_sizes(environment: Environment, *, with_bytecode: bool) -> Counter[str]:
    """Bytes per top-level name in site-packages, without the installers themselves."""
    (packages,) = environment.folder.glob("lib/python*/site-packages")
    sizes: Counter[str] = Counter()
    for path in packages.rglob("*"):
        name = path.relative_to(packages).parts[0]
        is_wanted = with_bytecode or path.suffix != ".pyc"
        if path.is_file() and is_wanted and name.partition("-")[0] not in INSTALLERS:
            sizes[name] += path.stat().st_size
    return sizes


def measure_imports(environment: Environment, rounds: int, progress: Progress) -> list[ImportTime]:
    """Each statement once per round in a fresh interpreter, in turn, after one round that warms the cache."""
    seconds: dict[str, list[float]] = {statement: [] for statement in STATEMENTS}
    for number in progress.track(range(rounds + 1), description="imports"):
        for statement, times in seconds.items():
            begin = time.perf_counter()
            run_statement(environment, statement)
            if number:
                times.append(time.perf_counter() - begin)
    medians_ms = {statement: statistics.median(times) * 1e3 for statement, times in seconds.items()}
    return [
        ImportTime(statement, median - medians_ms[NOTHING], find_heavy(environment, statement))
        for statement, median in medians_ms.items()
        if statement != NOTHING
    ]


def find_heavy(environment: Environment, statement: str) -> tuple[str, ...]:
    loaded = set(run_statement(environment, f"{statement}\nimport sys\nprint(*sys.modules)").split())
    return tuple(name for name in HEAVY if name in loaded)


def run_statement(environment: Environment, code: str) -> str:
    command = [str(environment.python), "-c", code]
    return subprocess.run(command, cwd=BENCH_FOLDER, capture_output=True, text=True, check=True).stdout


def measure(rounds: int, console: Console) -> Report:
    machine = describe_machine()
    shutil.rmtree(BENCH_FOLDER / "envs" / "footprint", ignore_errors=True)
    with Progress(console=console, transient=True) as progress:
        installing = progress.add_task("fresh installation", total=None)
        environment = make_environment("footprint", (".",))
        progress.remove_task(installing)
        sizes = measure_sizes(environment, with_bytecode=True)
        sources = measure_sizes(environment, with_bytecode=False)
        imports = measure_imports(environment, rounds, progress)
    return build_report(machine, rounds, sizes, sources, imports)


def build_report(
    machine: Machine, rounds: int, sizes: Counter[str], sources: Counter[str], imports: Sequence[ImportTime]
) -> Report:
    total_mb, sources_mb = sizes.total() / 1e6, sources.total() / 1e6
    largest = sizes.most_common(LARGEST_SHOWN)
    size_rows = [(name, f"{size / 1e6:.1f}", f"{sources[name] / 1e6:.1f}") for name, size in largest]
    size_rows.append(("everything", f"{total_mb:.1f}", f"{sources_mb:.1f}"))
    import_rows = [
        (done.statement, f"{done.median_ms:.0f}", ", ".join(done.heavy) or "-") for done in imports
    ]
    package = imports[0]
    return Report(
        name="footprint",
        title="Installed size and import time of the core package",
        machine=machine,
        method=[
            "size: `pip install .` without extras in a fresh environment; MB = 1,000,000 bytes",
            "counted: all files of site-packages without the installers; pip writes bytecode, uv does not",
            f"import: median of {rounds} fresh interpreters, in turn, less the median of a bare one; warm file cache",
        ],
        grids=[
            Grid("Installed size in MB", ("in site-packages", "with bytecode", "without"), size_rows),
            Grid("Import time in ms", ("statement", "ms", f"loads of {', '.join(HEAVY)}"), import_rows),
        ],
        aims=[
            Aim(f"< {SIZE_AIM_MB} MB with bytecode", f"{total_mb:.1f} MB", total_mb < SIZE_AIM_MB),
            Aim(f"< {SIZE_AIM_MB} MB without bytecode", f"{sources_mb:.1f} MB", sources_mb < SIZE_AIM_MB),
            Aim(
                f"`{package.statement}` < {IMPORT_AIM_MS} ms",
                f"{package.median_ms:.0f} ms",
                package.median_ms < IMPORT_AIM_MS,
            ),
            Aim(
                f"`{package.statement}` loads none of {', '.join(HEAVY)}",
                ", ".join(package.heavy) or "none loaded",
                not package.heavy,
            ),
        ],
        facts={
            "size_bytes": dict(sizes.most_common()),
            "total_mb": total_mb,
            "total_without_bytecode_mb": sources_mb,
            "imports": [asdict(done) for done in imports],
        },
        chart_svg=draw_bars(
            "Installed size of the core package",
            "MB in site-packages, logarithmic",
            [Bar(name, size_bytes / 1e6, f"{size_bytes / 1e6:.1f} MB") for name, size_bytes in largest],
        ),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="fewer rounds of imports")
    console = Console()
    report = measure(5 if parser.parse_args().quick else 25, console)
    report.show(console)
    report.save()


if __name__ == "__main__":
    main()
