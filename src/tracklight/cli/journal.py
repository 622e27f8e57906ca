"""``tracklight journal``: look into journals."""

from __future__ import annotations

from collections import deque
from pathlib import Path

import msgspec
import typer
from rich.markup import escape

from tracklight.cli.screen import date_time, fail, out, short, size
from tracklight.errors import TracklightError
from tracklight.journal.survey import Survey, find_journals, read_entries, survey

app = typer.Typer(
    help="Look into journals: what waits, what was refused, what is damaged.", no_args_is_help=True
)

PLACE = typer.Argument(
    Path(), help="A project, its .tracklight folder, or one journal.", show_default="this folder"
)


@app.command("ls")
def list_(directory: Path = PLACE) -> None:
    """List journals that are not fully delivered, or are kept for what was refused."""
    surveys = _surveys(directory)
    for found in surveys:
        state = "in use" if found.is_owned else "done" if found.is_finished else "left behind"
        out.print(
            f"[bold]{found.path.name}[/]  {state}, {size(found.size_bytes)}, begun {date_time(found.info.created_ms)} "
            f"by process {found.info.pid} on {found.info.host}",
            soft_wrap=True,
        )
        for cursor in found.cursors:
            out.print(
                f"    {escape(cursor.destination)}: {found.waiting_for(cursor):,} of {found.next_sequence - 1:,} "
                f"records wait, {cursor.refused:,} values refused",
                soft_wrap=True,
            )


@app.command()
def show(
    journal: Path = typer.Argument(help="One journal, or a project with one."),
    last: int = typer.Option(20, min=0, help="How many of the newest records to print."),
) -> None:
    """Print the newest records of a journal, and everything that a server refused, with its message."""
    for found in _surveys(journal):
        out.print(f"[bold]{found.path.name}[/] {found.records:,} records on disk, {size(found.size_bytes)}")
        for entry in deque(read_entries(found.path), maxlen=last):
            text = (
                msgspec.json.encode(entry.record).decode()
                if entry.record
                else "a record this version does not know"
            )
            out.print(f"{entry.sequence:>10} {escape(text)}", soft_wrap=True)
        if found.refusals:
            out.print(f"[yellow]{len(found.refusals):,} values were refused:[/]")
        for refusal in found.refusals:
            out.print(
                f"{refusal.sequence:>10} {refusal.kind} {escape(refusal.key)} = {escape(refusal.value)} "
                f"of run {refusal.run_id or '(none)'}\n           {escape(refusal.reason)}",
                soft_wrap=True,
            )


@app.command()
def verify(directory: Path = PLACE) -> None:
    """Check every record's checksum. Exit code 1: something is damaged."""
    surveys = _surveys(directory)
    for found in surveys:
        state = f"[red]{found.damaged:,} damaged[/]" if found.damaged else "[green]none damaged[/]"
        torn = ", 1 append cut short by the end of its process" if found.torn else ""
        out.print(f"{found.path.name}: {found.records:,} records, {state}{torn}")
    if any(found.damaged for found in surveys):
        raise typer.Exit(1)


def _surveys(directory: Path) -> list[Survey]:
    surveys = []
    for path in find_journals(directory):
        try:
            surveys.append(survey(path))
        except (TracklightError, OSError) as error:
            fail(str(error))
    if not surveys:
        out.print(f"No journals in {escape(short(directory.absolute()))}: everything was delivered.")
    return surveys
