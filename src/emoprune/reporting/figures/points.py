"""Networks as points over what they cost: lines by method, the front of those that none beats."""

from __future__ import annotations

from math import log2
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import (
    EngFormatter,
    FixedLocator,
    LogLocator,
    MaxNLocator,
    NullLocator,
    StrMethodFormatter,
)

from emoprune.reporting.figures.style import (
    GRAY,
    STEPS,
    draw_levels,
    legend,
    percent,
    reaches,
    series_look,
    set_upright,
    show_start,
)
from emoprune.reporting.types import PointChart, Series

PANEL_IN, AXIS_IN = 2.0, 0.4
DOUBLING = 8
"""From this ratio of the largest to the smallest cost on, each doubling takes the same space."""
CROWDED = 15
"""Points of a method beyond which a line through them is a scrawl."""


def draw_points(figure: Figure, chart: PointChart) -> None:
    """Draw each series with its own marker, filled on the front, then the front as steps."""
    axes = figure.subplots()
    set_upright(axes, chart.quantity, fraction=chart.fraction)
    handles: dict[str, Any] = {}
    methods = [each for each in chart.series if each.role == "method"]
    for each in chart.series:
        if each.role != "other":
            look = _look(each, methods.index(each) if each in methods else 0)
            handles[each.label] = _draw(axes, each, look, chart)
    others = [point for each in chart.series if each.role == "other" for point in each.points]
    small: Any = {"marker": ".", "linestyle": "none", "color": GRAY, "markersize": 3, "zorder": 1}
    if others:
        axes.plot([point.x for point in others], [point.y.mean for point in others], **small)
    if chart.front:
        handles["front"] = _draw_front(axes, chart)
    handles |= draw_levels(axes, chart.levels)
    axes.set_xlabel(chart.axis)
    _set_ticks(axes, chart)
    if chart.fraction:
        show_start(axes)
    note = f"front (filled): {chart.front}" if chart.front else ""
    note = "; ".join(filter(None, (note, chart.note)))
    below = legend(figure, list(handles.values()), list(handles), note=note)
    figure.set_figheight(PANEL_IN + AXIS_IN + below)


def _look(series: Series, index: int) -> dict[str, Any]:
    if series.role == "whole":
        return {"color": "black", "marker": "*", "markersize": 8, "linestyle": "none"}
    return {**series_look(index), "linewidth": 0.9}


def _draw(axes: Axes, series: Series, look: dict[str, Any], chart: PointChart) -> Line2D:
    """Draw a series; its handle for the legend."""
    joined = chart.joined and series.role == "method" and 1 < len(series.points) <= CROWDED
    look = look if joined else {**look, "linestyle": "none"}
    x = [point.x for point in series.points]
    y = [point.y.mean for point in series.points]
    if joined:
        axes.plot(x, y, **{**look, "marker": ""})
    if len(series.points) <= CROWDED:
        bars = {"fmt": "none", "ecolor": look["color"], "elinewidth": 0.6, "capsize": 1.5, "alpha": 0.55}
        axes.errorbar(x, y, yerr=reaches([point.y for point in series.points]), **bars)
    for on_front in (False, True):
        there = [point for point in series.points if point.on_front == on_front]
        face = look["color"] if on_front or not chart.front else "white"
        marks = {**look, "linestyle": "none", "markerfacecolor": face, "zorder": 3}
        if there:
            axes.plot([point.x for point in there], [point.y.mean for point in there], **marks)
    # of a method some points are filled, and others are not
    hollow = chart.front and not (series.role == "whole" and any(point.on_front for point in series.points))
    return Line2D([], [], **{**look, "markerfacecolor": "white" if hollow else look["color"]})


def _draw_front(axes: Axes, chart: PointChart) -> Line2D:
    """Draw the steps of the front: the best that there is for each cost."""
    front = sorted(
        (point.x, point.y.mean) for each in chart.series for point in each.points if point.on_front
    )
    look: dict[str, Any] = {"color": "#777777", "linewidth": 0.8, "zorder": 1.5}
    axes.plot([x for x, _ in front], [y for _, y in front], drawstyle="steps-post", **look)
    return Line2D([], [], **look, marker="o", markerfacecolor="#777777")


def _set_ticks(axes: Axes, chart: PointChart) -> None:
    places = [point.x for each in chart.series for point in each.points]
    low, high = min(places), max(places)
    if low > 0 and high / low >= DOUBLING:
        axes.set_xscale("log")
        if chart.x_fraction and high <= 1.5:
            powers = range(0, int(log2(low)) - 2, -1)
            axes.xaxis.set_major_locator(FixedLocator([2.0**power for power in powers]))
        else:
            axes.xaxis.set_major_locator(LogLocator(10, subs=(1, 2, 5)))
        axes.xaxis.set_minor_locator(NullLocator())
        # a margin of the logarithms
        reach = (high / low) ** 0.06
        axes.set_xlim(low / reach, high * reach)
    else:
        axes.xaxis.set_major_locator(MaxNLocator(6, steps=STEPS))
    counts = EngFormatter(sep="") if high >= 1000 else StrMethodFormatter("{x:g}")
    axes.xaxis.set_major_formatter(percent if chart.x_fraction else counts)
