"""A bar chart on a logarithmic scale, as SVG: one bar per row, a thin line on to a higher value."""

import io
from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib import rc_context
from matplotlib.figure import Figure

BAR, BEST, LINE = "#9fb3c8", "#0b7a75", "#52606d"


@dataclass(frozen=True, slots=True)
class Bar:
    """``high`` ends the thin line (p99 over a bar of p50). ``best`` is drawn in the stronger colour."""

    label: str
    value: float
    text: str
    high: float | None = None
    best: bool = False


def draw_bars(title: str, scale: str, bars: Sequence[Bar]) -> str:
    """The chart; ``scale`` says what the logarithmic axis counts. Values must be above zero."""
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "tracklight", "font.family": "sans-serif"}):
        figure = Figure(figsize=(9, 1.2 + 0.32 * len(bars)), layout="constrained")
        axes = figure.subplots()
        rows = range(len(bars))
        axes.barh(rows, [bar.value for bar in bars], color=[BEST if bar.best else BAR for bar in bars])
        for row, bar in zip(rows, bars, strict=True):
            end = bar.high or bar.value
            axes.plot([bar.value, end], [row, row], color=LINE, linewidth=1)
            axes.annotate(bar.text, (end, row), xytext=(5, 0), textcoords="offset points", va="center")
        axes.set_xscale("log")
        axes.set_xmargin(0.2)
        axes.set_yticks(rows, [bar.label for bar in bars])
        axes.invert_yaxis()
        axes.set_xlabel(scale)
        axes.set_title(title, loc="left")
        axes.spines[["top", "right"]].set_visible(False)
        drawn = io.StringIO()
        figure.savefig(drawn, format="svg", metadata={"Date": None})
    return drawn.getvalue()
