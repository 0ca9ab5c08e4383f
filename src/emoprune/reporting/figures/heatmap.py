"""Confusion matrices and their change: colors are fractions of the actual class, numbers are counts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.figure import Figure

from emoprune.io.visible_text import visible
from emoprune.reporting.figures.style import LETTERS, LINE_IN, percent, wrapped
from emoprune.reporting.types import ChangeChart, HeatChart

DARK = 0.715
"""Above this fraction white numbers are easier to read than black ones; here both have a contrast of 4.6."""

SIDE_IN, WIDE_SIDE_IN = 2.75, 2.1
TITLE = 22
"""Letters above a matrix beside others."""
LEAST_REACH = 0.1
"""The end of the colors of a change, at least: little changes are to look little."""
NAME, SHORT_NAME = 18, 13
"""Letters of a class beside a matrix, and beside one of three, which longer ones would leave no room."""
LARGE, SMALL = 7, 5
"""Sizes of the numbers in cells."""
ACROSS, ACROSS_OF_THREE = 28, 18
"""Large letters that fit across a matrix, and across one of three."""


def draw_heat(figure: Figure, chart: HeatChart) -> None:
    """Draw the matrix with the first actual class at the top; colors are fractions of each row."""
    axes = figure.subplots()
    mesh = _draw_counts(axes, [visible(name, most=NAME) for name in chart.classes], chart.counts)
    title = wrapped(chart.label, 44)
    axes.set(title=title, ylabel="actual")
    _set_bar(figure, mesh, axes, "share of the actual class", percent)
    figure.set_figheight(SIDE_IN + LINE_IN * (title.count("\n") + 1))


def draw_change(figure: Figure, chart: ChangeChart) -> None:
    """Draw the matrices before and after, and what changed; brown is less, green is more."""
    first, second, third = figure.subplots(1, 3)
    names = [visible(name, most=SHORT_NAME) for name in chart.classes]
    _draw_counts(first, names, chart.before, room=ACROSS_OF_THREE)
    mesh = _draw_counts(second, names, chart.after, room=ACROSS_OF_THREE)
    rows = [*zip(chart.before, chart.after, strict=True)]
    changes = [[after - before for before, after in zip(*row, strict=True)] for row in rows]
    shares = [
        [change / (sum(before) or 1) for change in line]
        for line, (before, _) in zip(changes, rows, strict=True)
    ]
    texts = [[_with_sign(f"{change:+d}") if change else "" for change in line] for line in changes]
    most = max(LEAST_REACH, *(abs(share) for line in shares for share in line))
    difference = _draw_matrix(third, names, shares, texts, colors=("BrBG", -most, most), room=ACROSS_OF_THREE)
    titles = [wrapped(label, TITLE) for label in (*chart.labels, "change")]
    for axes, title in zip((first, second, third), titles, strict=True):
        axes.set_title(title)
    first.set_ylabel("actual")
    for axes in (second, third):
        axes.set_yticklabels([])
    _set_bar(figure, mesh, second, "share of the actual class", percent)
    _set_bar(figure, difference, third, "change of the share", _signed)
    figure.set_figheight(WIDE_SIDE_IN + LINE_IN * max(title.count("\n") + 1 for title in titles))


def _draw_counts(
    axes: Axes, names: Sequence[str], counts: Sequence[Sequence[int]], *, room: int = ACROSS
) -> QuadMesh:
    """Draw counts; colors are fractions of each row."""
    fractions = [[count / (sum(row) or 1) for count in row] for row in counts]
    texts = [[str(count) for count in row] for row in counts]
    return _draw_matrix(axes, names, fractions, texts, colors=("Blues", 0, 1), room=room)


def _draw_matrix(
    axes: Axes,
    names: Sequence[str],
    values: Sequence[Sequence[float]],
    texts: Sequence[Sequence[str]],
    *,
    colors: tuple[str, float, float],
    room: int,
) -> QuadMesh:
    """Draw a cell for each value, its color from a map between two ends, with a text in it.

    There is room for so many large letters across.
    """
    colormap, low, high = colors
    # cells are shapes: an image inside an SVG blurs when enlarged
    mesh = axes.pcolormesh(values, vmin=low, vmax=high, cmap=colormap, edgecolors="white", linewidth=0.5)
    letters = len(names) * max(len(text) for row in texts for text in row)
    size = LARGE if letters <= room else SMALL
    for down, row in enumerate(values):
        for across, value in enumerate(row):
            ink = "white" if abs(value) > DARK * high else "black"
            cell: Any = {"ha": "center", "va": "center", "color": ink, "size": size}
            axes.text(across + 0.5, down + 0.5, texts[down][across], **cell)
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
    axes.set(aspect="equal", xlabel="predicted")
    return mesh


def _set_bar(figure: Figure, mesh: QuadMesh, axes: Axes, label: str, form: Any) -> None:
    """Draw the colors beside the axes, as high as these."""
    bar = figure.colorbar(mesh, cax=axes.inset_axes((1.04, 0, 0.05, 1)), format=form)
    bar.outline.set_visible(False)
    bar.set_label(label)


def _signed(fraction: float, _: object = None) -> str:
    return _with_sign(f"{100 * fraction:+.0f} pt") if round(100 * fraction) else "0"


def _with_sign(text: str) -> str:
    return text.replace("-", "\N{MINUS SIGN}")
