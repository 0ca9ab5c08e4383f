"""FIGURES: the figures that the records of a report make, and the numbers in them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple, TypeVar

from emoprune.errors import BadMetrics, UsageFault
from emoprune.evaluation.confidence import Estimate
from emoprune.reporting import class_charts, cost_charts, layer_charts, line_charts
from emoprune.reporting.bar_charts import before_after
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

C = TypeVar("C", bound=Chart)
ESTIMATE = ("mean", "low", "high", "runs")


class Kind(NamedTuple):
    """Makes the figures of a kind, none without the records that it `needs`.

    Where it makes several, their names begin with `begins`.
    """

    charts: Callable[[Runs], Sequence[Chart]]
    needs: str
    begins: str = ""


FIGURES: dict[str, Kind] = {
    "accuracy-against-COST": Kind(
        cost_charts.accuracy_against,
        "evaluations of networks with different costs; latency is in those of eval `latency`",
        "accuracy-against-",
    ),
    "loss-of-accuracy": Kind(
        cost_charts.loss_of_accuracy, "a setting predicted_error of networks, and the network before pruning"
    ),
    "accuracy-by-KEY": Kind(
        line_charts.accuracy_by_setting, "a setting KEY with several numbers in a label", "accuracy-by-"
    ),
    "compression-by-hidden": Kind(
        line_charts.compression_by_hidden, "runs whose setting hidden, their units before pruning, varies"
    ),
    "before-after": Kind(
        before_after, "labels ending in ', before' and ', after', or a setting pruned of 0 and of more"
    ),
    "confusion": Kind(
        class_charts.confusion, "a label whose evaluations differ in no setting but seed", "confusion-"
    ),
    "confusion-change": Kind(
        class_charts.confusion_change,
        "two networks on the same samples whose answers differ",
        "confusion-change-",
    ),
    "recall-by-class": Kind(class_charts.recall_by_class, "evaluations"),
    "reliability": Kind(class_charts.reliability, "evaluations with bins of confidence"),
    "units-by-layer": Kind(
        layer_charts.units_by_layer,
        "prunings of units (schema emoprune.prune/2)",
        "units-by-layer-",
    ),
    "angles": Kind(layer_charts.angles, "angles with their histogram (schema emoprune.angles/2)", "angles-"),
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
    taken: set[str] = set()
    return {name: [*_named(kind.charts(runs), taken)] for name, kind in FIGURES.items()}


def _kind_of(name: str) -> str:
    if name in FIGURES:
        return name
    several = {kind.begins: title for title, kind in FIGURES.items() if kind.begins}
    # a name that begins as two kinds do is of the longer one
    for begins in sorted(several, key=len, reverse=True):
        if name.startswith(begins):
            return several[begins]
    raise UsageFault(f"no figure is called {name!r}", f"choose from {', '.join(FIGURES)}")


def _named(found: Sequence[C], taken: set[str]) -> Iterator[C]:
    """Charts with names that files can have, none of those taken even where case does not matter."""
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
    elif isinstance(chart, PointChart):
        header = ("quantity", "label", chart.x, *ESTIMATE, "on_front")
        rows = [
            (chart.quantity, each.label, point.x, *_cells(point.y), point.on_front)
            for each in chart.series
            for point in each.points
        ]
    elif isinstance(chart, BarChart):
        header = ("quantity", chart.x or "label", "bar", *ESTIMATE)
        rows = [
            (chart.quantity, category, name, *_cells(bar))
            for name, row in zip(chart.series, chart.bars, strict=True)
            for category, bar in zip(chart.categories, row, strict=True)
            if bar is not None
        ]
    elif isinstance(chart, ReliabilityChart):
        header = ("label", "bin", "count", "confidence", "accuracy")
        rows = [
            (label, number, each.count, each.confidence, each.accuracy)
            for label, bins in zip(chart.labels, chart.bins, strict=True)
            for number, each in enumerate(bins, start=1)
        ]
    elif isinstance(chart, LayerChart):
        header = ("pruning", "layer", "before", "after")
        counts = zip(chart.layers, chart.before, chart.after, strict=True)
        rows = [(chart.label, *each) for each in counts]
    elif isinstance(chart, AngleChart):
        header = ("layer", "from_deg", "to_deg", "pairs")
        starts = (place * chart.width for place in range(len(chart.counts)))
        rows = [
            (chart.label, start, start + chart.width, count)
            for start, count in zip(starts, chart.counts, strict=True)
        ]
    elif isinstance(chart, ChangeChart):
        header = ("actual", "predicted", "before", "after", "change")
        rows = [
            (actual, predicted, before, after, after - before)
            for actual, old, new in zip(chart.classes, chart.before, chart.after, strict=True)
            for predicted, before, after in zip(chart.classes, old, new, strict=True)
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
