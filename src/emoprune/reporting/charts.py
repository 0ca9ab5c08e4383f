"""FIGURES: the figures that the records of a report make, and the numbers in them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple, TypeVar

from emoprune.errors import BadMetrics, UsageFault
from emoprune.evaluation.confidence import Estimate
from emoprune.reporting import aggregate, line_charts
from emoprune.reporting.bar_charts import before_after
from emoprune.reporting.types import BarChart, Chart, HeatChart, LineChart, Runs

C = TypeVar("C", bound=Chart)
ESTIMATE = ("mean", "low", "high", "runs")


class Kind(NamedTuple):
    """Makes the figures of a kind, none without the records that it `needs`."""

    charts: Callable[[Runs], Sequence[Chart]]
    needs: str


def confusion(runs: Runs) -> list[HeatChart]:
    """One heatmap per label, its runs added up; none where the runs differ in more than their seed.

    The runs of a search, or over several hidden widths, are not repetitions of one network.
    """
    return [
        HeatChart(f"confusion-{group.label}", group.label, group.runs[0].classes, aggregate.confusion(group))
        for group in aggregate.evaluations_by_label(runs.evaluations)
        if not aggregate.varying(group.runs, but=aggregate.IDENTITY)
    ]


FIGURES: dict[str, Kind] = {
    "accuracy-by-KEY": Kind(line_charts.accuracy_by_setting, "a setting KEY with several numbers in a label"),
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
    """The figures that `wanted` names, or all that the records make, each with a unique file name.

    A name is a kind's or a figure's. Raises UsageFault for an unknown name, BadMetrics where the records
    lack what a wanted figure needs, or make no figure.
    """
    made = [(kind, chart) for kind, found in by_kind(runs).items() for chart in found]
    for name in wanted:
        kind_name = _kind_of(name)
        if not any(name in (kind, chart.name) for kind, chart in made):
            raise BadMetrics(f"no record for figure {name}", f"it needs {FIGURES[kind_name].needs}")
    found = [chart for kind, chart in made if not wanted or kind in wanted or chart.name in wanted]
    if not found:
        raise BadMetrics(
            "nothing to draw",
            "give evaluations of one label, learning curves, or steps that measured something",
        )
    return found


def by_kind(runs: Runs) -> dict[str, list[Chart]]:
    """All figures that the records make, by their kind, each with a unique file name."""
    return {name: [*_named(kind.charts(runs))] for name, kind in FIGURES.items()}


def _kind_of(name: str) -> str:
    for kind in FIGURES:
        if name == kind or (name.startswith(("accuracy-by-", "confusion-")) and name[:8] == kind[:8]):
            return kind
    raise UsageFault(f"no figure is called {name!r}", f"choose from {', '.join(FIGURES)}")


def _named(found: Sequence[C]) -> Iterator[C]:
    """Charts with names that files can have, unique even where case does not matter."""
    taken: set[str] = set()
    for chart in found:
        # letters of some scripts take four bytes, and names have 255 of them
        plain = (
            re.sub(r"[^\w.=+-]+", "-", chart.name).strip("-.")[:100].encode()[:240].decode(errors="ignore")
        )
        name, number = plain, 2
        while name.casefold() in taken:
            name, number = f"{plain}-{number}", number + 1
        taken.add(name.casefold())
        yield replace(chart, name=name)


def numbers(chart: Chart) -> list[tuple[object, ...]]:
    """The numbers that a chart draws, under a line of column names."""
    if isinstance(chart, LineChart):
        header: tuple[str, ...] = ("quantity", "label", "part", chart.x, *ESTIMATE)
        rows: list[tuple[object, ...]] = [
            (panel.quantity, line.label, line.part, x, *_cells(found))
            for panel in chart.panels
            for line in panel.lines
            for x, found in line.points.items()
        ]
    elif isinstance(chart, BarChart):
        header = ("quantity", chart.x or "label", "bar", *ESTIMATE)
        rows = [
            (chart.quantity, category, name, *_cells(bar))
            for name, row in zip(chart.series, chart.bars, strict=True)
            for category, bar in zip(chart.categories, row, strict=True)
            if bar is not None
        ]
    else:
        header = ("label", "actual", "predicted", "count", "share")
        rows = [
            (chart.label, actual, predicted, count, count / sum(row) if sum(row) else None)
            for actual, row in zip(chart.classes, chart.counts, strict=True)
            for predicted, count in zip(chart.classes, row, strict=True)
        ]
    return [header, *rows]


def _cells(found: Estimate) -> tuple[object, ...]:
    return found.mean, found.low, found.high, found.n
