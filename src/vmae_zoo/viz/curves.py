"""Line charts as SVG, with lines that differ in color and dashes: they can be distinguished without color too."""

import math
from collections.abc import Mapping, Sequence
from xml.sax.saxutils import escape

from vmae_zoo.viz.run_data import Curve

# Okabe and Ito's colors, which the common kinds of color blindness keep apart
COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#000000", "#e69f00", "#56b4e9")
DASHES = ("", "7 3", "2 3", "9 3 2 3", "1 2", "12 4", "4 1")
WIDTH, HEIGHT, LEFT, TOP, BOTTOM = 560, 260, 62, 34, 40
MOST_POINTS = 400
BARS = "▁▂▃▄▅▆▇█"


def line_chart(title: str, curves: Mapping[str, Curve], styles: Sequence[str]) -> str:
    """An SVG element of one number over the steps.

    ``styles`` names all runs of the page, in the order of colors and dashes.
    """
    points = [point for curve in curves.values() for point in curve]
    last = max((step for step, _ in points), default=1) or 1
    low, high = value_range([value for _, value in points])
    inner_width, inner_height = WIDTH - LEFT - 14, HEIGHT - TOP - BOTTOM

    def place(step: int, value: float) -> tuple[float, float]:
        return LEFT + inner_width * step / last, TOP + inner_height * (high - value) / (high - low)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" '
        f'font-family="sans-serif" font-size="13" role="img" aria-label="{escape(title)}">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        f'<text x="{LEFT}" y="20" font-size="15">{escape(title)}</text>',
    ]
    for value in ticks(low, high):
        _, y = place(0, value)
        parts.append(f'<line x1="{LEFT}" x2="{WIDTH - 14}" y1="{y:.1f}" y2="{y:.1f}" stroke="#ddd"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{value:.4g}</text>')
    for step in ticks(0, last):
        x, _ = place(int(step), low)
        parts.append(f'<text x="{x:.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{step:.4g}</text>')
    parts.append(f'<text x="{WIDTH - 14}" y="{HEIGHT - 6}" text-anchor="end">steps</text>')
    for name, curve in curves.items():
        line = " ".join("{:.1f},{:.1f}".format(*place(*point)) for point in thinned(curve))
        parts.append(
            f'<polyline points="{line}" fill="none" stroke-width="2" {stroke(styles.index(name))}>'
            f"<title>{escape(name)}</title></polyline>"
        )
        if len(curve) == 1:
            x, y = place(*curve[0])
            parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{COLORS[styles.index(name) % len(COLORS)]}"/>')
    return "\n".join([*parts, "</svg>"])


def legend(names: Sequence[str]) -> str:
    """An SVG element with the line of each run and its name."""
    rows = [
        f'<line x1="4" x2="54" y1="{22 * place + 11}" y2="{22 * place + 11}" stroke-width="3" {stroke(place)}/>'
        f'<text x="64" y="{22 * place + 16}">{escape(name)}</text>'
        for place, name in enumerate(names)
    ]
    size = f'viewBox="0 0 {WIDTH} {22 * len(names)}" width="{WIDTH}" height="{22 * len(names)}"'
    return "\n".join(
        [f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="14">', *rows, "</svg>"]
    )


def charts(names: Sequence[str], rows: Mapping[str, Mapping[str, Curve]]) -> str:
    """One SVG picture: the legend, and a chart below it for each number (title -> run -> curve)."""
    head = 22 * len(names) + 10
    size = f'width="{WIDTH}" height="{head + HEIGHT * len(rows)}"'
    moved = [
        f'<g transform="translate(0 {head + HEIGHT * place})">{line_chart(title, curves, names)}</g>'
        for place, (title, curves) in enumerate(rows.items())
    ]
    background = '<rect width="100%" height="100%" fill="white"/>'
    return "\n".join(
        [f'<svg xmlns="http://www.w3.org/2000/svg" {size}>', background, legend(names), *moved, "</svg>", ""]
    )


def stroke(place: int) -> str:
    """SVG attributes of the line of the run at this place."""
    return f'stroke="{COLORS[place % len(COLORS)]}" stroke-dasharray="{DASHES[place % len(DASHES)]}"'


def value_range(values: Sequence[float]) -> tuple[float, float]:
    """Bounds of the vertical axis, with a margin."""
    if not values:
        return 0.0, 1.0
    low, high = min(values), max(values)
    room = 0.05 * (high - low) or 0.05 * abs(high) or 0.5
    return low - room, high + room


def ticks(low: float, high: float, wanted: int = 5) -> list[float]:
    """Round numbers between two bounds."""
    rough = (high - low) / wanted
    step = 10.0 ** math.floor(math.log10(rough))
    step *= next(factor for factor in (1, 2, 5, 10) if factor * step >= rough)
    first = math.ceil(low / step)
    return [round(number * step, 12) for number in range(first, math.floor(high / step + 1e-9) + 1)]


def thinned(curve: Curve) -> Curve:
    """At most `MOST_POINTS` points of a curve, with the first and the last."""
    if len(curve) <= MOST_POINTS:
        return curve
    return [curve[round(place * (len(curve) - 1) / (MOST_POINTS - 1))] for place in range(MOST_POINTS)]


def sparkline(curve: Curve, columns: int = 20) -> str:
    """A curve as one line of text."""
    values = (
        [curve[round(place * (len(curve) - 1) / max(columns - 1, 1))][1] for place in range(columns)] if curve else []
    )
    low, high = min(values, default=0.0), max(values, default=1.0)
    return "".join(BARS[round((value - low) / ((high - low) or 1) * (len(BARS) - 1))] for value in values)
