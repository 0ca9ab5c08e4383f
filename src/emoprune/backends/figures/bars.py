"""Grouped bars with error bars, hatched apart."""

from __future__ import annotations

from matplotlib.figure import Figure

from emoprune.backends.figures.looks import (
    HATCHES,
    LETTERS,
    LINE_IN,
    colour,
    legend,
    percent,
    reaches,
    set_height,
    wrapped,
)
from emoprune.records import BarChart

BASE_IN = 2.1
GROUP = 0.8
"""The share of a category's place that its bars take."""


def draw_bars(figure: Figure, chart: BarChart) -> None:
    """Draw a group of bars per category, and a legend of the series."""
    axes = figure.subplots()
    axes.grid(axis="y")
    axes.set_ylabel(chart.quantity)
    percent(axes)
    width = GROUP / len(chart.series)
    handles = []
    for index, (name, row) in enumerate(zip(chart.series, chart.bars, strict=True)):
        there = [(place, bar) for place, bar in enumerate(row) if bar is not None]
        x = [place + (index - (len(chart.series) - 1) / 2) * width for place, _ in there]
        drawn = axes.bar(
            x,
            [bar.mean for _, bar in there],
            width * 0.94,
            yerr=reaches([bar for _, bar in there]),
            label=name,
            color=colour(index),
            hatch=HATCHES[index % len(HATCHES)],
            edgecolor="white",
            linewidth=0,
            error_kw={"elinewidth": 0.8, "capsize": 2},
        )
        handles.append(drawn)
    axes.set_ylim(bottom=0)
    height = BASE_IN + _name_categories(figure, chart)
    set_height(figure, height + legend(figure, handles, chart.series))


def _name_categories(figure: Figure, chart: BarChart) -> float:
    """Names under the groups, in lines or, where they are many or long, slanted; their height in inches."""
    (axes,) = figure.axes
    axes.set_xlabel(chart.x)
    room = int(LETTERS * 0.8 / len(chart.categories))
    names = [wrapped(name, room) for name in chart.categories]
    fits = all(len(line) <= room for name in names for line in name.split("\n"))
    places = range(len(chart.categories))
    if fits and max(name.count("\n") for name in names) < 4:
        axes.set_xticks(places, names)
        return LINE_IN * max(name.count("\n") + 1 for name in names)
    names = [wrapped(name, 24) for name in chart.categories]
    axes.set_xticks(places, names, rotation=40, ha="right", rotation_mode="anchor")
    return 0.06 * max(len(line) for name in names for line in name.split("\n")) * 0.65 + LINE_IN
