"""Runs gathered by label."""

from __future__ import annotations

import dataclasses
from operator import attrgetter

import pytest

from emoprune.errors import BadMetrics
from emoprune.evaluation.confidence import FRACTION, Estimate, estimate
from emoprune.evaluation.types import ClassScore
from emoprune.pruning.types import PruningStep
from emoprune.reporting.aggregate import (
    StepGroup,
    by_label,
    by_setting,
    by_units,
    change,
    class_mean,
    confusion,
    evaluations_by_label,
    networks,
    one_by_one,
    split_by_kind,
    varying,
    with_paper,
)
from emoprune.reporting.types import PaperValue
from tests.support.runs import pruning, run

WHOLE = [run("whole", accuracy, seed=seed) for seed, accuracy in enumerate((0.5, 0.6, 0.7))]
SMALL = [run("small", accuracy, units=4, seed=seed) for seed, accuracy in enumerate((0.45, 0.5, 0.7))]


def test_by_label_gathers_labels_in_order_of_appearance() -> None:
    mixed = [WHOLE[0], SMALL[0], WHOLE[1], SMALL[1], SMALL[2], WHOLE[2]]
    assert [(entry.label, len(entry.runs)) for entry in by_label(mixed)] == [("whole", 3), ("small", 3)]
    assert by_label(mixed)[1].runs == tuple(SMALL)


def test_by_label_gathers_runs_without_a_label_by_model() -> None:
    others = [dataclasses.replace(run(None, 0.5), model=model) for model in ("a/m.st", "b/m.st", "a/m.st")]
    assert [(entry.label, len(entry.runs)) for entry in by_label(others)] == [("a/m.st", 2), ("b/m.st", 1)]


def test_one_by_one_numbers_only_names_that_appear_again() -> None:
    found = one_by_one([WHOLE[0], SMALL[0], WHOLE[1]])
    assert [group.label for group in found] == ["whole #1", "small", "whole #2"]
    assert [group.runs for group in found] == [(WHOLE[0],), (SMALL[0],), (WHOLE[1],)]


def test_mean_is_over_the_runs_that_have_the_value() -> None:
    (whole,) = by_label(WHOLE)
    assert whole.mean(attrgetter("accuracy")) == estimate([0.5, 0.6, 0.7])
    assert whole.mean(lambda run: run.accuracy if run.accuracy > 0.65 else None) == Estimate(1, 0.7)
    assert whole.mean(attrgetter("latency_ms")) is None


def test_change_pairs_runs_by_seed_in_any_order() -> None:
    whole, small = by_label([*WHOLE, *reversed(SMALL)])
    found = change(small, whole, attrgetter("accuracy"))
    assert found is not None
    # -0.05, -0.1 and 0
    assert found.n == 3
    assert found.mean == pytest.approx(-0.05)
    assert found.low == pytest.approx(estimate([-0.05, -0.1, 0.0]).low)
    assert change(small, whole, attrgetter("units")) == Estimate(3, -6.0, -6.0, -6.0)


def test_change_needs_runs_with_a_seed() -> None:
    whole, other = by_label([*WHOLE, run("other", 0.9)])
    assert change(other, whole, attrgetter("accuracy")) is None


def test_class_mean_is_over_the_runs_where_it_is_defined() -> None:
    never = dataclasses.replace(
        WHOLE[0], per_class={**WHOLE[0].per_class, "angry": ClassScore(None, 0.2, None, 5)}
    )
    (whole,) = by_label([never, *WHOLE[1:]])
    assert class_mean(whole, "precision", "angry") == Estimate(2, 0.5, 0.5, 0.5)
    assert class_mean(whole, "recall", "angry") == estimate([0.2, 0.6, 0.7], limits=FRACTION)
    assert class_mean(whole, "precision", "happy") is None
    assert class_mean(whole, "precision", "bored") is None


def test_confusion_adds_up_the_runs() -> None:
    (whole,) = by_label([WHOLE[0], dataclasses.replace(WHOLE[1], confusion=((5, 0), (0, 5)))])
    assert confusion(whole) == ((9, 1), (2, 8))


def test_evaluations_by_label_refuses_different_classes_in_one_label() -> None:
    other = dataclasses.replace(WHOLE[1], classes=("happy", "angry"), per_class=WHOLE[1].per_class)
    with pytest.raises(BadMetrics, match=r"label 'whole'.*classes"):
        evaluations_by_label([WHOLE[0], other])


def test_varying_names_the_settings_that_differ_without_the_seed() -> None:
    (label,) = by_label(
        [run("x", 0.5, seed=0, hidden=5, rule="a"), run("x", 0.5, seed=1, hidden=6, rule="a")]
    )
    assert varying(label.runs, but=("seed",)) == ["hidden"]


def test_by_setting_numbers_a_name_that_a_label_has_already() -> None:
    runs = [run("a", 0.1, x=1), run("a", 0.2, x=2), run("a, x 1", 0.3)]
    found = by_setting(runs)
    assert [entry.label for entry in found] == ["a, x 1", "a, x 2", "a, x 1 (2)"]
    assert [entry.runs[0].accuracy for entry in found] == [0.1, 0.2, 0.3]


def test_networks_are_the_runs_of_a_label_and_its_settings_whatever_the_seed() -> None:
    runs = [run("a", 0.5, macs=macs, seed=seed, macs_left=macs + seed) for seed in (0, 1) for macs in (2, 4)]
    assert [(entry.label, entry.runs) for entry in networks([*runs, SMALL[0]])] == [
        ("a", (runs[0], runs[2])),
        ("a", (runs[1], runs[3])),
        ("small", (SMALL[0],)),
    ]


def test_networks_without_label_and_seed_are_as_many_as_models() -> None:
    piped = [dataclasses.replace(run(None, 0.5), model="-", model_fingerprint=made) for made in "abb"]
    assert [entry.runs for entry in networks(piped)] == [(piped[0],), (piped[1], piped[2])]
    assert [entry.label for entry in by_setting(piped)] == ["-", "- (2)"]
    seeds = [dataclasses.replace(run(None, 0.5, seed=seed), model_fingerprint=f"{seed}") for seed in (0, 1)]
    assert [entry.runs for entry in networks(seeds)] == [tuple(seeds)]


def test_by_setting_ignores_the_number_of_a_trial() -> None:
    runs = [run("a", 0.1 * trial, trial=trial, seed=0, hidden=5 * (trial % 2)) for trial in range(4)]
    assert [(entry.label, len(entry.runs)) for entry in by_setting(runs)] == [
        ("a, hidden 0", 2),
        ("a, hidden 5", 2),
    ]


CURVES = (
    pruning("sum", PruningStep(9, loss=1.0, accuracy=0.5), PruningStep(8, loss=1.5)),
    pruning("lstsq", PruningStep(9, loss=0.8)),
    pruning("sum", PruningStep(10, loss=0.7), PruningStep(9, loss=2.0)),
)


def test_by_units_gathers_the_steps_of_all_prunings_with_most_units_first() -> None:
    found = by_units(CURVES)
    assert [(group.label, group.units, len(group.runs)) for group in found] == [
        *(("sum", 10, 1), ("sum", 9, 2), ("sum", 8, 1)),
        ("lstsq", 9, 1),
    ]


def test_measured_is_the_mean_of_the_steps_that_have_it_with_students_interval() -> None:
    group = by_units(CURVES)[1]
    loss = group.measured("loss")
    assert loss is not None
    # 1.5 +- 12.706 * sqrt(0.5) / sqrt(2)
    assert (loss.n, loss.mean) == (2, 1.5)
    assert [loss.low, loss.high] == pytest.approx([-4.853, 7.853], abs=1e-3)
    assert group.measured("accuracy") == Estimate(1, 0.5)
    assert group.measured("smallest angle") is group.measured("least importance") is None


def test_measured_reads_angles_and_importances() -> None:
    (group,) = by_units([pruning("a", PruningStep(3, smallest_angle_deg=12.5, least_importance=0.25))])
    assert group.measured("smallest angle") == Estimate(1, 12.5)
    assert group.measured("least importance") == Estimate(1, 0.25)


def test_by_units_counts_a_pruning_once_with_its_last_step_of_so_many_units() -> None:
    (group,) = by_units([pruning("a", PruningStep(8, loss=0.5), PruningStep(8, loss=0.6))])
    assert group.runs == (PruningStep(8, loss=0.6),)


def test_with_paper_adds_groups_in_order_of_units_and_new_labels_last() -> None:
    printed = [
        PaperValue(f"{label} units", "loss", 1, "") for label in ("new, 3", "lstsq, 12", "sum, 9", "new, 4")
    ]
    ours = by_units(CURVES)
    groups = with_paper(ours, printed)
    assert [(group.label, group.units) for group in groups] == [
        *(("sum", 10), ("sum", 9), ("sum", 8)),
        *(("lstsq", 12), ("lstsq", 9)),
        *(("new", 4), ("new", 3)),
    ]
    assert groups[1] == ours[1]
    assert groups[3] == StepGroup("lstsq", units=12)
    assert groups[3].measured("loss") is None


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
        (f"sum, {'9' * 5000} units", None),
    ],
)
def test_the_step_of_a_paper_value_is_the_end_of_its_label(label: str, step: tuple[str, int] | None) -> None:
    assert PaperValue(label, "accuracy", 0.5, "").step == step


def test_split_by_kind_goes_by_measure_and_label() -> None:
    whole = PaperValue("whole", "accuracy", 0.5, "")
    of_step = PaperValue("sum, 9 units", "accuracy", 0.5, "")
    loss = PaperValue("sum, 9 units", "loss", 1.5, "")
    size = PaperValue("sum, 9 units", "parameters", 100, "")
    printed = [whole, of_step, loss, size]
    ours = by_units(CURVES)
    assert split_by_kind(printed, evaluated=(), found=ours) == ([whole, size], [of_step, loss])
    assert split_by_kind(printed, evaluated=(), found=()) == ([whole, size], [of_step, loss])
    # an evaluation of that very label takes the accuracy, and so does a step that is there
    labels = ("sum, 9 units",)
    assert split_by_kind(printed, evaluated=labels, found=()) == ([whole, of_step, size], [loss])
    assert split_by_kind(printed, evaluated=labels, found=ours) == ([whole, of_step, size], [of_step, loss])
