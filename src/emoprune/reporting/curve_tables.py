"""Learning curves as tables, flat rows and records: each by itself, or those of a label as one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Any, Literal, get_args

from emoprune.evaluation.confidence import FRACTION, Estimate
from emoprune.reporting import tables
from emoprune.reporting.aggregate import Group, View
from emoprune.reporting.tables import PERCENT, Format, Table
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

    return group.mean(picked, FRACTION)


@dataclass(frozen=True)
class Curves(View[Group[LearningCurve]]):
    """Groups of learning curves."""

    @cached_property
    def accuracies(self) -> list[tuple[LearningPart, Pick]]:
        """The last and the best accuracy of every part on which some curve has accuracies."""
        return [which for which in ACCURACIES if any(accuracy(group, *which) for group in self.groups)]


def curves_table(view: Curves) -> Table:
    """One row per group; of several runs means and half the widths of their 95% intervals."""
    title = "Learning curves by label: accuracy (with 95% interval over runs)"
    rows = (_cells(view, group) for group in view.groups)
    return tables.from_cells(title if view.by_label else "Learning curves: accuracy", rows)


def _cells(view: Curves, group: Group[LearningCurve]) -> Iterator[tuple[str, object]]:
    yield "label", group.label
    if view.by_label:
        yield "runs", len(group.runs)
    lengths = set(map(epochs, group.runs))
    yield "epochs", lengths.pop() if len(lengths) == 1 else Format(".1f").estimate(group.mean(epochs))
    for part, pick in view.accuracies:
        yield f"{part}, {pick}", PERCENT.estimate(accuracy(group, part, pick))


def flat(view: Curves) -> Table:
    """Epochs and accuracies as raw values, one row per group, with intervals where they are over runs."""
    return tables.from_rows("curves", _rows(view, view.accuracies, tables.flat_estimate))


def to_records(view: Curves) -> list[dict[str, Any]]:
    """One JSON object per group: means with intervals over its runs; of a single curve its values."""
    return _rows(view, ACCURACIES, lambda key, found: {key: tables.as_record(found)})


def _rows(
    view: Curves,
    which: Sequence[tuple[LearningPart, Pick]],
    means: Callable[[str, Estimate | None], dict[str, Any]],
) -> list[dict[str, Any]]:
    """A row per group, its means as `means` writes them; of a single curve its values."""
    rows = []
    for group in view.groups:
        found = {f"{part}_accuracy_{pick}": accuracy(group, part, pick) for part, pick in which}
        if view.by_label:
            row: dict[str, Any] = {"label": group.label, "runs": len(group.runs)}
            for key, mean in {"epochs": group.mean(epochs), **found}.items():
                row |= means(key, mean)
        else:
            (curve,) = group.runs
            row = {"label": group.label, "model": curve.model, "epochs": epochs(curve)}
            row |= {key: mean and mean.mean for key, mean in found.items()}
        rows.append(row)
    return rows
