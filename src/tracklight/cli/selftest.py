"""``tracklight selftest``: the promise, put to the test on the user's own disk."""

from __future__ import annotations

import secrets
import shutil
import sys
import tempfile
from pathlib import Path

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from tracklight.cli.screen import duration, err, fail, out
from tracklight.testing.crash import CrashReport, CrashTest, CrashTestError

MOST_FINDINGS = 20

app = typer.Typer(help="Put the promise to the test on this machine's disk.", no_args_is_help=True)


@app.callback()
def _selftest() -> None:
    """Put the promise to the test on this machine's disk."""


@app.command()
def crash(
    kills: int = typer.Option(200, min=1, help="How many processes to kill, at least."),
    directory: Path | None = typer.Option(
        None, help="Where to work: on the disk that is to be tested. By default a new folder here."
    ),
    seed: int | None = typer.Option(None, help="Repeat the decisions of an earlier test."),
) -> None:
    """Kill writers and servers at random moments; compare what was accepted with what arrived."""
    seed = secrets.randbelow(1 << 32) if seed is None else seed
    parent = directory or Path.cwd()
    parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="tracklight-selftest-", dir=parent))
    print(f"seed={seed}", flush=True)
    columns = (TextColumn("killed"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    try:
        with Progress(*columns, console=err) as progress:
            task = progress.add_task("", total=kills)
            test = CrashTest(folder, seed, lambda killed: progress.update(task, completed=killed))
            report = test.run(kills)
    except CrashTestError as error:
        fail(f"{error}\nThe folder is kept: {folder}")
        raise typer.Exit(2) from error
    _print(report, folder)
    if not report.is_clean:
        raise typer.Exit(1)
    shutil.rmtree(folder)


def _print(report: CrashReport, folder: Path) -> None:
    audit = report.audit
    for finding in audit.findings[:MOST_FINDINGS]:
        fail(finding)
    for journal in report.journals_left:
        fail(f"journal {journal} could not be delivered")
    if not report.is_clean:
        err.print(f"The folder is kept: {folder}", soft_wrap=True)
    kills = ", ".join(f"{name}={count}" for name, count in sorted(report.kills.items()))
    out.print(
        f"killed {sum(report.kills.values())} processes in {duration(report.seconds)}: {kills}",
        soft_wrap=True,
    )
    out.print(f"accepted={audit.accepted}, lost={audit.lost}, duplicated={audit.duplicated}")


if __name__ == "__main__":
    sys.exit(app())
