"""The answers of two models for the same images, paired by name."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from emoprune import events
from emoprune.errors import BadData, at
from emoprune.evaluation.predictions import Predictions
from emoprune.evaluation.significance.compare import Comparison, compare

Indices = NDArray[np.int64]

SHORT = 12
"""Characters of a fingerprint in messages."""


@dataclass(frozen=True)
class Flip:
    """An image that only one of two models has right; `confidence` is that of the wrong answer."""

    name: str
    label: str
    before: str
    after: str
    confidence: float

    @property
    def lost(self) -> bool:
        """Whether the second model has it wrong."""
        return self.before == self.label


@dataclass(frozen=True, eq=False)
class Pairs:
    """The answers of two models for n images, in the order of their names.

    `labels`, `before` and `after` (n,) are indices into `classes`, the confidences (n,) the probabilities of
    the answers. `groups` (n,) are numbered from 0; None where nobody knows them.
    """

    classes: tuple[str, ...]
    names: tuple[str, ...]
    groups: NDArray[np.intp] | None
    labels: Indices
    before: Indices
    after: Indices
    before_confidence: NDArray[np.float64]
    after_confidence: NDArray[np.float64]

    def compared(self) -> Comparison:
        """The second model against the first, with recall in the order of the classes."""
        found = compare(self.labels, self.before, self.after, groups=self.groups)
        recall = {self.classes[int(index)]: change for index, change in found.recall.items()}
        return replace(found, recall=recall)

    def flips(self) -> tuple[Flip, ...]:
        """The images that only one has right: first those that are lost, the most confident errors first."""
        lost, gained = (self.labels == each for each in (self.before, self.after))
        wrong = np.where(lost, self.after_confidence, self.before_confidence)
        found = [
            Flip(
                self.names[index],
                label=self.classes[self.labels[index]],
                before=self.classes[self.before[index]],
                after=self.classes[self.after[index]],
                confidence=float(wrong[index]),
            )
            for index in np.flatnonzero(lost != gained).tolist()
        ]
        return tuple(sorted(found, key=lambda flip: (not flip.lost, -flip.confidence, flip.name)))


def pair(first: Predictions, second: Predictions, *, force: bool = False) -> Pairs:
    """The answers of both for the images that both have.

    Groups may be known in one of them only. Raises BadData that names the second run for other data, or for
    images that only one has, unless `force`; always for none in common, and for classes, labels or groups
    that contradict one another.
    """
    with at(second.run):
        _check_data(first, second, force=force)
        ours, theirs = _in_common(first, second, force=force)
        order = _class_order(first, second)
        labels, before = first.labels[ours], first.predicted[ours]
        names = tuple(first.names[index] for index in ours.tolist())
        _check_labels(first, names, labels, order[second.labels[theirs]])
        answers = second.predicted[theirs]
        return Pairs(
            first.classes,
            names,
            _groups(first, second, ours, theirs),
            labels,
            before,
            order[answers],
            first.probabilities[ours, before],
            second.probabilities[theirs, answers],
        )


def _check_data(first: Predictions, second: Predictions, *, force: bool) -> None:
    if first.data_fingerprint == second.data_fingerprint:
        return
    here, there = (each.data_fingerprint[:SHORT] for each in (second, first))
    fact = f"its data are {here}, and those of {first.run} are {there}"
    if not force:
        raise BadData(fact, "evaluate both on the same data, or give `force=True` to pair images by name")
    events.warn(f"{second.run}: {fact}; images of the same name are taken for the same")


def _in_common(first: Predictions, second: Predictions, *, force: bool) -> tuple[Indices, Indices]:
    """Where the images that both have stand in each, in the order of their names."""
    places = {name: index for index, name in enumerate(second.names)}
    found = sorted((name, index) for index, name in enumerate(first.names) if name in places)
    here, there = len(second.names) - len(found), len(first.names) - len(found)
    if not found:
        fact = f"none of its {here:,} images is among the {there:,} of {first.run}"
        raise BadData(fact, "evaluate both on the same data")
    if here or there:
        fact = f"{events.counted(here, 'image')} of it and {there:,} of {first.run} are not in the other"
        if not force:
            remedy = "evaluate both on the same images, or give `force=True` to compare those in common"
            raise BadData(fact, remedy)
        events.warn(f"{second.run}: {fact}, and are left out; compared are {len(found):,} in common")
    ours = np.array([index for _, index in found], dtype=np.int64)
    return ours, np.array([places[name] for name, _ in found], dtype=np.int64)


def _class_order(first: Predictions, second: Predictions) -> Indices:
    """Where each class of the second stands among those of the first."""
    if set(first.classes) != set(second.classes):
        lists = [", ".join(each.classes) for each in (second, first)]
        fact = f"its classes are {lists[0]}, and those of {first.run} are {lists[1]}"
        raise BadData(fact, "compare networks of the same classes")
    places = {name: index for index, name in enumerate(first.classes)}
    return np.array([places[name] for name in second.classes], dtype=np.int64)


def _check_labels(first: Predictions, names: Sequence[str], labels: Indices, others: Indices) -> None:
    different = np.flatnonzero(labels != others).tolist()
    if not different:
        return
    index = different[0]
    here, there = first.classes[others[index]], first.classes[labels[index]]
    fact = (
        f"{len(different):,} of {len(names):,} labels differ: "
        f"{names[index]} is {here} here, and {there} in {first.run}"
    )
    raise BadData(fact, "evaluate both on the same labels")


def _groups(
    first: Predictions, second: Predictions, ours: Indices, theirs: Indices
) -> NDArray[np.intp] | None:
    """The group of each image, by number, from whoever knows it; None where nobody knows any."""
    known = [_named(first, ours), _named(second, theirs)]
    if not any(map(any, known)):
        return None
    both = [(one, other) for one, other in zip(*known, strict=True) if one and other]
    pairs = set(both)
    # they may have other names, as long as the same images are together
    if not len(pairs) == len(_distinct(both, 0)) == len(_distinct(both, 1)):
        fact = f"its groups of images are not those of {first.run}"
        raise BadData(fact, "write both predictions with the same `group_by`")
    if not both:
        knows, lacks = (first, second) if any(known[0]) else (second, first)
        events.note(f"groups of images are those of {knows.run}; {lacks.run} knows none")
    renamed = {other: one for one, other in pairs}
    merged = [
        ("first", one) if one else ("first", renamed[other]) if other in renamed else ("second", other)
        for one, other in zip(*known, strict=True)
    ]
    nameless = sum(not name for _, name in merged)
    if nameless:
        events.note(f"{second.run}: {events.counted(nameless, 'image')} without a group count as one group")
    numbers = {name: index for index, name in enumerate(dict.fromkeys(merged))}
    return np.array([numbers[name] for name in merged], dtype=np.intp)


def _named(found: Predictions, places: Indices) -> list[str]:
    """The group of each image, empty where it is not known."""
    return [found.groups[index] if found.groups else "" for index in places.tolist()]


def _distinct(pairs: Iterable[tuple[str, str]], side: int) -> set[str]:
    return {pair[side] for pair in pairs}
