"""What ``make demo`` runs: both examples in this project, then a table of their runs."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from tracklight.cli.runs import runs
from tracklight.settings import Settings

EXAMPLES = Path(__file__).parent
console = Console(highlight=False)


def run(title: str, progress: Progress, *command: str) -> None:
    """Run Python as a user would, and show each line that it prints beside the title.

    Raises:
        SystemExit: it failed; the message has what it wrote to the standard error.
    """
    row = progress.add_task(title, total=1, line="")
    plain = os.environ | {"BHAVCOPY_PLAIN": "1"}  # a Prefect server of its own would take 15 s to start
    with tempfile.TemporaryFile("w+") as problems:
        process = subprocess.Popen(
            [sys.executable, *command], env=plain, stdout=subprocess.PIPE, stderr=problems, text=True
        )
        assert process.stdout is not None
        for line in process.stdout:
            progress.update(row, line=escape(line.strip()))
        if process.wait() != 0:
            problems.seek(0)
            sys.exit(f"{title}: {' '.join(command)} failed.\n{problems.read()}")
    progress.update(row, completed=1, line="")


def main() -> None:
    began = time.perf_counter()
    data = Settings.load().directory / "bhavcopy"
    columns = (
        SpinnerColumn(finished_text="[green]✓"),
        TextColumn("{task.description}"),
        TextColumn("[dim]{task.fields[line]}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console) as progress:
        run("Bhavcopy ETL, three days", progress, str(EXAMPLES / "etl_flow/flow.py"), "--data", str(data))
        run("Training, five models", progress, str(EXAMPLES / "training/train.py"))
        run("Delivery of what is left", progress, "-m", "tracklight", "sync")
    runs(experiment=None, limit=20, uri=None)
    console.print("In MLflow, choose [bold]Model training[/] at the top left: it opens on another view.")
    console.print(f"Ten runs and five models, logged in {time.perf_counter() - began:.0f} s.")


if __name__ == "__main__":
    main()
