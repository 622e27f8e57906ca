"""What ``make demo`` runs: both examples in this project, then a table of their runs."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from tracklight.cli.runs import runs
from tracklight.settings import Settings

EXAMPLES = Path(__file__).parent
console = Console(highlight=False)


def run_example(script: str, *arguments: str, show: Callable[[str], None]) -> None:
    """Run one example as a user would; show each line that it prints.

    Raises:
        SystemExit: it failed; what it wrote to the standard error is printed.
    """
    command = [sys.executable, str(EXAMPLES / script), *arguments]
    plain = os.environ | {"BHAVCOPY_PLAIN": "1"}  # a Prefect server of its own would take 20 s to start
    with tempfile.TemporaryFile("w+") as problems:
        process = subprocess.Popen(command, env=plain, stdout=subprocess.PIPE, stderr=problems, text=True)
        assert process.stdout is not None
        for line in process.stdout:
            show(line.rstrip())
        if process.wait() != 0:
            problems.seek(0)
            sys.exit(f"{script} failed:\n{problems.read()}")


def main() -> None:
    began = time.perf_counter()
    lines = TextColumn("{task.description}"), TextColumn("[dim]{task.fields[line]}")
    with Progress(
        SpinnerColumn(finished_text="[green]✓"), *lines, TimeElapsedColumn(), console=console
    ) as bar:
        for script, title, arguments in (
            (
                "etl_flow/flow.py",
                "Bhavcopy ETL, three days",
                ("--data", str(Settings.load().directory / "bhavcopy")),
            ),
            ("training/train.py", "Training, five models", ()),
        ):
            task = bar.add_task(title, total=1, line="")

            def show(line: str, task: int = task) -> None:
                bar.update(task, line=escape(line.strip()))

            run_example(script, *arguments, show=show)
            bar.update(task, completed=1, line="")
    runs(experiment=None, limit=20, uri=None)
    console.print(f"Ten runs and five models, logged in {time.perf_counter() - began:.0f} s.")


if __name__ == "__main__":
    main()
