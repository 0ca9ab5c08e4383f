"""Splits that keep groups of samples on one side: whole groups, near the sizes asked for."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emoprune.data.splits import partition
from emoprune.data.types import Catalogue, SplitRule
from emoprune.errors import BadData, InvalidRecord

Groups = tuple[tuple[int, ...], ...]
CLASSES = ("angry", "happy", "sad")


def catalogue(samples: int) -> Catalogue:
    """Samples of three classes in turn, ten of each film."""
    names = tuple(f"film{index // 10}_{index}.jpg" for index in range(samples))
    return Catalogue("faces", names, tuple(index % 3 for index in range(samples)), CLASSES, "f")


@st.composite
def tied(draw: st.DrawFn) -> tuple[int, Groups]:
    """How many samples, and some of them in groups of two to five."""
    samples = draw(st.integers(90, 200))
    order = list(range(samples))
    random.Random(draw(st.integers(0, 10**6))).shuffle(order)
    groups = []
    for size in draw(st.lists(st.integers(2, 5), min_size=1, max_size=12)):
        groups.append(tuple(sorted(order[:size])))
        del order[:size]
    return samples, tuple(groups)


def sides(parts: dict[str, tuple[int, ...]], group: tuple[int, ...]) -> set[str]:
    return {part for part, indices in parts.items() if set(indices) & set(group)}


@settings(max_examples=40)
@given(tied(), st.sampled_from(("80/20", "75/10/15")), st.integers(0, 1000))
def test_no_group_is_torn_and_sizes_and_classes_are_near_those_asked_for(
    data: tuple[int, Groups], shares: str, seed: int
) -> None:
    samples, groups = data
    rule = SplitRule(shares, seed, None, "f", groups)
    parts = dict(partition(catalogue(samples), rule))
    assert sorted(index for part in parts.values() for index in part) == list(range(samples))
    assert all(len(sides(parts, group)) == 1 for group in groups)
    for part, share in zip(parts.values(), shares.split("/"), strict=True):
        assert abs(len(part) - samples * int(share) / 100) <= 5
        for label in range(3):
            assert abs(sum(index % 3 == label for index in part) - len(part) / 3) <= 5
    assert partition(catalogue(samples), rule) == parts


def test_another_seed_deals_groups_elsewhere() -> None:
    groups = tuple((index, index + 3) for index in range(0, 60, 6))
    parts = [partition(catalogue(120), SplitRule("80/20", seed, None, "f", groups)) for seed in range(2)]
    assert parts[0] != parts[1]


def test_what_stays_together_by_name_and_by_likeness_is_one_group() -> None:
    # of films 0 to 3 each has a picture that is in the next, in whatever order that is found
    groups = ((29, 30), (9, 10), (19, 20))
    for seed in range(20):
        parts = dict(partition(catalogue(120), SplitRule("50/50", seed, "^[^_]+", "f", groups)))
        assert len(sides(parts, tuple(range(40)))) == 1
        for film in range(4, 12):
            assert len(sides(parts, tuple(range(10 * film, 10 * film + 10)))) == 1


def test_nothing_to_keep_together_is_the_split_that_it_was() -> None:
    plain = partition(catalogue(90), SplitRule("80/20", 3, None, "f"))
    assert plain == partition(catalogue(90), SplitRule("80/20", 3, None, "f", ()))


def test_one_group_of_all_cannot_be_split() -> None:
    with pytest.raises(BadData, match="--split-by: 1, fewer than the 2 parts"):
        partition(catalogue(90), SplitRule("80/20", 0, None, "f", (tuple(range(90)),)))


def test_a_sample_that_is_not_there_is_a_fault() -> None:
    with pytest.raises(InvalidRecord, match="beyond the 90"):
        partition(catalogue(90), SplitRule("80/20", 0, None, "f", ((3, 90),)))


@pytest.mark.parametrize("together", [((),), ((4,),), ((2, 1),), ((-1, 2),), ((1, 2), (2, 3)), ((1, 1),)])
def test_no_rule_has_groups_that_are_none(together: Groups) -> None:
    with pytest.raises(InvalidRecord, match="no groups of samples"):
        SplitRule("80/20", 0, None, "f", together)
