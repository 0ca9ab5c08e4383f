"""Confusion matrices: colors are fractions of the actual class, numbers are counts."""

from __future__ import annotations

from matplotlib.figure import Figure

from emoprune.io.visible_text import visible
from emoprune.reporting.figures.style import LETTERS, LINE_IN, percent, wrapped
from emoprune.reporting.types import HeatChart

DARK = 0.715
"""Above this fraction white numbers are easier to read than black ones; here both have a contrast of 4.6."""

SIDE_IN = 2.75
NAME = 24
"""Letters of a class beside the matrix, which longer ones would leave no room."""


def draw_heat(figure: Figure, chart: HeatChart) -> None:
    """Draw the matrix with the first actual class at the top; colors are fractions of each row."""
    axes = figure.subplots()
    names = [visible(name, most=NAME) for name in chart.classes]
    fractions = [[count / (sum(row) or 1) for count in row] for row in chart.counts]
    # cells are shapes: an image inside an SVG blurs when enlarged
    mesh = axes.pcolormesh(fractions, vmin=0, vmax=1, cmap="Blues", edgecolors="white", linewidth=0.5)
    letters = len(chart.classes) * len(str(max(map(max, chart.counts))))
    size = 7 if letters <= 28 else 5
    for down, row in enumerate(chart.counts):
        for across, count in enumerate(row):
            ink = "white" if fractions[down][across] > DARK else "black"
            axes.text(across + 0.5, down + 0.5, str(count), ha="center", va="center", color=ink, size=size)
    middles = [index + 0.5 for index in range(len(names))]
    axes.set_xticks(middles, names)
    if len(names) * (max(map(len, names)) + 1) > LETTERS * 0.7:
        axes.tick_params(axis="x", labelrotation=40)
        for text in axes.get_xticklabels():
            text.set(ha="right", rotation_mode="anchor")
    axes.set_yticks(middles, names)
    axes.tick_params(length=0)
    axes.invert_yaxis()
    axes.spines[:].set_visible(False)
    title = wrapped(chart.label, 44)
    axes.set(aspect="equal", title=title, xlabel="predicted", ylabel="actual")
    bar = figure.colorbar(mesh, ax=axes, fraction=0.05, pad=0.02, format=percent)
    bar.outline.set_visible(False)
    bar.set_label("share of the actual class")
    figure.set_figheight(SIDE_IN + LINE_IN * (title.count("\n") + 1))
