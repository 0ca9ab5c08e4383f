"""Runs gathered by label."""

from __future__ import annotations

import dataclasses

import pytest

from emoprune.errors import BadMetrics
from emoprune.evaluation.types import ClassScore
from emoprune.pruning.types import PruningStep
from emoprune.reporting.aggregate import all_changes, by_label, by_setting, learned_by_label, varying
from emoprune.reporting.confidence import estimate
from emoprune.reporting.steps import StepGroup, by_units, shared_out, with_printed
from emoprune.reporting.types import Estimate, Printed
from tests.support.runs import curve, pruning, run

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


def test_the_last_and_the_best_accuracy_are_means_over_the_curves_of_a_label() -> None:
    curves = [
        curve("a", (0.2, 0.5), (0.4, 0.3)),
        curve("b", (0.9, None)),
        curve("a", (0.5, 0.1), (0.9, 0.4), (0.6, 0.2)),
    ]
    a, b = learned_by_label(curves)
    assert (a.label, len(a.curves), b.label, len(b.curves)) == ("a", 2, "b", 1)
    means = {
        (part, point): found.mean
        for part in ("train", "val")
        for point in ("last", "best")
        if (found := a.accuracy(part, point))
    }
    assert means == pytest.approx(
        {("train", "last"): 0.5, ("train", "best"): 0.65, ("val", "last"): 0.25, ("val", "best"): 0.45}
    )
    # (2 + 3) / 2 +- 12.706 * sqrt(0.5) / sqrt(2)
    assert [a.epochs.n, a.epochs.mean, a.epochs.high] == pytest.approx([2, 2.5, 8.853], abs=1e-3)
    assert (b.epochs, b.accuracy("train", "last")) == (Estimate(1, 1), Estimate(1, 0.9))


def test_an_accuracy_that_no_epoch_has_is_none_and_a_curve_without_it_does_not_count() -> None:
    (found,) = learned_by_label([curve("a", (0.2, None)), curve("a", (0.4, 0.3))])
    assert found.accuracy("val", "best") == Estimate(1, 0.3)
    (alone,) = learned_by_label([curve("a", (0.2, None))])
    assert alone.accuracy("val", "last") is None


def test_without_a_label_curves_are_gathered_by_model() -> None:
    others = [
        dataclasses.replace(curve("x", (0.5, None)), label=None, model=m) for m in ("a.st", "b.st", "a.st")
    ]
    assert [(entry.label, len(entry.curves)) for entry in learned_by_label(others)] == [
        ("a.st", 2),
        ("b.st", 1),
    ]


COURSES = (
    pruning("sum", PruningStep(9, loss=1.0, accuracy=0.5), PruningStep(8, loss=1.5)),
    pruning("lstsq", PruningStep(9, loss=0.8)),
    pruning("sum", PruningStep(10, loss=0.7), PruningStep(9, loss=2.0)),
)


def test_a_stage_has_the_steps_of_every_run_with_the_most_units_first() -> None:
    found = by_units(COURSES)
    assert [(group.label, group.units, len(group.steps)) for group in found] == [
        *(("sum", 10, 1), ("sum", 9, 2), ("sum", 8, 1)),
        ("lstsq", 9, 1),
    ]


def test_a_measure_is_the_mean_of_the_runs_that_have_it_with_students_interval() -> None:
    group = by_units(COURSES)[1]
    loss = group.mean("loss")
    assert loss is not None
    # 1.5 +- 12.706 * sqrt(0.5) / sqrt(2)
    assert (loss.n, loss.mean) == (2, 1.5)
    assert [loss.low, loss.high] == pytest.approx([-4.853, 7.853], abs=1e-3)
    assert group.mean("accuracy") == Estimate(1, 0.5)
    assert group.mean("smallest angle") is group.mean("least importance") is None


def test_angles_and_importances_are_means_as_well() -> None:
    (group,) = by_units([pruning("a", PruningStep(3, smallest_angle_deg=12.5, least_importance=0.25))])
    assert group.mean("smallest angle") == Estimate(1, 12.5)
    assert group.mean("least importance") == Estimate(1, 0.25)


def test_a_course_counts_once_at_a_number_of_units_with_its_last_step() -> None:
    (group,) = by_units([pruning("a", PruningStep(8, loss=0.5), PruningStep(8, loss=0.6))])
    assert group.steps == (PruningStep(8, loss=0.6),)


def test_what_only_a_paper_has_comes_at_its_units_and_after_our_labels() -> None:
    printed = [
        Printed(f"{label} units", "loss", 1, "") for label in ("new, 3", "lstsq, 12", "sum, 9", "new, 4")
    ]
    ours = by_units(COURSES)
    groups = with_printed(ours, printed)
    assert [(group.label, group.units) for group in groups] == [
        *(("sum", 10), ("sum", 9), ("sum", 8)),
        *(("lstsq", 12), ("lstsq", 9)),
        *(("new", 4), ("new", 3)),
    ]
    assert groups[1] == ours[1]
    assert groups[3] == StepGroup("lstsq", 12)
    assert groups[3].mean("loss") is None


@pytest.mark.parametrize(
    ("label", "step"),
    [
        ("sum, 9 units", ("sum", 9)),
        ("whole, random split, 1 unit", ("whole, random split", 1)),
        ("sum, 1,024 units", ("sum", 1024)),
        ("sum", None),
        ("9 units", None),
        ("sum, 9 units, before", None),
        ("sum, nine units", None),
    ],
)
def test_a_papers_label_of_a_step_ends_in_its_units(label: str, step: tuple[str, int] | None) -> None:
    assert Printed(label, "accuracy", 0.5, "").step == step


def test_a_papers_numbers_are_shared_out_by_measure_and_label() -> None:
    whole = Printed("whole", "accuracy", 0.5, "")
    of_step = Printed("sum, 9 units", "accuracy", 0.5, "")
    loss = Printed("sum, 9 units", "loss", 1.5, "")
    size = Printed("sum, 9 units", "parameters", 100, "")
    printed = [whole, of_step, loss, size]
    ours = by_units(COURSES)
    assert shared_out(printed, evaluated=(), found=ours) == ([whole, size], [of_step, loss])
    assert shared_out(printed, evaluated=(), found=()) == ([whole, size], [of_step, loss])
    # an evaluation of that very label takes the accuracy, and so does a step that is there
    labels = ("sum, 9 units",)
    assert shared_out(printed, evaluated=labels, found=()) == ([whole, of_step, size], [loss])
    assert shared_out(printed, evaluated=labels, found=ours) == ([whole, of_step, size], [of_step, loss])
