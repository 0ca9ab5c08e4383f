"""Line charts from records: accuracy and compression over settings, learning curves, steps of a pruning."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Literal

from emoprune.evaluation.confidence import ANY, FRACTION, Estimate, Limits, by_key, estimate
from emoprune.evaluation.types import Metrics
from emoprune.reporting import aggregate
from emoprune.reporting.aggregate import (
    BUDGETS,
    SEED,
    STEP_KEYS,
    UNTELLING,
    Group,
    settings_of,
    varying,
)
from emoprune.reporting.fronts import LINES, kept, left_out
from emoprune.reporting.types import Line, LineChart, Panel, Runs

HIDDEN = "hidden"


def accuracy_by_setting(runs: Runs) -> list[LineChart]:
    """Accuracy over every numeric setting that varies within a label; means are over seeds.

    Not over what a pruning was to leave, or what came of it: see `cost_charts`.
    """
    charts = []
    for key in settings_of(runs.evaluations):
        lines = _over(runs.evaluations, key, lambda run: run.accuracy)
        if key not in (*UNTELLING, *BUDGETS) and _varies(lines):
            levels = aggregate.chance([run for run in runs.evaluations if run.number(key) is not None])
            shown, note = _foremost(lines)
            panel = Panel("accuracy", shown, fraction=True, levels=levels)
            charts.append(LineChart(f"accuracy-by-{key}", key, (panel,), note=note))
    return charts


def compression_by_hidden(runs: Runs) -> list[LineChart]:
    """The fraction of the hidden units that pruning removed (compression rate) over the setting `hidden`.

    Labels that lost no unit have no line. There is no chart where a network has more units than `hidden`:
    `hidden` is then not their number before pruning.
    """
    found = [run for run in runs.evaluations if run.number(HIDDEN)]
    if any(run.units > (run.number(HIDDEN) or 0) for run in found):
        return []
    lines = _over(found, HIDDEN, lambda run: 1 - run.units / (run.number(HIDDEN) or 1))
    lines = [line for line in lines if any(point.mean > 0 for point in line.points.values())]
    shown, note = _foremost(lines)
    panel = Panel("compression rate", shown, fraction=True)
    return [LineChart("compression-by-hidden", HIDDEN, (panel,), note=note)] if _varies(lines) else []


def curves(runs: Runs, measure: Literal["accuracy", "loss"] = "accuracy") -> list[LineChart]:
    """Accuracy or loss per epoch on the training and, where there is one, on the validation part."""
    lines = []
    groups = aggregate.by_label(runs.curves)
    # the two parts of a label are two lines
    for group in groups[: LINES // 2]:
        epochs = [epoch for curve in group.runs for epoch in curve.training]
        for part in ("train", "val"):
            values = ((epoch.index, getattr(epoch, f"{part}_{measure}")) for epoch in epochs)
            limits = FRACTION if measure == "accuracy" else ANY
            points = _points(((x, y) for x, y in values if y is not None), limits)
            lines += [Line(group.label, points, part)] if points else []
    panel = Panel(measure, tuple(lines), fraction=measure == "accuracy")
    note = left_out(len(groups) - LINES // 2, "label", "after the first")
    return [LineChart("curves", "epoch", (panel,), note=note)] if lines else []


def steps(runs: Runs) -> list[LineChart]:
    """Every quantity that a pruning measured, each over the units left, in a panel of its own."""
    panels = []
    every = by_key((group.label, group) for group in aggregate.by_units(runs.prunings))
    by_label = dict([*every.items()][:LINES])
    note = left_out(len(every) - LINES, "label", "after the first")
    for measure in STEP_KEYS:
        lines = []
        for label, groups in by_label.items():
            means = ((float(group.units), group.measured(measure)) for group in reversed(groups))
            points = {units: mean for units, mean in means if mean is not None}
            lines += [Line(label, points)] if points else []
        title = "smallest angle (degrees)" if measure == "smallest angle" else measure
        panels += [Panel(title, tuple(lines), fraction=measure == "accuracy")] if lines else []
    return [LineChart("steps", "units", tuple(panels), falling=True, note=note)] if panels else []


def _foremost(lines: Sequence[Line]) -> tuple[tuple[Line, ...], str]:
    """At most LINES lines in their order: those with the most points, then those with the highest; a note."""

    def usefulness(place: int) -> tuple[int, float]:
        points = lines[place].points.values()
        return len(points), max(point.mean for point in points)

    note = left_out(len(lines) - LINES, "line", "with fewer or lower points")
    return tuple(kept(lines, LINES, usefulness)), note


def _points(values: Iterable[tuple[float, float]], limits: Limits) -> dict[float, Estimate]:
    """The estimate of all values, which are within limits, at each x."""
    by_x = sorted(by_key((float(x), y) for x, y in values).items())
    return {x: estimate(found, limits=limits) for x, found in by_x}


def _varies(lines: Sequence[Line]) -> bool:
    return any(len(line.points) > 1 for line in lines)


def _over(found: Sequence[Metrics], key: str, value: Callable[[Metrics], float]) -> list[Line]:
    """A line of fractions per label over the setting `key`, or per label and what else was tried there."""
    return [
        Line(label, _points(((run.number(key) or 0, value(run)) for run in runs), FRACTION))
        for group in aggregate.evaluations_by_label(run for run in found if run.number(key) is not None)
        for label, runs in aggregate.split(group, _tried(group, key)).items()
    ]


def _tried(group: Group[Metrics], key: str) -> list[str]:
    """The settings that vary while `key` and the seed are the same.

    Such settings are further experiments: a mean over them would mean nothing. A setting that follows from
    `key`, or that differs from seed to seed, is not one of them.
    """
    places = by_key(((run.number(key), run.settings.get(SEED)), run) for run in group.runs).values()
    tried = {other for place in places for other in varying(place, but=(key, *UNTELLING))}
    return [other for other in settings_of(group.runs) if other in tried]
