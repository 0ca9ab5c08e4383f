"""Reliability diagrams: accuracy over confidence, and how many samples are how confident."""

from __future__ import annotations

from math import sqrt
from typing import Any

from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, MultipleLocator

from emoprune.evaluation.confidence import Estimate, wilson_interval
from emoprune.reporting.figures.style import (
    COLORS,
    DASHES,
    FULL,
    HATCHES,
    MARKERS,
    legend,
    percent,
    reaches,
    set_upright,
)
from emoprune.reporting.types import ReliabilityChart

PANEL_IN, COUNTS_IN, AXIS_IN = 2.4, 0.7, 0.4
GROUP = 0.85
"""The fraction of a bin's width that its bars take."""
SMALLEST_PT, LARGEST_PT = 1.5, 5.0
APART = 0.008
"""Between the points of neighboring labels, so that their intervals do not overlap."""


def draw_reliability(figure: Figure, chart: ReliabilityChart) -> None:
    """Draw accuracy over confidence with the diagonal, and below the samples in each bin."""
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(PANEL_IN, COUNTS_IN))
    set_upright(above, "accuracy", fraction=True)
    above.grid(axis="x")
    diagonal: dict[str, Any] = {"color": "#777777", "linewidth": 0.8, "linestyle": (0, (1, 2))}
    above.plot([0, 1], [0, 1], **diagonal, zorder=1)
    handles = []
    most = max((each.count for bins in chart.bins for each in bins), default=0) or 1
    for index, (bins, runs) in enumerate(zip(chart.bins, chart.runs, strict=True)):
        aside = (index - (len(chart.bins) - 1) / 2) * APART
        found = [
            (each.confidence + aside, _estimate(each.accuracy, each.count, runs))
            for each in bins
            if each.confidence is not None and each.accuracy is not None
        ]
        color = COLORS[index]
        look: dict[str, Any] = {
            **{"color": color, "marker": MARKERS[index], "linestyle": DASHES[index], "linewidth": 0.7}
        }
        x, estimates = [place for place, _ in found], [value for _, value in found]
        y = [value.mean for value in estimates]
        bars: dict[str, Any] = {"fmt": "none", "ecolor": color, "elinewidth": 0.6, "alpha": 0.55}
        above.errorbar(x, y, yerr=reaches(estimates), capsize=1.5, **bars)
        above.plot(x, y, **{**look, "marker": "", "alpha": 0.6})
        # bins of few samples are noise, and look little
        sizes = [SMALLEST_PT + LARGEST_PT * sqrt(each.count / most) for each in bins if each.count]
        for place, value, size in zip(x, y, sizes, strict=True):
            above.plot([place], [value], **{**look, "markersize": size}, zorder=3, clip_on=False)
        width = GROUP / len(bins) / len(chart.bins)
        middles = [(place + 0.5) / len(bins) for place in range(len(bins))]
        below.bar(
            [middle + (index - (len(chart.bins) - 1) / 2) * width for middle in middles],
            [each.count for each in bins],
            width,
            color=color,
            hatch=HATCHES[index] * 2,
            edgecolor="white",
            linewidth=0,
        )
        handles.append(Line2D([], [], **look))
    above.set(xlim=(0, 1.01), ylim=(0, FULL))
    below.set_ylabel("samples")
    below.grid(axis="y")
    below.yaxis.set_major_locator(MaxNLocator(3, integer=True))
    below.set_xlabel("confidence: probability of the answer")
    below.xaxis.set_major_locator(MultipleLocator(0.2))
    below.xaxis.set_major_formatter(percent)
    figure.align_ylabels()
    labels = [*chart.labels, "as accurate as confident"]
    height = legend(figure, [*handles, Line2D([], [], **diagonal)], labels, note=chart.note)
    figure.set_figheight(PANEL_IN + COUNTS_IN + AXIS_IN + height)


def _estimate(accuracy: float, count: int, runs: int) -> Estimate:
    """An accuracy with its interval over the samples; runs see the same samples, which gives it none."""
    return Estimate(1, accuracy, *(wilson_interval(round(accuracy * count), count) if runs == 1 else ()))
