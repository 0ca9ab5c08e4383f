"""Folds: disjoint, of even sizes and classes, with groups whole; as good as scikit-learn's."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.model_selection import StratifiedGroupKFold

from emoprune.data.folds import folds
from emoprune.data.types import WHOLE, Catalog, SplitRule
from emoprune.errors import BadData

PERSON = "^[^_]+"


def of(names: Sequence[str], labels: Sequence[int]) -> Catalog:
    classes = tuple(f"class{label}" for label in range(max(labels) + 1))
    return Catalog("faces", tuple(names), tuple(labels), classes, "f")


def rule(k: int, group_by: str | None = None, seed: int = 0) -> SplitRule:
    return SplitRule(WHOLE, seed, group_by, "f", fold=(1, k))


def spread(values: Sequence[float]) -> float:
    return max(values) - min(values)


def class_spread(catalog: Catalog, found: Sequence[Sequence[int]]) -> float:
    """The largest difference, over classes, of the fraction of a class that folds hold."""
    totals = Counter(catalog.labels)
    held = [Counter(catalog.labels[index] for index in fold) for fold in found]
    return max(spread([each[label] / total for each in held]) for label, total in totals.items())


@settings(max_examples=40)
@given(
    st.lists(st.integers(7, 40), min_size=2, max_size=5),
    st.integers(2, 7),
    st.integers(0, 9),
    st.integers(0, 2),
)
def test_folds_of_single_samples_differ_by_one(counts: list[int], k: int, seed: int, left_out: int) -> None:
    labels = [label for label, count in enumerate(counts) for _ in range(count)]
    random.Random(seed).shuffle(labels)
    catalog = of([f"{index}.jpg" for index in range(len(labels))], labels)
    # the rest of the data is a test part
    pool = [index for index in range(len(labels)) if not left_out or index % 50 != left_out]
    if min(Counter(labels[index] for index in pool).values()) < k:
        return
    found = folds(catalog, pool, rule(k, seed=seed))
    assert sorted(index for fold in found for index in fold) == pool
    assert spread([len(fold) for fold in found]) <= 1
    for label in range(len(counts)):
        assert spread([sum(labels[index] == label for index in fold) for fold in found]) <= 1
    assert found == folds(catalog, pool, replace(rule(k, seed=seed), fold=(k, k)))
    assert found != folds(catalog, pool, rule(k, seed=seed + 1))


def people(seed: int, count: int = 60, classes: int = 4) -> Catalog:
    """Photos of people, of whom few have many and most have few."""
    chance = random.Random(seed)
    names, labels = [], []
    for person in range(count):
        for photo in range(1 + int(chance.paretovariate(1.2)) % 60):
            names.append(f"p{person}_{photo}.jpg")
            labels.append(chance.randrange(classes))
    return of(names, labels)


@pytest.mark.parametrize("k", [2, 5])
def test_folds_of_groups_are_whole_and_no_less_even_than_those_of_scikit_learn(k: int) -> None:
    ours, theirs = list[tuple[float, float]](), list[tuple[float, float]]()

    for seed in range(12):
        catalog = people(seed)
        group = [name.split("_")[0] for name in catalog.names]
        found = folds(catalog, range(len(group)), rule(k, PERSON))
        assert sorted(index for fold in found for index in fold) == list(range(len(group)))
        sides = [{group[index] for index in fold} for fold in found]
        assert sum(map(len, sides)) == len(set(group))
        dealt = StratifiedGroupKFold(k).split(group, catalog.labels, group)
        rival = [held.tolist() for _, held in dealt]
        for made, each in ((ours, found), (theirs, rival)):
            made.append((spread([len(fold) for fold in each]) / len(group), class_spread(catalog, each)))
    assert (np.mean(ours, 0) <= np.mean(theirs, 0) + 0.01).all()


def test_folds_keep_near_duplicates_together() -> None:
    catalog = of([f"{index}.jpg" for index in range(30)], [index % 3 for index in range(30)])
    together = ((0, 4, 8), (1, 2), (29,))[:2]
    found = folds(catalog, range(30), replace(rule(3), together=together))
    for group in together:
        assert len([fold for fold in found if set(fold) & set(group)]) == 1
    assert spread([len(fold) for fold in found]) <= 2


@pytest.mark.parametrize(
    ("catalog", "given", "says"),
    [
        (
            of("abcdef", [0, 0, 0, 0, 1, 1]),
            rule(3),
            "class class1 is in 2 samples, fewer than the 3 folds; give `folds=2` or fewer",
        ),
        (
            of("abc", [0, 0, 1]),
            rule(2),
            "class class1 is in 1 sample, fewer than the 2 folds; add samples to it",
        ),
        (
            of(["a_1", "a_2", "b_1", "b_2", "c_1", "c_2"], [0, 1] * 3),
            rule(4, PERSON),
            "groups made by `group_by`: 3, fewer than the 4 folds; `folds=3` at most",
        ),
        (
            of(["a_1", "a_2", "b_1", "b_2", "c_1", "c_2"], [0, 1, 0, 1, 0, 0]),
            rule(3, PERSON),
            "class class1 is in 2 groups, fewer than the 3 folds; give `folds=2` or fewer",
        ),
    ],
)
def test_folds_refuse_more_than_would_do_and_say_how_many_would(
    catalog: Catalog, given: SplitRule, says: str
) -> None:
    with pytest.raises(BadData) as caught:
        folds(catalog, range(len(catalog.names)), given)
    assert says in str(caught.value)
