"""Learning curves as tables, flat rows and records: each by itself, or those of a label as one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Any, Literal, get_args

from emoprune.reporting.aggregate import Group, View
from emoprune.reporting.tables import (
    PERCENT,
    Format,
    Table,
    as_record,
    flat_estimate,
    flat_mean,
    from_rows,
    table,
)
from emoprune.reporting.types import Estimate
from emoprune.training.types import LearningCurve

Pick = Literal["last", "best"]
LearningPart = Literal["train", "val"]
PICKS: dict[Pick, Callable[[Sequence[float]], float]] = {"last": lambda values: values[-1], "best": max}
ACCURACIES: list[tuple[LearningPart, Pick]] = list(product(get_args(LearningPart), get_args(Pick)))


def epochs(curve: LearningCurve) -> int:
    """How many epochs a curve has."""
    return len(curve.training)


def accuracy(group: Group[LearningCurve], part: LearningPart, pick: Pick) -> Estimate | None:
    """The last or the best accuracy on a part, over the curves that have any; None where none has."""

    def picked(curve: LearningCurve) -> float | None:
        found = [getattr(epoch, f"{part}_accuracy") for epoch in curve.training]
        measured = [value for value in found if value is not None]
        return PICKS[pick](measured) if measured else None

    return group.mean(picked)


@dataclass(frozen=True)
class Curves(View[Group[LearningCurve]]):
    """Groups of learning curves."""

    @cached_property
    def accuracies(self) -> list[tuple[LearningPart, Pick]]:
        """The last and the best accuracy of every part on which some curve has accuracies."""
        return [which for which in ACCURACIES if any(accuracy(group, *which) for group in self.groups)]


def curves_table(view: Curves) -> Table:
    """One row per group; of several runs means and half the widths of their 95% intervals."""
    accuracies = (f"{part}, {pick}" for part, pick in view.accuracies)
    columns = ("label", *(["runs"] if view.by_label else []), "epochs", *accuracies)
    title = "Learning curves by label: accuracy (± 95% interval over runs)"
    rows = (_cells(view, group) for group in view.groups)
    return table(title if view.by_label else "Learning curves: accuracy", columns, rows)


def _cells(view: Curves, group: Group[LearningCurve]) -> Iterator[object]:
    yield group.label
    if view.by_label:
        yield len(group.runs)
    lengths = set(map(epochs, group.runs))
    yield lengths.pop() if len(lengths) == 1 else Format(".1f").estimate(group.mean(epochs))
    for part, pick in view.accuracies:
        yield PERCENT.estimate(accuracy(group, part, pick))


def flat(view: Curves) -> Table:
    """Epochs and accuracies as raw values, one row per group, with intervals where they are over runs."""
    if not view.by_label:
        return from_rows("curves", [_single(group, view.accuracies) for group in view.groups])
    rows = []
    for group in view.groups:
        row: dict[str, Any] = {"label": group.label, "runs": len(group.runs)}
        for key, found in _means(group, view.accuracies).items():
            row |= flat_estimate(key, found)
        rows.append(row)
    return from_rows("curves", rows)


def to_records(view: Curves) -> list[dict[str, Any]]:
    """One JSON object per group: means with intervals over its runs; of a single curve its values."""
    if not view.by_label:
        return [_single(group, ACCURACIES) for group in view.groups]
    return [
        {
            **{"label": group.label, "runs": len(group.runs)},
            **{key: as_record(found) for key, found in _means(group, ACCURACIES).items()},
        }
        for group in view.groups
    ]


def _single(group: Group[LearningCurve], which: Sequence[tuple[LearningPart, Pick]]) -> dict[str, Any]:
    (curve,) = group.runs
    row: dict[str, Any] = {"label": group.label, "model": curve.model}
    for key, found in _means(group, which).items():
        row |= flat_mean(key, found)
    # a count stays a whole number
    return {**row, "epochs": epochs(curve)}


def _means(
    group: Group[LearningCurve], which: Sequence[tuple[LearningPart, Pick]]
) -> dict[str, Estimate | None]:
    accuracies = {f"{part}_accuracy_{pick}": accuracy(group, part, pick) for part, pick in which}
    return {"epochs": group.mean(epochs), **accuracies}
