"""Two classifiers on the same images: who is right more often, by how much, on which classes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from emoprune.errors import InvalidRecord
from emoprune.evaluation.significance.paired import (
    INDEPENDENT,
    LEVEL,
    McNemar,
    View,
    clustered_view,
    mcnemar,
    score_interval,
    smallest_difference,
    whole_groups_view,
)
from emoprune.evaluation.types import MARGIN

Flags = NDArray[np.bool_]
Entries = NDArray[Any]


@dataclass(frozen=True)
class Change:
    """What a second model has right, against a first one, on the same images.

    `before` and `after` are fractions of the images. `interval` is of after - before, at 95%. `p` is
    two-sided, `adjusted_p` is Holm's among all tests of one question. `shows` is the smallest difference that
    so many images show with 80% power at 5%; None where they show none.

    Without groups, `p` is McNemar's mid-p. With groups it is that of a score test that counts groups, because
    McNemar's test assumes independent images: where films differ, it rejects far too often. `interval` and
    `shows` count groups in the same way; images / `design_effect` independent images would tell as much.
    A single group says nothing of others: no interval and no p.
    """

    images: int
    groups: int | None
    before: float
    after: float
    mcnemar: McNemar
    interval: tuple[float, float] | None = None
    p: float | None = None
    adjusted_p: float | None = None
    shows: float | None = None
    design_effect: float | None = None

    @property
    def difference(self) -> float:
        """After minus before."""
        return (self.mcnemar.gained - self.mcnemar.lost) / self.images

    @property
    def significant(self) -> bool:
        """Whether the adjusted p is below 5%."""
        return self.adjusted_p is not None and self.adjusted_p < LEVEL

    def not_worse_by(self, points: float) -> bool:
        """Whether the second model is not worse by more than a margin in percentage points.

        The margin must lie outside of the two-sided 95% interval, which is a one-sided test at 2.5%, the
        usual one (ICH E9 1998, 3.3.2 and 5.5).
        """
        return self.interval is not None and 100 * self.interval[0] > -points


@dataclass(frozen=True)
class Comparison:
    """A second model against a first one: accuracy, and the recall of each class that has images.

    The p-values of `recall` are adjusted for the number of classes, that of `accuracy` by `adjust_all`.
    """

    accuracy: Change
    recall: Mapping[str, Change]

    @property
    def payers(self) -> Mapping[str, Change]:
        """The classes whose recall is significantly lower, the largest loss first."""
        worse = [item for item in self.recall.items() if item[1].significant and item[1].difference < 0]
        return dict(sorted(worse, key=lambda item: item[1].difference))

    def sentence(self, margin_points: float = MARGIN) -> str:
        """The verdict in words; `margin_points` are those by which accuracy may fall."""
        from emoprune.evaluation.significance import sentences

        return sentences.sentence(self, margin_points=margin_points)


def compare(
    labels: ArrayLike, first: ArrayLike, second: ArrayLike, *, groups: ArrayLike | None = None
) -> Comparison:
    """The second model's predictions against the first's, all (n,) integers or strings, as are groups.

    Raises InvalidRecord for unequal lengths, no images, and numbers beside names of classes.
    """
    truth, one, other = (np.asarray(each) for each in (labels, first, second))
    inside = None if groups is None else np.asarray(groups)
    _check(truth, one, other, inside)
    before, after = one == truth, other == truth
    recall = {}
    for name in np.unique(truth):
        own = truth == name
        recall[str(name)] = change_of(before[own], after[own], groups=None if inside is None else inside[own])
    adjusted = adjust([*recall.values()])
    return Comparison(change_of(before, after, groups=inside), dict(zip(recall, adjusted, strict=True)))


def _check(truth: Entries, one: Entries, other: Entries, groups: Entries | None) -> None:
    found = [truth, one, other, *([] if groups is None else [groups])]
    if len({each.shape for each in found}) > 1 or truth.ndim != 1 or not len(truth):
        shapes = ", ".join(str(each.shape) for each in found)
        raise InvalidRecord(
            f"labels, predictions and groups of shapes {shapes}", "give one of each per image"
        )
    if len({each.dtype.kind in "OSU" for each in found[:3]}) > 1:
        raise InvalidRecord("numbers beside names of classes", "give labels and predictions alike")


def change_of(before: Flags, after: Flags, *, groups: Entries | None = None) -> Change:
    """What changes between (n,) flags of right answers, with the group of each image where known."""
    images, numbers = len(before), None if groups is None else np.unique(groups, return_inverse=True)[1]
    found = mcnemar(int((after & ~before).sum()), int((before & ~after).sum()))
    change = Change(
        images=images,
        groups=None if numbers is None else int(numbers.max()) + 1,
        before=float(before.mean()),
        after=float(after.mean()),
        mcnemar=found,
    )
    view = _view(before, after, numbers)
    if view is None:
        return change
    pairs, more = found.gained + found.lost, found.gained - found.lost
    clustered_p = view.two_sided(more / math.sqrt(max(1, pairs) * view.design_effect))
    p = found.mid_p if groups is None else clustered_p
    shows = smallest_difference(pairs, images, view=view)
    return replace(
        change,
        interval=score_interval(found.gained, found.lost, images, view=view),
        p=p,
        adjusted_p=p,
        shows=shows if shows <= 1 else None,
        design_effect=None if groups is None else view.design_effect,
    )


def _view(before: Flags, after: Flags, groups: NDArray[np.intp] | None) -> View | None:
    """How far to trust a change in these images; None where there is a single group."""
    if groups is None:
        return INDEPENDENT
    if not groups.any():
        return None
    right = after.astype(float)
    # where no answer changes, how alike answers are within groups stands in
    views = clustered_view(right - before, groups), clustered_view(right, groups)
    return views[0] or views[1] or whole_groups_view(groups)


def holm(p_values: Sequence[float]) -> tuple[float, ...]:
    """Holm's step-down p-values (1979): all below a level are significant at that level together."""
    adjusted, largest = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = largest
    return tuple(adjusted)


def adjust(changes: Sequence[Change]) -> list[Change]:
    """The changes, with p-values adjusted for how many of them are tested; those without a p stay out."""
    adjusted = iter(holm([each.p for each in changes if each.p is not None]))
    return [each if each.p is None else replace(each, adjusted_p=next(adjusted)) for each in changes]


def adjust_all(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """The comparisons of one report, with the p-values of accuracy adjusted for how many they are."""
    changes = adjust([each.accuracy for each in comparisons])
    return [replace(each, accuracy=change) for each, change in zip(comparisons, changes, strict=True)]
