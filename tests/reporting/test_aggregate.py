"""Runs gathered by label."""

from __future__ import annotations

import dataclasses

import pytest

from emoprune.errors import BadMetrics
from emoprune.evaluation.types import ClassScore
from emoprune.reporting.aggregate import all_changes, by_label, by_setting, varying
from emoprune.reporting.confidence import estimate
from emoprune.reporting.types import Estimate
from tests.support.runs import run

WHOLE = [run("whole", accuracy, seed=seed) for seed, accuracy in enumerate((0.5, 0.6, 0.7))]
SMALL = [run("small", accuracy, units=4, seed=seed) for seed, accuracy in enumerate((0.45, 0.5, 0.7))]


def test_equal_labels_are_gathered_in_the_order_in_which_they_come() -> None:
    mixed = [WHOLE[0], SMALL[0], WHOLE[1], SMALL[1], SMALL[2], WHOLE[2]]
    assert [(entry.label, len(entry.runs)) for entry in by_label(mixed)] == [("whole", 3), ("small", 3)]
    assert by_label(mixed)[1].runs == tuple(SMALL)


def test_without_a_label_runs_are_gathered_by_model() -> None:
    others = [dataclasses.replace(run(None, 0.5), model=model) for model in ("a/m.st", "b/m.st", "a/m.st")]
    assert [(entry.label, len(entry.runs)) for entry in by_label(others)] == [("a/m.st", 2), ("b/m.st", 1)]


def test_every_measure_is_a_mean_over_runs() -> None:
    whole, small = by_label([*WHOLE, *SMALL])
    assert whole.mean("accuracy") == estimate([0.5, 0.6, 0.7])
    assert whole.mean("macro F1") == estimate([0.25, 0.3, 0.35])
    assert (small.mean("units").mean, small.mean("parameters").mean) == (4, 400)
    assert (small.mean("non-zero").mean, small.mean("MACs").mean) == (360, 1000)


def test_changes_are_paired_by_seed_whatever_the_order() -> None:
    whole, small = by_label([*WHOLE, *reversed(SMALL)])
    change = small.change("accuracy", whole)
    assert change is not None
    # -0.05, -0.1 and 0
    assert change.n == 3
    assert change.mean == pytest.approx(-0.05)
    assert change.low == pytest.approx(estimate([-0.05, -0.1, 0.0]).low)
    assert all_changes(small, whole)["units"] == Estimate(3, -6.0, -6.0, -6.0)


def test_runs_without_a_seed_are_no_pairs() -> None:
    whole, other = by_label([*WHOLE, run("other", 0.9)])
    assert other.change("accuracy", whole) is None


def test_a_class_mean_is_over_the_runs_where_it_is_defined() -> None:
    never = dataclasses.replace(
        WHOLE[0], per_class={**WHOLE[0].per_class, "angry": ClassScore(None, 0.2, None, 5)}
    )
    (whole,) = by_label([never, *WHOLE[1:]])
    assert whole.mean_of_class("precision", "angry") == Estimate(2, 0.5, 0.5, 0.5)
    assert whole.mean_of_class("recall", "angry") == estimate([0.2, 0.6, 0.7])
    assert whole.mean_of_class("precision", "happy") is None
    assert whole.mean_of_class("precision", "bored") is None


def test_confusions_add_up() -> None:
    (whole,) = by_label([WHOLE[0], dataclasses.replace(WHOLE[1], confusion=((5, 0), (0, 5)))])
    assert whole.confusion == ((9, 1), (2, 8))


def test_runs_of_one_label_with_different_classes_are_refused() -> None:
    other = dataclasses.replace(WHOLE[1], classes=("happy", "angry"), per_class=WHOLE[1].per_class)
    with pytest.raises(BadMetrics, match=r"label 'whole'.*classes"):
        by_label([WHOLE[0], other])


def test_settings_that_differ_within_a_label_are_told_but_for_the_seed() -> None:
    (label,) = by_label(
        [run("x", 0.5, seed=0, hidden=5, rule="a"), run("x", 0.5, seed=1, hidden=6, rule="a")]
    )
    assert varying(label.runs, but=("seed",)) == ["hidden"]


def test_a_row_whose_name_a_user_has_given_to_another_is_numbered() -> None:
    runs = [run("a", 0.1, x=1), run("a", 0.2, x=2), run("a, x 1", 0.3)]
    found = by_setting(by_label(runs))
    assert [entry.label for entry in found] == ["a, x 1", "a, x 2", "a, x 1 (2)"]
    assert [entry.runs[0].accuracy for entry in found] == [0.1, 0.2, 0.3]


def test_the_number_of_a_trial_is_nothing_that_a_network_is_made_with() -> None:
    runs = [run("a", 0.1 * trial, trial=trial, seed=0, hidden=5 * (trial % 2)) for trial in range(4)]
    assert [(entry.label, len(entry.runs)) for entry in by_setting(by_label(runs))] == [
        ("a, hidden 0", 2),
        ("a, hidden 5", 2),
    ]
