"""Prints the tables and writes them as JSON, Markdown and a chart into `benchmarks/results/`."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import rich.box
from rich.console import Console
from rich.table import Table

from harness.machine import Machine

RESULTS = Path(__file__).resolve().parents[1] / "results"


@dataclass(frozen=True, slots=True)
class Aim:
    """A figure that was promised, and whether this run keeps it. ``measured`` is text with its unit."""

    promise: str
    measured: str
    met: bool

    @property
    def verdict(self) -> str:
        return "met" if self.met else "missed"


@dataclass(frozen=True, slots=True)
class Grid:
    """A table of text: the first column is left-aligned, the others right."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]

    def markdown(self) -> str:
        rules = ["---", *["---:"] * (len(self.columns) - 1)]
        lines = [" | ".join(cells) for cells in (self.columns, rules, *self.rows)]
        return f"**{self.title}**\n\n" + "\n".join(f"| {line} |" for line in lines)

    def show(self, console: Console) -> None:
        table = Table(title=self.title, title_justify="left", box=rich.box.SIMPLE_HEAD)
        for number, column in enumerate(self.columns):
            table.add_column(column, justify="right" if number else "left", overflow="fold")
        for row in self.rows:
            table.add_row(*row)
        console.print(table)


@dataclass(frozen=True, slots=True)
class Report:
    """What one script found: ``facts`` goes to the JSON file as it is, the rest is for readers."""

    name: str
    title: str
    machine: Machine
    method: Sequence[str]
    grids: Sequence[Grid]
    aims: Sequence[Aim]
    facts: Mapping[str, object]
    chart_svg: str = ""

    def show(self, console: Console) -> None:
        console.rule(self.title)
        for line in (*self.machine.lines(), *self.method):
            console.print(f"  {line}", style="dim", highlight=False)
        for grid in self.all_grids():
            grid.show(console)

    def save(self) -> None:
        RESULTS.mkdir(exist_ok=True)
        content = {
            "machine": asdict(self.machine),
            "method": list(self.method),
            "aims": [asdict(aim) for aim in self.aims],
            **self.facts,
        }
        (RESULTS / f"{self.name}.json").write_text(json.dumps(content, indent=1) + "\n")
        (RESULTS / f"{self.name}.md").write_text(self.markdown())
        if self.chart_svg:
            (RESULTS / f"{self.name}.svg").write_text(self.chart_svg)

    def markdown(self) -> str:
        parts = [f"# {self.title}", f"Written by `python benchmarks/{self.name}.py`; do not edit."]
        parts += ["\n".join(f"- {line}" for line in (*self.machine.lines(), *self.method))]
        parts += [f"![{self.title}]({self.name}.svg)"] * bool(self.chart_svg)
        parts += [grid.markdown() for grid in self.all_grids()]
        return "\n\n".join(parts) + "\n"

    def all_grids(self) -> list[Grid]:
        return [grid for grid in (*self.grids, self.aims_grid()) if grid.rows]

    def aims_grid(self) -> Grid:
        return Grid(
            "Aims", ("aim", "measured", ""), [(aim.promise, aim.measured, aim.verdict) for aim in self.aims]
        )


def format_us(microseconds: float | None) -> str:
    """A duration with three significant digits and the unit that suits it."""
    if microseconds is None:
        return "-"
    for unit, size in (("s", 1e6), ("ms", 1e3), ("µs", 1.0)):
        if microseconds >= size:
            number = microseconds / size
            return f"{number:.{2 if number < 10 else 1 if number < 100 else 0}f} {unit}"
    return f"{microseconds * 1e3:.0f} ns"
