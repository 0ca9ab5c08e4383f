"""Line charts: markers and error bars where points are few, bands where they are many."""

from __future__ import annotations

from itertools import pairwise
from math import isfinite
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, MaxNLocator, NullLocator, StrMethodFormatter
from matplotlib.transforms import ScaledTranslation

from emoprune.reporting.figures.style import (
    DASHES,
    HATCHES,
    STEPS,
    draw_levels,
    legend,
    reaches,
    series_look,
    set_upright,
    show_start,
    spoken,
)
from emoprune.reporting.types import Line, LineChart

MANY = 15
"""From this many points on, error bars and markers would overlap."""

ASIDE_PT, WIDEST_PT = 2.0, 12.0
"""The distance of neighboring lines, and of the outermost ones at most."""

PANEL_IN, AXIS_IN = 1.75, 0.4
SPREAD = 16
"""Above this ratio of the largest to the smallest x, even steps would crowd the small ones."""


def draw_lines(figure: Figure, chart: LineChart) -> None:
    """Draw the panels, one below the other, and one legend for all."""
    labels = list(dict.fromkeys(line.label for panel in chart.panels for line in panel.lines))
    parts = list(dict.fromkeys(line.part for panel in chart.panels for line in panel.lines))
    rows = figure.subplots(len(chart.panels), 1, sharex=True, squeeze=False)
    handles: dict[str, Line2D] = {}
    for panel, (axes,) in zip(chart.panels, rows, strict=True):
        set_upright(axes, panel.quantity, fraction=panel.fraction)
        for line in panel.lines:
            look = _look(line, labels, parts)
            place = labels.index(line.label) - (len(labels) - 1) / 2
            aside = min(ASIDE_PT, WIDEST_PT / len(labels)) * place
            hatch = HATCHES[panel.lines.index(line) % len(HATCHES)]
            _draw(axes, line, look, aside_pt=aside, hatch=hatch)
            name = f"{line.label}, {line.part}" if line.part else line.label
            handles[name] = Line2D([], [], **look)
        handles |= draw_levels(axes, panel.levels)
        if panel.fraction:
            show_start(axes)
    bottom = rows[-1][0]
    bottom.set_xlabel(spoken(chart.x))
    _set_ticks(bottom, sorted({x for panel in chart.panels for line in panel.lines for x in line.points}))
    if chart.falling:
        bottom.invert_xaxis()
    figure.align_ylabels()
    below = legend(figure, list(handles.values()), list(handles), note=chart.note)
    figure.set_figheight(PANEL_IN * len(chart.panels) + AXIS_IN + below)


def _look(line: Line, labels: list[str], parts: list[str]) -> dict[str, Any]:
    """Color and marker by label; dashes by part where there are parts, else by label as well."""
    index = labels.index(line.label)
    if len(parts) > 1 and line.part == "train":
        return {"color": series_look(index)["color"], "linestyle": DASHES[1]}
    return series_look(index, dashed=len(parts) < 2)


def _draw(axes: Axes, line: Line, look: dict[str, Any], *, aside_pt: float, hatch: str) -> None:
    """Draw a line, shifted sideways by `aside_pt` points of paper so that error bars do not overlap.

    A band has the hatch.
    """
    x, found = list(line.points), list(line.points.values())
    y = [entry.mean for entry in found]
    below, above = reaches(found)
    if len(x) < MANY:
        crowded = any(map(isfinite, above))
        aside = ScaledTranslation(aside_pt / 72 * crowded, 0, axes.figure.dpi_scale_trans)
        axes.errorbar(x, y, yerr=(below, above), elinewidth=0.8, transform=axes.transData + aside, **look)
        # matplotlib ignores what is drawn with an offset when it sets the axes' limits
        ends = [
            (place, end)
            for place, mean, down, up in zip(x, y, below, above, strict=True)
            for end in (mean - down, mean, mean + up)
        ]
        axes.update_datalim([end for end in ends if isfinite(end[1])])
        axes.autoscale_view()
        return
    axes.plot(x, y, markevery=max(1, len(x) // 8), **look)
    low = [entry.mean if entry.low is None else entry.low for entry in found]
    high = [entry.mean if entry.high is None else entry.high for entry in found]
    if low != high:
        band: Any = {"facecolor": look["color"], "alpha": 0.25, "linewidth": 0, "hatch": hatch}
        axes.fill_between(x, low, high, edgecolor=look["color"], **band)


def _set_ticks(axes: Axes, places: list[float]) -> None:
    """A tick at every x where they are few and apart, else a few round ones; a log scale where x doubles."""
    low, high, few = places[0], places[-1], len(places) <= 8
    wide = len(places) > 3 and low > 0 and high / low >= SPREAD
    if few and wide and all(after / before >= 1.4 for before, after in pairwise(places)):
        axes.set_xscale("log")
    elif not few or any(after - before < (high - low) / 10 for before, after in pairwise(places)):
        whole = all(place == round(place) for place in places)
        axes.xaxis.set_major_locator(MaxNLocator(6, steps=STEPS, integer=whole))
        return
    axes.xaxis.set_major_locator(FixedLocator(places))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
