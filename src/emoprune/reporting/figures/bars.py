"""Grouped bars with error bars, distinguished by hatches."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.container import BarContainer
from matplotlib.figure import Figure

from emoprune.reporting.figures.style import (
    COLORS,
    FULL,
    HATCHES,
    LETTERS,
    LINE_IN,
    legend,
    reaches,
    set_upright,
    wrapped,
)
from emoprune.reporting.types import BarChart

ROW_IN, AXIS_IN = 1.75, 0.25
ABREAST = 24
"""Most bars side by side; more are drawn in further rows."""

GROUP = 0.8
"""The fraction of a category's width that its bars take."""


def draw_bars(figure: Figure, chart: BarChart) -> None:
    """Draw a group of bars per category, in rows where they are many, and a legend of the series."""
    rows = -(-len(chart.categories) * len(chart.series) // ABREAST)
    each = -(-len(chart.categories) // rows)
    starts = range(0, len(chart.categories), each)
    stacked = figure.subplots(len(starts), 1, sharey=True, squeeze=False)
    height, handles = 0.0, []
    for (axes,), start in zip(stacked, starts, strict=True):
        set_upright(axes, chart.quantity, fraction=True)
        handles = _draw_row(axes, chart, slice(start, start + each))
        axes.set_xlim(-0.5, each - 0.5)
        height += ROW_IN + _name(axes, chart.categories[start : start + each], each)
    axes.set_ylim(0, min(axes.get_ylim()[1], FULL))
    axes.set_xlabel(chart.x)
    figure.set_figheight(height + AXIS_IN + legend(figure, handles, chart.series, note=chart.note))


def _draw_row(axes: Axes, chart: BarChart, chosen: slice) -> list[BarContainer]:
    width = GROUP / len(chart.series)
    drawn = []
    for index, row in enumerate(chart.bars):
        there = [(place, bar) for place, bar in enumerate(row[chosen]) if bar is not None]
        bars = axes.bar(
            [place + (index - (len(chart.series) - 1) / 2) * width for place, _ in there],
            [bar.mean for _, bar in there],
            width * 0.94,
            yerr=reaches([bar for _, bar in there]),
            color=COLORS[index % len(COLORS)],
            hatch=HATCHES[index % len(HATCHES)],
            edgecolor="white",
            linewidth=0,
            error_kw={"elinewidth": 0.7, "capsize": 1.5},
        )
        drawn.append(bars)
    return drawn


def _name(axes: Axes, categories: tuple[str, ...], each: int) -> float:
    """Write names below the groups, in lines or, where they are too long, slanted; their height in inches."""
    room = int(LETTERS * 0.8 / each)
    names = [wrapped(name, room, cut=False) for name in categories]
    lines = [line for name in names for line in name.split("\n")]
    tallest = max(name.count("\n") + 1 for name in names)
    if max(map(len, lines)) <= room and tallest <= 3:
        axes.set_xticks(range(len(names)), names)
        return LINE_IN * tallest
    names = [wrapped(name, 24) for name in categories]
    axes.set_xticks(range(len(names)), names, rotation=40, ha="right", rotation_mode="anchor")
    longest = max(len(line) for name in names for line in name.split("\n"))
    return 0.04 * longest + LINE_IN
