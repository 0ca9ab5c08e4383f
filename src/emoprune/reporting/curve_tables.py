"""What learning curves came to, as a sheet of text, as flat rows and as records."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Any, get_args

from emoprune.reporting.aggregate import Learned, LearningPart, Pick, learned_by_label
from emoprune.reporting.tables import SHARE, Table, Unit, bounds, from_rows, told_apart
from emoprune.training.types import LearningCurve

ACCURACIES: list[tuple[LearningPart, Pick]] = list(product(get_args(LearningPart), get_args(Pick)))


@dataclass(frozen=True)
class Curves:
    """Labels in order; not `together`, each is of one curve."""

    entries: Sequence[Learned]
    together: bool = True

    @cached_property
    def accuracies(self) -> list[tuple[LearningPart, Pick]]:
        """Of which parts some curve has accuracies, the last and the best of each."""
        return [which for which in ACCURACIES if any(entry.accuracy(*which) for entry in self.entries)]


def gathered(curves: Sequence[LearningCurve]) -> Curves:
    """The curves of each label as one."""
    return Curves(learned_by_label(curves))


def one_by_one(curves: Sequence[LearningCurve]) -> Curves:
    """Every curve for itself."""
    names = told_apart(curve.name for curve in curves)
    return Curves(
        [Learned(name, (curve,)) for curve, name in zip(curves, names, strict=True)], together=False
    )


def sheet(view: Curves) -> Table:
    """One row per label; of several runs means, with how far their 95% intervals reach either side."""
    accuracies = (f"{part}, {pick}" for part, pick in view.accuracies)
    columns = ("label", *(["runs"] if view.together else []), "epochs", *accuracies)
    title = "Learning curves by label: accuracy (± 95% interval over runs)"
    return Table(
        title if view.together else "Learning curves: accuracy",
        columns,
        tuple(tuple(_cells(view, entry)) for entry in view.entries),
    )


def _cells(view: Curves, entry: Learned) -> Iterator[object]:
    yield entry.label
    if view.together:
        yield len(entry.curves)
    whole = len({len(curve.training) for curve in entry.curves}) == 1
    yield int(entry.epochs.mean) if whole else Unit(".1f").estimate(entry.epochs)
    for part, pick in view.accuracies:
        yield SHARE.estimate(entry.accuracy(part, pick))


def flat(view: Curves) -> Table:
    """Epochs and accuracies as raw values, one row per label, with intervals where they are over runs."""
    return from_rows("curves", [_flat(view, entry) for entry in view.entries])


def _flat(view: Curves, entry: Learned) -> dict[str, object]:
    accuracies = {_key(*which): entry.accuracy(*which) for which in view.accuracies}
    if not view.together:
        return {**_alone(entry), **{key: found.mean if found else None for key, found in accuracies.items()}}
    row: dict[str, object] = {"label": entry.label, "runs": len(entry.curves)}
    for key, found in {"epochs": entry.epochs, **accuracies}.items():
        row |= {key: found.mean if found else None, **bounds(key, found)}
    return row


def to_records(view: Curves) -> list[dict[str, Any]]:
    """One JSON object per label: means with intervals over its runs; of one curve alone, its values."""
    return [_record(view, entry) for entry in view.entries]


def _record(view: Curves, entry: Learned) -> dict[str, Any]:
    accuracies = {_key(*which): entry.accuracy(*which) for which in ACCURACIES}
    if not view.together:
        return {**_alone(entry), **{key: found.mean if found else None for key, found in accuracies.items()}}
    return {
        **{"label": entry.label, "runs": len(entry.curves), "epochs": vars(entry.epochs)},
        **{key: vars(found) if found else None for key, found in accuracies.items()},
    }


def _alone(entry: Learned) -> dict[str, object]:
    (curve,) = entry.curves
    return {"label": entry.label, "model": curve.model, "epochs": len(curve.training)}


def _key(part: LearningPart, pick: Pick) -> str:
    return f"{part}_accuracy_{pick}"
