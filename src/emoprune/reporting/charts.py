"""FIGURES: which figures the records of a report make, and the numbers in them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from emoprune.errors import BadMetrics, UsageFault
from emoprune.reporting import line_charts
from emoprune.reporting.aggregate import IDENTITY, by_label, varying
from emoprune.reporting.bar_charts import before_after
from emoprune.reporting.types import BarChart, Chart, Estimate, HeatChart, LineChart, Runs

C = TypeVar("C", bound=Chart)
Row = tuple[object, ...]


@dataclass(frozen=True)
class Kind:
    """What makes the figures of a kind, none where its records are not there; and what those are."""

    charts: Callable[[Runs], Sequence[Chart]]
    needs: str


def confusion(runs: Runs) -> list[HeatChart]:
    """One heatmap per label, its runs added up; none of a label whose runs are no repetitions of one another.

    Those of a search, or over several hidden widths, are as many networks as there are settings.
    """
    return [
        HeatChart(f"confusion-{entry.label}", entry.label, entry.classes, entry.confusion)
        for entry in by_label(runs.evaluations)
        if not varying(entry.runs, but=IDENTITY)
    ]


FIGURES: dict[str, Kind] = {
    "accuracy-by-KEY": Kind(
        line_charts.accuracy_by_setting, "a setting KEY with several numbers in one label"
    ),
    "compression-by-hidden": Kind(
        line_charts.compression_by_hidden, "runs whose setting hidden, their units before pruning, varies"
    ),
    "before-after": Kind(
        before_after, "labels ending in ', before' and ', after', or a setting pruned of 0 and of more"
    ),
    "confusion": Kind(confusion, "a label whose evaluations differ in no setting but seed"),
    "curves": Kind(line_charts.curves, "learning curves (schema emoprune.training/1)"),
    "steps": Kind(line_charts.steps, "steps of a pruning that measured something (schema emoprune.steps/1)"),
}
"""All kinds by name; a kind makes one figure, or one for every KEY or label."""


def charts(runs: Runs, wanted: Sequence[str] = ()) -> list[Chart]:
    """The figures that `wanted` names, or all that the records make; each has a file name of its own.

    A name is a kind's or a figure's. Raises UsageFault for a name that no figure can have, BadMetrics where
    the records lack what a wanted one needs, or make no figure at all.
    """
    made = [(name, chart) for name, kind in FIGURES.items() for chart in _named(kind.charts(runs))]
    for name in wanted:
        kind_name = _kind_of(name)
        if not any(name in (kind, chart.name) for kind, chart in made):
            raise BadMetrics(f"no record for figure {name}", f"it needs {FIGURES[kind_name].needs}")
    found = [chart for kind, chart in made if not wanted or kind in wanted or chart.name in wanted]
    if not found:
        raise BadMetrics("nothing to draw", "emoprune report --help tells what each figure needs")
    return found


def _kind_of(name: str) -> str:
    for kind in FIGURES:
        if name == kind or (name.startswith(("accuracy-by-", "confusion-")) and name[:8] == kind[:8]):
            return kind
    raise UsageFault(f"no figure is called {name!r}", f"choose from {', '.join(FIGURES)}")


def _named(found: Sequence[C]) -> Iterator[C]:
    """Charts whose names can be files', and differ also where upper and lower case are the same."""
    taken: set[str] = set()
    for chart in found:
        plain = re.sub(r"[^\w.=+-]+", "-", chart.name).strip("-.")[:100]
        name, number = plain, 2
        while name.casefold() in taken:
            name, number = f"{plain}-{number}", number + 1
        taken.add(name.casefold())
        yield replace(chart, name=name)


def table(chart: Chart) -> list[Row]:
    """The numbers of a chart, under a line of column names: each is drawn, and no other is."""
    if isinstance(chart, LineChart):
        return _lines(chart)
    return _bars(chart) if isinstance(chart, BarChart) else _heat(chart)


def _lines(chart: LineChart) -> list[Row]:
    header = ("quantity", "label", "part", chart.x, "mean", "low", "high", "runs")
    return [
        header,
        *(
            (panel.quantity, line.label, line.part, point.x, *_cells(point.estimate))
            for panel in chart.panels
            for line in panel.lines
            for point in line.points
        ),
    ]


def _bars(chart: BarChart) -> list[Row]:
    return [
        ("quantity", chart.x or "label", "bar", "mean", "low", "high", "runs"),
        *(
            (chart.quantity, category, name, *_cells(bar))
            for name, row in zip(chart.series, chart.bars, strict=True)
            for category, bar in zip(chart.categories, row, strict=True)
            if bar is not None
        ),
    ]


def _heat(chart: HeatChart) -> list[Row]:
    return [
        ("label", "actual", "predicted", "count", "share"),
        *(
            (chart.label, actual, predicted, count, count / sum(row) if sum(row) else None)
            for actual, row in zip(chart.classes, chart.counts, strict=True)
            for predicted, count in zip(chart.classes, row, strict=True)
        ),
    ]


def _cells(found: Estimate) -> Row:
    return found.mean, found.low, found.high, found.n
