"""Line charts as plain text, for a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import fmean

from emoprune.evaluation.confidence import by_key
from emoprune.reporting.types import Line, LineChart, Panel

WIDTH, HEIGHT = 60, 10
"""Characters of the area in which lines are drawn."""
BOTH = "*"


def to_lines(chart: LineChart) -> Iterator[str]:
    """The panels of a chart, one below the other; each line is marked by the first letter of its part.

    Values of neighbors that share a column are drawn as their mean.
    """
    for panel in chart.panels:
        yield from _panel(panel, chart.x)


def _panel(panel: Panel, x: str) -> Iterator[str]:
    drawn = {_name(line): {at: point.mean for at, point in line.points.items()} for line in panel.lines}
    places = sorted(at for points in drawn.values() for at in points)
    values = [value for points in drawn.values() for value in points.values()]
    left, right, low, high = places[0], places[-1], min(values), max(values)
    rows = [[" "] * WIDTH for _ in range(HEIGHT)]
    for name, points in drawn.items():
        columns = by_key((_scaled(at, left, right, WIDTH), value) for at, value in points.items())
        for column, found in columns.items():
            row = rows[HEIGHT - 1 - _scaled(fmean(found), low, high, HEIGHT)]
            row[column] = name[0] if row[column] == " " else BOTH
    ends = [f"{value:.1%}" if panel.fraction else f"{value:.3g}" for value in (high, low)]
    wide = max(map(len, ends))
    marks = ", ".join(
        [*(f"{name[0]} {name}" for name in drawn), *([f"{BOTH} both"] if len(drawn) > 1 else [])]
    )
    yield f"{panel.quantity} by {x}: {marks}"
    for number, row in enumerate(rows):
        end = {0: ends[0], HEIGHT - 1: ends[1]}.get(number, "")
        yield f"{end:>{wide}} |{''.join(row)}".rstrip()
    yield f"{'':>{wide}} +{'-' * WIDTH}"
    yield f"{'':>{wide}}  {f'{left:g}':<{WIDTH // 2}}{f'{right:g}':>{WIDTH - WIDTH // 2}}"


def _name(line: Line) -> str:
    return line.part or line.label


def _scaled(value: float, low: float, high: float, steps: int) -> int:
    """Which of so many steps from `low` to `high` is nearest."""
    return round((value - low) / (high - low) * (steps - 1)) if high > low else 0
