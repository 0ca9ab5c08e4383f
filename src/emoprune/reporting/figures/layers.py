"""Layers as rows: what stays of their units, and what is removed."""

from __future__ import annotations

from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from emoprune.reporting.figures.style import COLORS, LETTERS, LINE_IN, legend, wrapped
from emoprune.reporting.types import LayerChart

ROW_IN, AXIS_IN = 0.16, 0.45
NAME = 26
"""Letters of a layer beside its bar."""


def draw_layers(figure: Figure, chart: LayerChart) -> None:
    """Draw a bar for each layer, the first at the top: what stays is solid, what goes is hatched."""
    axes = figure.subplots()
    rows = range(len(chart.layers))
    removed = [before - after for before, after in zip(chart.before, chart.after, strict=True)]
    axes.barh(rows, chart.after, 0.72, color=COLORS[0], linewidth=0)
    axes.barh(
        rows,
        removed,
        0.72,
        left=chart.after,
        color="white",
        edgecolor=COLORS[1],
        hatch="//////",
        linewidth=0.6,
    )
    widest = max(chart.before)
    for row, before, after in zip(rows, chart.before, chart.after, strict=True):
        text = f"{before:,} > {after:,}" if after < before else f"{before:,}"
        axes.text(before + widest * 0.015, row, text, va="center", size=6)
    # the numbers of the longest bar stand beside it
    longest = len(f"{widest:,} > {widest:,}")
    axes.set_xlim(0, widest * (1 + 0.033 * longest))
    axes.set_ylim(len(chart.layers) - 0.4, -0.6)
    axes.set_yticks(rows, [_end(name) for name in chart.layers])
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x")
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.set_xlabel("units")
    title = wrapped(chart.label, LETTERS - 10)
    figure.suptitle(title, size=8)
    handles = [Patch(color=COLORS[0]), Patch(facecolor="white", edgecolor=COLORS[1], hatch="//////")]
    height = legend(figure, handles, ["kept", "removed"])
    lines = title.count("\n") + 1
    figure.set_figheight(AXIS_IN + ROW_IN * (len(chart.layers) + 1) + LINE_IN * lines + height)


def _end(name: str) -> str:
    """The end of a long name, which tells layers apart."""
    return name if len(name) <= NAME else f"...{name[3 - NAME :]}"
