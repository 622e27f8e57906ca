"""The command ``tracklight``."""

from __future__ import annotations

import logging
import sys

import typer

from tracklight import __version__
from tracklight.cli import journal, runs, selftest, sync
from tracklight.cli.screen import fail
from tracklight.errors import TracklightError

app = typer.Typer(
    help="MLflow for production: runs that are never lost.", no_args_is_help=True, add_completion=False
)
app.add_typer(journal.app, name="journal")
app.add_typer(selftest.app, name="selftest")
app.command("runs")(runs.runs)
app.command("sync")(sync.sync)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"tracklight {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: bool = typer.Option(
        False, "--version", callback=_print_version, is_eager=True, help="Print it."
    ),
) -> None:
    """MLflow for production: runs that are never lost."""


def main() -> None:
    """Run the command; an error that a person can mend is one line, not a traceback."""
    logging.getLogger("tracklight").addHandler(logging.NullHandler())  # commands print errors themselves
    try:
        app()
    except TracklightError as error:
        fail(str(error))
        sys.exit(1)
