"""What every command prints with: tables on the standard output, messages on the standard error."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.markup import escape

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)


def fail(message: str) -> None:
    """Print why the command did not do what was asked."""
    err.print(f"[bold red]error[/] {escape(message)}", soft_wrap=True)


def date_time(timestamp_ms: int | None) -> str:
    """Return a time as people read it, in the local time zone, today's without the date; empty for none."""
    if not timestamp_ms:
        return ""
    local = datetime.fromtimestamp(timestamp_ms / 1000, UTC).astimezone()
    is_today = local.date() == datetime.now(local.tzinfo).date()
    return local.strftime("%H:%M:%S" if is_today else "%Y-%m-%d %H:%M")


def duration(seconds: float | None) -> str:
    """Return a duration as people read it; empty where there is none."""
    if seconds is None:
        return ""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s"


def size(size_bytes: int) -> str:
    """Return a size as people read it, in units of 1000."""
    amount = float(size_bytes)
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 1000:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:.1f} TB"


def short(path: Path) -> str:
    """Return a path as short as it can be typed from here."""
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)
