"""Angles between the units of a layer: how many pairs have which, and those of a small layer one by one."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import EngFormatter, FixedLocator, MaxNLocator

from emoprune.reporting.figures.style import COLORS, GRAY, LETTERS, LINE_IN, legend, wrapped
from emoprune.reporting.types import AngleChart

BARS_IN, MATRIX_IN, AXIS_IN = 1.6, 2.5, 0.3
TICKS = (0, 30, 60, 90, 120, 150, 180)


def draw_angles(figure: Figure, chart: AngleChart) -> None:
    """Draw the histogram with both thresholds and, where all angles are known, the matrix below."""
    parts = [BARS_IN] if chart.angles is None else [BARS_IN, MATRIX_IN]
    rows = figure.subplots(len(parts), 1, squeeze=False, height_ratios=parts)
    handles = _draw_bars(rows[0][0], chart)
    if chart.angles is not None:
        _draw_matrix(figure, rows[1][0], chart.angles)
    title = wrapped(f"{chart.label}: {sum(chart.counts):,} pairs of units", LETTERS - 10)
    figure.suptitle(title, size=8)
    height = legend(figure, list(handles.values()), list(handles), note=chart.note)
    lines = title.count("\n") + 1
    figure.set_figheight(sum(parts) + AXIS_IN * len(parts) + LINE_IN * lines + height)


def _draw_bars(axes: Axes, chart: AngleChart) -> dict[str, Any]:
    starts = [place * chart.width for place in range(len(chart.counts))]
    fills = {"similar": ("", COLORS[0]), "in between": ("", GRAY), "complementary": ("xxxx", COLORS[1])}
    # a bin that a threshold divides is in between
    kinds = [
        "similar"
        if start + chart.width <= chart.below
        else "complementary"
        if start >= chart.above
        else "in between"
        for start in starts
    ]
    handles: dict[str, Any] = {}
    for kind, (hatch, color) in fills.items():
        look: dict[str, Any] = {"facecolor": color, "hatch": hatch, "edgecolor": "white", "linewidth": 0.2}
        there = [place for place, found in enumerate(kinds) if found == kind]
        axes.bar(
            [starts[place] for place in there],
            [chart.counts[place] for place in there],
            chart.width,
            align="edge",
            **look,
        )
        handles[kind] = Patch(**look)
    mark: dict[str, Any] = {"color": "black", "linewidth": 0.8, "linestyle": (0, (4, 2))}
    for place in (chart.below, chart.above):
        axes.axvline(place, **mark)
    handles[f"thresholds: {chart.below:g} and {chart.above:g}"] = Line2D([], [], **mark)
    axes.set_xlim(0, 180)
    axes.xaxis.set_major_locator(FixedLocator(TICKS))
    axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.yaxis.set_major_formatter(EngFormatter(sep=""))
    axes.grid(axis="y")
    degrees = "degree" if chart.width == 1 else f"{chart.width} degrees"
    axes.set(xlabel="angle (degrees)", ylabel=f"pairs by {degrees}")
    return handles


def _draw_matrix(figure: Figure, axes: Axes, angles: tuple[tuple[float | None, ...], ...]) -> None:
    """Draw a cell for each two units, dark where they are similar, light where they are complementary."""
    values = np.array([[np.nan if value is None else value for value in row] for row in angles])
    mesh = axes.pcolormesh(values, vmin=0, vmax=180, cmap="cividis", edgecolors="white", linewidth=0.2)
    axes.invert_yaxis()
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    step = max(1, -(-len(angles) // 8))
    places = range(0, len(angles), step)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_ticks([place + 0.5 for place in places], [str(place) for place in places])
    blank = " (blank: has no angle)" if np.isnan(values).any() else ""
    axes.set(aspect="equal", xlabel=f"unit{blank}", ylabel="unit")
    bar = figure.colorbar(mesh, cax=axes.inset_axes((1.03, 0, 0.05, 1)), ticks=FixedLocator(TICKS))
    bar.outline.set_visible(False)
    bar.set_label("angle (degrees)")
