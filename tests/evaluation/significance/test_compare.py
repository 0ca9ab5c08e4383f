"""Comparisons of two models: what both of their answers say, by class and by group."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from statsmodels.stats.multitest import multipletests

from emoprune.errors import InvalidRecord
from emoprune.evaluation.significance.compare import (
    Change,
    adjust,
    adjust_all,
    change_of,
    compare,
    holm,
)
from emoprune.evaluation.significance.paired import mcnemar, score_interval

Array = NDArray[np.intp]
Case = tuple[Array, Array, Array, Array | None]


@st.composite
def answered(draw: st.DrawFn) -> Case:
    """Labels, predictions of two models, and groups or none."""
    images = draw(st.integers(1, 60))
    generator = np.random.default_rng(draw(st.integers(0, 10**6)))
    labels, first, other = generator.integers(0, draw(st.integers(1, 4)), (3, images))
    second = np.where(generator.random(images) < draw(st.sampled_from([0.0, 0.3, 1.0])), other, first)
    groups = generator.integers(0, draw(st.integers(1, 9)), images)
    return labels, first, second, draw(st.sampled_from([groups, None]))


@given(answered())
def test_compare_turns_with_the_models(
    case: Case,
) -> None:
    labels, first, second, groups = case
    there = compare(labels, first, second, groups=groups).accuracy
    back = compare(labels, second, first, groups=groups).accuracy
    assert (back.before, back.after, back.difference) == (there.after, there.before, -there.difference)
    assert (back.p is None) == (there.p is None)
    if there.p is not None and there.interval is not None and back.interval is not None:
        if there.mcnemar.gained + there.mcnemar.lost:
            assert back.p == pytest.approx(there.p)
            assert back.interval == pytest.approx((-there.interval[1], -there.interval[0]))
        assert there.interval[0] <= there.difference <= there.interval[1]
        assert 0 <= there.p <= 1


@given(answered(), st.integers(0, 10**6))
def test_compare_ignores_the_order_of_images(case: Case, seed: int) -> None:
    order = np.random.default_rng(seed).permutation(len(case[0]))
    labels, first, second, groups = (None if each is None else each[order] for each in case)
    assert labels is not None
    assert first is not None
    assert second is not None
    found, shuffled = compare(*case[:3], groups=case[3]), compare(labels, first, second, groups=groups)
    for name, change in (("", found.accuracy), *found.recall.items()):
        same = shuffled.recall[name] if name else shuffled.accuracy
        assert same.mcnemar == change.mcnemar
        assert (same.p or 0) == pytest.approx(change.p or 0)
        assert (same.interval or ()) == pytest.approx(change.interval or ())


def test_compare_counts_right_answers_of_all_and_of_each_class() -> None:
    labels = ["happy"] * 4 + ["sad"] * 2
    first = ["happy", "happy", "sad", "sad", "sad", "sad"]
    second = ["happy", "sad", "happy", "happy", "sad", "happy"]
    found = compare(labels, first, second)
    assert found.accuracy.mcnemar == mcnemar(2, 2)
    assert (found.accuracy.before, found.accuracy.after) == pytest.approx((4 / 6, 4 / 6))
    assert list(found.recall) == ["happy", "sad"]
    happy, sad = found.recall.values()
    assert (happy.images, happy.before, happy.after, happy.mcnemar) == (4, 0.5, 0.75, mcnemar(2, 1))
    assert (sad.images, sad.before, sad.after, sad.mcnemar) == (2, 1.0, 0.5, mcnemar(0, 1))


def test_compare_adjusts_the_recalls_for_the_number_of_classes() -> None:
    labels = np.repeat([0, 1, 2], 40)
    second = labels.copy()
    second[:9] = 1
    found = compare(labels, labels, second).recall
    assert found["0"].p == pytest.approx(2 * 0.5**9 - 0.5**9)
    assert found["0"].adjusted_p == pytest.approx(3 * 0.5**9)
    assert list(compare(labels, labels, second).payers) == ["0"]


def test_compare_without_groups_is_mcnemar_and_the_score_interval() -> None:
    labels = np.zeros(161, int)
    first, second = (np.repeat([0, 1, 0, 1], [59, 6, 16, 80]), np.repeat([0, 0, 1, 1], [59, 6, 16, 80]))
    found = compare(labels, first, second).accuracy
    assert (found.p, found.interval) == (mcnemar(6, 16).mid_p, score_interval(6, 16, 161))
    assert found.design_effect is None


def test_compare_with_groups_does_not_take_one_film_for_evidence() -> None:
    # the 30 lost images are all of one film of 20: chance alone would not do that, a film does
    films = np.repeat(np.arange(20), 30)
    labels, second = np.zeros(600, int), (films == 0).astype(int)
    plain, grouped = compare(labels, labels, second), compare(labels, labels, second, groups=films)
    assert plain.accuracy.p == pytest.approx(0.5**30)
    assert plain.accuracy.significant
    # a mean over 20 films of which one differs: t = 1 over 19 degrees of freedom is 0.33
    assert grouped.accuracy.p == pytest.approx(0.33, abs=0.02)
    assert not grouped.accuracy.significant
    assert grouped.accuracy.interval is not None
    assert grouped.accuracy.interval[0] < -0.1


def test_compare_takes_groups_that_are_too_even_for_chance() -> None:
    # every film loses one image: without a limit, nothing would vary, and everything be certain
    films = np.repeat(np.arange(20), 30)
    second = (np.arange(600) % 30 == 0).astype(int)
    found = compare(np.zeros(600), np.zeros(600), second, groups=films).accuracy
    assert found.design_effect == 0.5
    assert found.interval is not None
    assert found.interval[0] < found.difference < found.interval[1] < 0


@given(answered())
def test_compare_with_groups_rejects_where_the_interval_leaves_out_0(case: Case) -> None:
    labels, first, second, groups = case
    found = compare(labels, first, second, groups=np.arange(len(labels)) if groups is None else groups)
    for change in (found.accuracy, *found.recall.values()):
        if change.p is not None and change.interval is not None and abs(change.p - 0.05) > 1e-6:
            assert (change.p < 0.05) == (not change.interval[0] <= 0 <= change.interval[1])


def test_compare_of_one_group_has_no_test() -> None:
    found = compare([0, 1, 1], [0, 0, 1], [1, 1, 1], groups=["film"] * 3)
    for change in (found.accuracy, *found.recall.values()):
        assert (change.groups, change.p, change.adjusted_p, change.interval, change.shows) == (1, *[None] * 4)
        assert not change.significant
        assert not change.not_worse_by(100)


def test_compare_leaves_a_class_of_one_group_out_of_the_tests() -> None:
    labels, groups = np.array([0, 0, 1, 1, 1]), np.array([0, 0, 0, 1, 1])
    found = compare(labels, labels, [1, 1, 1, 1, 0], groups=groups).recall
    assert found["0"].p is None
    assert found["1"].adjusted_p == found["1"].p is not None


@pytest.mark.parametrize("groups", [None, "two"])
def test_compare_of_equal_answers_proves_nothing_with_few_images(groups: str | None) -> None:
    films = None if groups is None else [0, 0, 1]
    found = compare([0, 1, 2], [0, 1, 1], [0, 1, 1], groups=films).accuracy
    assert (found.difference, found.p, found.shows) == (0, 1, None)
    assert not found.not_worse_by(50)
    assert compare([0] * 2434, [0] * 2434, [0] * 2434).accuracy.not_worse_by(0.2)


def test_compare_counts_films_where_no_answer_changes() -> None:
    # right and wrong films: as many images as films
    films = np.repeat(np.arange(40), 20)
    answers = films % 2
    found = compare(np.zeros(800), answers, answers, groups=films).accuracy
    assert found.design_effect == pytest.approx(20 * 40 / 39)
    alike = compare(np.zeros(800), np.zeros(800), np.zeros(800), groups=films).accuracy
    assert alike.design_effect == pytest.approx(20)


@pytest.mark.parametrize(
    ("labels", "first", "second", "groups"),
    [
        ([], [], [], None),
        ([0, 1], [0, 1], [0], None),
        ([0, 1], [0, 1], [0, 1], [0]),
        ([[0]], [[0]], [[0]], None),
        ([0, 1], ["0", "1"], [0, 1], None),
    ],
)
def test_compare_refuses_what_is_not_one_answer_for_each_image(
    labels: list[object], first: list[object], second: list[object], groups: list[object] | None
) -> None:
    with pytest.raises(InvalidRecord):
        compare(labels, first, second, groups=groups)  # type: ignore[arg-type]


@pytest.mark.parametrize("count", [1, 2, 7, 40])
def test_holm_agrees_with_statsmodels(count: int) -> None:
    # rounded, so that some are equal
    p_values = np.random.default_rng(count).random(count).round(1) ** 3
    assert holm(p_values.tolist()) == pytest.approx(multipletests(p_values, method="holm")[1], abs=1e-9)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_keeps_the_order_and_lowers_no_p(p_values: list[float]) -> None:
    found = holm(p_values)
    assert all(adjusted >= p for adjusted, p in zip(found, p_values, strict=True))
    order = sorted(range(len(found)), key=p_values.__getitem__)
    assert sorted(found) == [found[index] for index in order]
    assert max(found) <= 1


def test_holm_of_nothing_is_nothing() -> None:
    assert holm([]) == ()


def test_adjust_leaves_out_what_has_no_p() -> None:
    tested = change_of(np.array([True] * 6 + [False]), np.array([False] * 7))
    found: list[Change] = adjust([tested, replace(tested, p=None, adjusted_p=None), tested])
    assert tested.p is not None
    assert [each.adjusted_p for each in found] == [2 * tested.p, None, 2 * tested.p]


def test_adjust_all_adjusts_the_accuracies_of_one_report() -> None:
    one = compare([0] * 8, [0] * 8, [1] * 8)
    found = adjust_all([one, one, one])
    assert one.accuracy.p is not None
    assert [each.accuracy.adjusted_p for each in found] == [3 * one.accuracy.p] * 3
    assert found[0].recall == one.recall
