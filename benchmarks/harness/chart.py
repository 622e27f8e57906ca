"""A bar chart on a logarithmic scale, as SVG text: one bar per row, a thin line on to a higher value."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

ROW_HEIGHT = 26
LEFT, WIDTH, TOP = 210, 460, 52
INK, BAR, BEST, LINE, GRID = "#1f2933", "#9fb3c8", "#0b7a75", "#52606d", "#e4e7eb"


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
    highest = max(max(bar.value, bar.high or 0) for bar in bars)
    first = math.floor(math.log10(min(bar.value for bar in bars)) - 0.15)
    last = math.ceil(math.log10(highest))
    bottom = TOP + ROW_HEIGHT * len(bars)

    def across(value: float) -> float:
        return LEFT + WIDTH * (math.log10(value) - first) / max(1, last - first)

    size = f'viewBox="0 0 {LEFT + WIDTH + 150} {bottom + 34}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="13" fill="{INK}">',
        '<rect width="100%" height="100%" fill="white"/>',
        f'<text x="12" y="20" font-size="15" font-weight="600">{escape(title)}</text>',
        f'<text x="12" y="38" fill="{LINE}">{escape(scale)}</text>',
    ]
    for power in range(first, last + 1):
        x = across(10.0**power)
        label = f"{10**power:,}" if power >= 0 else f"{10.0**power:g}"
        parts.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{bottom}" stroke="{GRID}"/>')
        parts.append(f'<text x="{x:.1f}" y="{bottom + 18}" text-anchor="middle" fill="{LINE}">{label}</text>')
    for number, bar in enumerate(bars):
        parts += draw_bar(bar, TOP + ROW_HEIGHT * number, across(bar.value), across(bar.high or bar.value))
    return "\n".join([*parts, "</svg>\n"])


def draw_bar(bar: Bar, y: float, end: float, high_end: float) -> list[str]:
    middle = y + ROW_HEIGHT / 2
    size = f'width="{end - LEFT:.1f}" height="{ROW_HEIGHT - 10}"'
    parts = [
        f'<text x="{LEFT - 8}" y="{middle + 4}" text-anchor="end">{escape(bar.label)}</text>',
        f'<rect x="{LEFT}" y="{y + 5}" {size} fill="{BEST if bar.best else BAR}"/>',
        f'<text x="{high_end + 7:.1f}" y="{middle + 4}">{escape(bar.text)}</text>',
    ]
    if high_end > end:
        line = f'x1="{end:.1f}" x2="{high_end:.1f}" y1="{middle}" y2="{middle}"'
        parts.append(f'<line {line} stroke="{LINE}" stroke-width="1.5"/>')
    return parts
