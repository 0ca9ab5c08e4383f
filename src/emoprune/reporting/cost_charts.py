"""What pruning cost: accuracy over what networks cost, and the loss of accuracy over the predicted error."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from statistics import fmean
from typing import NamedTuple

from emoprune.evaluation.confidence import estimate
from emoprune.evaluation.types import Metrics
from emoprune.events import counted
from emoprune.reporting import aggregate
from emoprune.reporting.fronts import LINES, on_front
from emoprune.reporting.types import Level, Point, PointChart, Runs, Series

SAME = 1.01
"""Costs whose ratio is smaller are those of one network: files differ by some bytes of text."""
PREDICTED_ERROR = "predicted_error"


class Cost(NamedTuple):
    """A cost: its value, None where it was not measured; its name, and units by thousands.

    `relative`: it is exact, so that fractions of it are. `front` says how the front beats others, `column`
    what programs call it.
    """

    value: Callable[[Metrics], float | None]
    axis: str
    units: tuple[str, str, str, str]
    relative: bool = True
    front: str = "smaller"
    column: str = ""


COUNTS = ("", " thousand", " million", " billion")
COSTS: dict[str, Cost] = {
    "macs": Cost(lambda run: run.macs, "MACs", COUNTS),
    "parameters": Cost(lambda run: run.parameters, "parameters", COUNTS),
    "bytes": Cost(lambda run: run.bytes, "bytes of the file", (" bytes", " kB", " MB", " GB")),
    # two measurements of one network differ, so that no fraction of it is exact
    "latency": Cost(
        lambda run: run.latency_ms,
        "latency (ms)",
        (" ms",) * 4,
        relative=False,
        front="faster",
        column="latency_ms",
    ),
}


def accuracy_against(runs: Runs) -> list[PointChart]:
    """Accuracy over each cost, for labels with several settings a line; means are over seeds.

    Costs are fractions of those of the network before pruning where the records say which that is.
    """
    return [chart for key in COSTS for chart in _against(runs.evaluations, key)]


def _against(found: Sequence[Metrics], key: str) -> list[PointChart]:
    cost = COSTS[key]
    measured = [run for run in found if cost.value(run)]
    groups = [
        network
        for group in aggregate.evaluations_by_label(measured)
        for network in aggregate.networks(group.runs)
    ]
    places = [fmean(cost.value(run) or 0 for run in group.runs) for group in groups]
    if len(set(places)) < 2:
        return []
    accuracies = [aggregate.accuracy(group.runs) for group in groups]
    # on other samples another accuracy is not a better one
    same_samples = len({(run.data_fingerprint, run.split) for run in measured}) == 1
    front = on_front([(x, y.mean) for x, y in zip(places, accuracies, strict=True)])
    whole = _one([cost.value(run) or 0 for run in measured if is_whole(run)]) if cost.relative else None
    made: dict[str, list[Point]] = {}
    pruned = {group.label for group in groups if not all(map(is_whole, group.runs))}
    for group, x, y, ahead in zip(groups, places, accuracies, front, strict=True):
        point = Point(x / whole if whole else x, y, on_front=ahead and same_samples)
        made.setdefault(group.label, []).append(point)
    series = [
        Series(label, _sorted(points), "method" if label in pruned else "whole")
        for label, points in made.items()
    ]
    series = _with_others(series)
    return [
        PointChart(
            f"accuracy-against-{key}",
            f"{key}_left" if whole else cost.column or key,
            f"{cost.axis} (100% = {amount(whole, cost.units)})" if whole else cost.axis,
            "accuracy",
            tuple(series),
            levels=aggregate.chance(measured),
            fraction=True,
            x_fraction=whole is not None,
            front=f"none is both {cost.front} and better" if same_samples else "",
            note=_said(series),
        )
    ]


def loss_of_accuracy(runs: Runs) -> list[PointChart]:
    """How many points of accuracy networks lost over the error that was predicted, a marker per label."""
    found = [run for run in runs.evaluations if not is_whole(run) and run.number(PREDICTED_ERROR) is not None]
    wholes = [run for run in runs.evaluations if is_whole(run)]
    series = []
    for group in aggregate.evaluations_by_label(found):
        points = []
        for network in aggregate.networks(group.runs):
            pairs = [(run, before) for run in network.runs if (before := _before(run, wholes)) is not None]
            if pairs:
                x = fmean(run.number(PREDICTED_ERROR) or 0 for run, _ in pairs)
                lost = (100 * (before - run.accuracy) for run, before in pairs)
                points.append(Point(x, estimate(lost, limits=(-100, 100))))
        if points:
            series.append(Series(group.label, _sorted(points)))
    if len({point.x for each in series for point in each.points}) < 2:
        return []
    series = _with_others(series)
    return [
        PointChart(
            "loss-of-accuracy",
            PREDICTED_ERROR,
            "predicted error, of the layer where it is largest",
            "lost accuracy (points)",
            tuple(series),
            levels=(Level("nothing lost", 0.0),),
            joined=False,
            note=_said(series),
        )
    ]


def is_whole(run: Metrics) -> bool:
    """Whether the settings say that it is the network before pruning, as those of a sweep do."""
    return run.number("pruned") == 0 or (run.number("units_left") == 1 and "method" not in run.settings)


def amount(value: float, units: Sequence[str]) -> str:
    """A number of three digits, and its unit by thousands."""
    place = 0
    while place < len(units) - 1 and abs(value) >= 999.5:
        value, place = value / 1000, place + 1
    return f"{value:.3g}{units[place]}"


def _before(run: Metrics, wholes: Sequence[Metrics]) -> float | None:
    """The accuracy of the network before pruning: on the same samples, if possible of the same seed."""
    same = [
        each for each in wholes if (each.data_fingerprint, each.split) == (run.data_fingerprint, run.split)
    ]
    of_seed = [each for each in same if each.settings.get(aggregate.SEED) == run.settings.get(aggregate.SEED)]
    return fmean(each.accuracy for each in of_seed or same) if same else None


def _one(values: Sequence[float]) -> float | None:
    """The mean of values that are nearly the same; None for others, and without any."""
    return fmean(values) if values and max(values) < SAME * min(values) else None


def _sorted(points: Sequence[Point]) -> tuple[Point, ...]:
    return tuple(sorted(points, key=lambda point: point.x))


def _with_others(series: Sequence[Series]) -> list[Series]:
    """The series, those beyond LINES as others: first those off the front, then the less accurate."""

    def usefulness(each: Series) -> tuple[bool, float]:
        return any(point.on_front for point in each.points), max(point.y.mean for point in each.points)

    ranked = sorted((each for each in series if each.role == "method"), key=usefulness, reverse=True)
    others = {each.label for each in ranked[LINES:]}
    return [replace(each, role="other") if each.label in others else each for each in series]


def _said(series: Sequence[Series]) -> str:
    others = sum(each.role == "other" for each in series)
    if not others:
        return ""
    return f"gray: {counted(others, 'more label')}, off the front or less accurate"
