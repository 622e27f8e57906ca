"""``tracklight sync``: send what journals hold to their servers."""

from __future__ import annotations

from pathlib import Path

import typer
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from tracklight.cli.screen import err, fail, out, short
from tracklight.errors import JournalBusyError, TracklightError
from tracklight.journal.drain import Drained, drain_journal
from tracklight.journal.survey import Survey, find_journals, survey
from tracklight.settings import Settings
from tracklight.tracking.destinations import Destinations


def sync(
    directory: Path = typer.Argument(
        Path(), help="A project, its .tracklight folder, or one journal.", show_default="this folder"
    ),
    to: str | None = typer.Option(None, help="Send there, instead of where the journals say.", metavar="URI"),
    keep: bool = typer.Option(False, help="Keep the journals, to send them again elsewhere."),
    wait: bool = typer.Option(False, help="Wait for a server that does not answer, instead of giving up."),
) -> None:
    """Send what is left in journals to the server. Safe to repeat: nothing arrives twice.

    Journals of live processes are passed over: those deliver themselves. Exit code 0: nothing is left.
    """
    journals = find_journals(directory)
    if not journals:
        out.print(f"No journals in {escape(short(directory.absolute()))}: everything was delivered.")
        return
    destinations = Destinations(Settings.load(directory), [to] if to else [])
    results = [
        _sync_one(path, destinations, destinations.names[0] if to else None, keep, wait) for path in journals
    ]
    if not all(results):
        raise typer.Exit(1)


def _sync_one(path: Path, destinations: Destinations, to: str | None, keep: bool, wait: bool) -> bool:
    try:
        found = survey(path)
        if found.is_owned:
            out.print(f"{path.name}: passed over, process {found.info.pid} on {found.info.host} delivers it.")
            return True
        if found.is_finished and to is None:
            out.print(f"{path.name}: everything was sent; {_refused(found)}")
            return True
        drained = _drain_with_bar(found, destinations, to, keep, wait)
    except JournalBusyError as error:
        out.print(f"{path.name}: {escape(str(error))}")
        return True
    except (TracklightError, OSError) as error:
        fail(f"{path.name}: {error}")
        return False
    for result in drained:
        _report(path, result)
    return all(result.is_complete for result in drained)


def _drain_with_bar(
    found: Survey, destinations: Destinations, to: str | None, keep: bool, wait: bool
) -> list[Drained]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=err, transient=True) as progress:
        task = progress.add_task(found.path.name, total=found.next_sequence - 1)
        return drain_journal(
            found.path,
            destinations.open_client,
            to=to,
            keep=keep,
            while_reachable=not wait,
            on_progress=lambda next_sequence: progress.update(task, completed=next_sequence - 1),
        )


def _report(path: Path, result: Drained) -> None:
    where = escape(result.destination)
    losses = [
        f"{count:,} {what}"
        for count, what in ((result.refused, "values refused"), (result.damaged, "records damaged"))
        if count
    ]
    tail = f" ({', '.join(losses)}: see tracklight journal show {escape(short(path))})" if losses else ""
    if result.is_complete:
        out.print(f"[green]sent[/] {path.name}: {result.records:,} records to {where}{tail}", soft_wrap=True)
    else:
        out.print(
            f"[yellow]left[/] {path.name}: {result.records:,} records sent to {where}, the rest waits{tail}"
        )
        fail(result.last_error or "The server does not answer.")


def _refused(found: Survey) -> str:
    return (
        f"{len(found.refusals):,} refused values are kept, see: tracklight journal show {short(found.path)}"
    )
