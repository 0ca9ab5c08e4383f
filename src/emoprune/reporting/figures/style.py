"""What the figures share: looks that differ without colors, axes, legends."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from math import nan
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from emoprune.evaluation.confidence import Estimate
from emoprune.reporting.types import Level

COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Okabe & Ito 2008, without the yellow, which is too light for lines on white."""

MARKERS = ("o", "s", "^", "D", "v", "P", "X")
DASHES: tuple[Any, ...] = ("-", (0, (5, 2)), (0, (1, 1.2)), (0, (6, 2, 1, 2)), (0, (3, 1, 1, 1, 1, 1)))
HATCHES = ("", "////", "....", "xxxx", "\\\\\\\\", "++++", "oooo")

GRAY = "#aaaaaa"

FULL, EMPTY = 1.03, 0.35
"""The top of an axis of fractions at most, and the part of it below the lowest value that may stay empty."""

STEPS = (1, 2, 2.5, 5, 10)
"""Steps between ticks, times a power of ten."""

LINE_IN = 0.15
"""Height of one line of a legend or title."""

LETTERS = 58
"""Small letters that fit side by side across a figure."""


def series_look(index: int, *, dashed: bool = True) -> dict[str, Any]:
    """Color, marker and dashes of the series at a place."""
    # beyond the last color, dashes come in another order
    dashes = DASHES[(index + index // len(COLORS)) % len(DASHES)] if dashed else DASHES[0]
    marker = MARKERS[index % len(MARKERS)]
    return {"color": COLORS[index % len(COLORS)], "linestyle": dashes, "marker": marker}


def wrapped(text: str, letters: int, *, cut: bool = True) -> str:
    """The text in lines of at most so many letters; longer words are cut, or kept whole without `cut`."""
    lines = textwrap.wrap(text, max(letters, 4), break_on_hyphens=False, break_long_words=cut)
    return "\n".join(lines) or text


SPOKEN = {
    "hidden": "hidden units",
    "macs": "multiply-accumulates to keep",
    "params": "parameters to keep",
    "amount": "fraction removed",
    "angle": "angle (degrees)",
    "heal": "epochs of healing",
    "lr": "learning rate",
    "pruned": "pruned",
    "units": "units left",
}
"""What settings are called below an axis."""


def spoken(key: str) -> str:
    """The name of a setting as people say it."""
    return SPOKEN.get(key, key.replace("_", " "))


def percent(fraction: float, _: object = None) -> str:
    """A fraction as a tick writes it, with no more decimals than it has."""
    return f"{round(100 * fraction, 6):g}%"


def set_upright(axes: Axes, quantity: str, *, fraction: bool) -> None:
    """Name the vertical axis; a few ticks, fractions in percent, lines across."""
    axes.grid(axis="y")
    axes.set_ylabel(quantity)
    axes.yaxis.set_major_locator(MaxNLocator(7, steps=STEPS, min_n_ticks=4))
    if fraction:
        axes.yaxis.set_major_formatter(percent)


def reaches(found: Sequence[Estimate]) -> tuple[list[float], list[float]]:
    """How far each estimate's interval goes below and above its mean, NaN where it has none."""
    below = [nan if entry.low is None else entry.mean - entry.low for entry in found]
    above = [nan if entry.high is None else entry.high - entry.mean for entry in found]
    return below, above


def draw_levels(axes: Axes, levels: Sequence[Level]) -> dict[str, Line2D]:
    """Draw values to compare with across the axes; their handles for a legend, by name."""
    look: Any = {"color": "#444444", "linewidth": 0.8, "linestyle": (0, (1, 2))}
    for level in levels:
        axes.axhline(level.value, **look, zorder=1)
    return {level.name: Line2D([], [], **look) for level in levels}


def show_start(axes: Axes) -> None:
    """Begin a vertical axis of fractions at 0 where little space is lost, else mark that it is cut."""
    low, high = axes.get_ylim()
    axes.set_ylim(top=min(high, FULL))
    if low <= min(high, FULL) * EMPTY:
        axes.set_ylim(bottom=0)
        return
    slash: Any = {"marker": [(-1, -0.5), (1, 0.5)], "markersize": 5, "linestyle": "none", "color": "black"}
    axes.plot([0, 0], [0.03, 0.06], transform=axes.transAxes, clip_on=False, zorder=5, **slash)


def legend(figure: Figure, handles: Sequence[Any], labels: Sequence[str], *, note: str = "") -> float:
    """Draw a legend below the axes, in as many columns as fit, under a note; its height in inches."""
    texts = [wrapped(label, LETTERS - 8) for label in labels]
    longest = max(len(line) for text in texts for line in text.split("\n"))
    columns = max(1, min(len(texts), LETTERS // (longest + 7)))
    figure.legend(
        list(handles),
        texts,
        loc="outside lower center",
        ncols=columns,
        columnspacing=1.2,
        borderpad=0.1,
        title=(said := wrapped(note, LETTERS - 2)) or None,
        title_fontsize=7,
    )
    rows = [texts[start : start + columns] for start in range(0, len(texts), columns)]
    lines = sum(max(text.count("\n") + 1 for text in row) for row in rows)
    return LINE_IN * (lines + (said.count("\n") + 1 if said else 0))
