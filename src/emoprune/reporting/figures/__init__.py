"""Charts as pictures by matplotlib: readable at half a page, distinguishable without colors."""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from dataclasses import fields, is_dataclass, replace
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.style import context

from emoprune import events
from emoprune.io import csv_text, files
from emoprune.io.visible_text import visible
from emoprune.reporting.charts import charts, numbers
from emoprune.reporting.figures.angles import draw_angles
from emoprune.reporting.figures.bars import draw_bars
from emoprune.reporting.figures.heatmap import draw_change, draw_heat
from emoprune.reporting.figures.layers import draw_layers
from emoprune.reporting.figures.lines import draw_lines
from emoprune.reporting.figures.points import draw_points
from emoprune.reporting.figures.reliability import draw_reliability
from emoprune.reporting.types import (
    AngleChart,
    BarChart,
    ChangeChart,
    Chart,
    LayerChart,
    LineChart,
    PointChart,
    ReliabilityChart,
    Runs,
)

WIDTH_IN = 3.4
"""Half a page of two columns."""
WIDE_IN = 7.0
"""A whole page."""

STYLE: dict[str, Any] = {
    "savefig.dpi": 300,
    "svg.hashsalt": "emoprune",
    "font.size": 8,
    "axes.titlesize": 8,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "legend.frameon": False,
    "legend.handlelength": 3,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.linewidth": 0.4,
    "grid.color": "#dddddd",
    "hatch.linewidth": 0.6,
    "lines.linewidth": 1.2,
    "lines.markersize": 4,
    "errorbar.capsize": 2,
    # dollar signs in a label do not make it a formula
    "text.parse_math": False,
}

STYLES: list[Any] = ["default", STYLE]
"""STYLE over matplotlib's own defaults, whatever the user's settings are."""

METADATA: dict[str, dict[str, None]] = {"svg": {"Date": None, "Creator": None}, "png": {"Software": None}}
"""Suffixes of pictures, and what they leave out so that the same chart gives the same bytes."""


def save(runs: Runs, folder: str, wanted: Sequence[str] = (), *, force: bool = False) -> list[str]:
    """Draw the figures into a folder, each as .svg, .png and .csv; all of them, or nothing is written.

    `wanted` names kinds or figures; none means all that the records make. Returns the figures' names.
    """
    chosen = charts(runs, wanted)
    names = [f"{chart.name}.{suffix}" for chart in chosen for suffix in ("svg", "png", "csv")]
    files.check_files(folder, names, force=force)
    contents: dict[str, bytes] = {}
    for chart in events.tracked(chosen, "figures", len(chosen)):
        with warnings.catch_warnings(record=True) as said:
            # a label in letters that the font lacks
            warnings.simplefilter("always", UserWarning)
            pictures = render(chart)
        for text in dict.fromkeys(str(warning.message) for warning in said):
            events.warn(f"{chart.name}: {text}")
        contents |= {f"{chart.name}.{suffix}": data for suffix, data in pictures.items()}
        contents[f"{chart.name}.csv"] = csv_text.to_bytes(numbers(chart))
    files.write_files(folder, contents, force=force)
    for chart in chosen:
        events.note(f"{folder.rstrip('/')}/{chart.name}: .svg, .png, .csv")
    return [chart.name for chart in chosen]


def render(chart: Chart) -> dict[str, bytes]:
    """The chart as SVG and PNG, by suffix; the same chart gives the same bytes."""
    with context(STYLES):
        figure = draw(chart)
        found = {}
        for suffix, metadata in METADATA.items():
            stream = io.BytesIO()
            figure.savefig(stream, format=suffix, metadata=metadata)
            found[suffix] = stream.getvalue()
        return found


def draw(chart: Chart, style: dict[str, Any] = STYLE) -> Figure:
    """The chart as a figure of matplotlib, WIDTH_IN wide (a change: WIDE_IN), and as high as it needs."""
    chart = _visible(chart)
    with context(["default", style]):
        figure = Figure(layout="constrained", figsize=(WIDTH_IN, WIDTH_IN))
        FigureCanvasAgg(figure)
        if isinstance(chart, LineChart):
            draw_lines(figure, chart)
        elif isinstance(chart, PointChart):
            draw_points(figure, chart)
        elif isinstance(chart, BarChart):
            draw_bars(figure, chart)
        elif isinstance(chart, ReliabilityChart):
            draw_reliability(figure, chart)
        elif isinstance(chart, LayerChart):
            draw_layers(figure, chart)
        elif isinstance(chart, AngleChart):
            draw_angles(figure, chart)
        elif isinstance(chart, ChangeChart):
            figure.set_figwidth(WIDE_IN)
            draw_change(figure, chart)
        else:
            draw_heat(figure, chart)
        return figure


def _visible(part: Any) -> Any:
    """A chart with all its texts as people can read them; an SVG cannot hold control characters."""
    if isinstance(part, str):
        return visible(part)
    if isinstance(part, tuple):
        return tuple(map(_visible, part))
    if is_dataclass(part) and not isinstance(part, type):
        return replace(part, **{field.name: _visible(getattr(part, field.name)) for field in fields(part)})
    return part
