"""Folds of equal size, each with its share of every class, for cross-validation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from emoprune.data import groups
from emoprune.data.types import Catalog, SplitRule
from emoprune.errors import BadData

Fold = tuple[int, ...]


def folds(catalog: Catalog, pool: Sequence[int], rule: SplitRule) -> tuple[Fold, ...]:
    """The samples of `pool` in as many folds as `rule.fold` says; which of them that names does not matter.

    Without groups, folds and the samples of a class in them differ by at most one sample in size. With
    groups, each lies in one fold, and folds come close to that. Raises BadData, with a number of folds that
    would do, where some would lack a class.
    """
    assert rule.fold is not None
    count = rule.fold[1]
    labels = np.array(catalog.labels)[list(pool)]
    if rule.group_by is None and not rule.together:
        _check(catalog, Counter(labels.tolist()), count, of="sample")
        return _stratified(pool, labels, count, rule.seed)
    inside = set(pool)
    members = {
        name: held
        for name, indices in groups.members(catalog, rule).items()
        if (held := [index for index in indices if index in inside])
    }
    if len(members) < count:
        raise groups.too_few(members, rule, f"the {count} folds; `folds={len(members)}` at most")
    holding = Counter(label for held in members.values() for label in {catalog.labels[i] for i in held})
    _check(catalog, holding, count, of="group")
    dealt = _grouped(catalog, members, count, rule.seed)
    for number, fold in enumerate(dealt, 1):
        lacking = set(holding) - {catalog.labels[index] for index in fold}
        if lacking:
            fact = f"fold {number} of {count} has no sample of class {catalog.classes[min(lacking)]}"
            raise BadData(fact, "give fewer `folds`, or another `group_by`")
    return dealt


def _check(catalog: Catalog, holding: Mapping[int, int], count: int, *, of: str) -> None:
    """Raise BadData for a class in fewer samples or groups than there are folds."""
    label = min(holding, key=lambda label: (holding[label], label))
    most, name = holding[label], catalog.classes[label]
    if most < count:
        fact = f"class {name} is in {most} {of}{'s' * (most != 1)}, fewer than the {count} folds"
        raise BadData(fact, f"give `folds={most}` or fewer" if most > 1 else "add samples to it")


def _stratified(pool: Sequence[int], labels: np.ndarray, count: int, seed: int) -> tuple[Fold, ...]:
    # takes a second to import, and only random splits need it
    from sklearn.model_selection import StratifiedKFold

    dealer = StratifiedKFold(count, shuffle=True, random_state=seed)
    return tuple(tuple(pool[place] for place in held) for _, held in dealer.split(labels, labels))


def _grouped(catalog: Catalog, members: groups.Members, count: int, seed: int) -> tuple[Fold, ...]:
    classes = len(catalog.classes)
    counts = {
        name: np.bincount([catalog.labels[index] for index in indices], minlength=classes)
        for name, indices in members.items()
    }
    totals = sum(counts.values(), np.zeros(classes))
    # of each class the fraction that a fold holds, and half as much for its fraction of all samples
    scale = np.append(1 / np.maximum(totals, 1), classes / 2 / totals.sum())
    held = np.zeros((count, classes + 1))
    found: list[list[int]] = [[] for _ in range(count)]
    names = sorted(members)
    order = np.random.default_rng(seed).permutation(len(names))
    # the largest first: small ones then even out what those leave
    for name in sorted((names[place] for place in order), key=lambda name: -len(members[name])):
        more = np.append(counts[name], counts[name].sum()) * scale
        # the fold that holds least of what the group brings
        fold = int(np.argmin(held @ more))
        held[fold] += more
        found[fold] += members[name]
    return tuple(tuple(sorted(fold)) for fold in found)
