"""Steps of prunings gathered by label and units left."""

from __future__ import annotations

import pytest

from emoprune.pruning.types import PruningStep
from emoprune.reporting.steps import Stage, by_units, shared_out, with_printed
from emoprune.reporting.types import Estimate, Printed
from tests.support.runs import course

COURSES = (
    course("sum", PruningStep(9, loss=1.0, accuracy=0.5), PruningStep(8, loss=1.5)),
    course("lstsq", PruningStep(9, loss=0.8)),
    course("sum", PruningStep(10, loss=0.7), PruningStep(9, loss=2.0)),
)


def test_a_stage_has_the_steps_of_every_run_with_the_most_units_first() -> None:
    found = by_units(COURSES)
    assert [(stage.label, stage.units, len(stage.steps)) for stage in found] == [
        *(("sum", 10, 1), ("sum", 9, 2), ("sum", 8, 1)),
        ("lstsq", 9, 1),
    ]


def test_a_measure_is_the_mean_of_the_runs_that_have_it_with_students_interval() -> None:
    stage = by_units(COURSES)[1]
    loss = stage.mean("loss")
    assert loss is not None
    # 1.5 +- 12.706 * sqrt(0.5) / sqrt(2)
    assert (loss.n, loss.mean) == (2, 1.5)
    assert [loss.low, loss.high] == pytest.approx([-4.853, 7.853], abs=1e-3)
    assert stage.mean("accuracy") == Estimate(1, 0.5)
    assert stage.mean("smallest angle") is stage.mean("least importance") is None


def test_angles_and_importances_are_means_as_well() -> None:
    (stage,) = by_units([course("a", PruningStep(3, smallest_angle_deg=12.5, least_importance=0.25))])
    assert stage.mean("smallest angle") == Estimate(1, 12.5)
    assert stage.mean("least importance") == Estimate(1, 0.25)


def test_a_course_counts_once_at_a_number_of_units_with_its_last_step() -> None:
    (stage,) = by_units([course("a", PruningStep(8, loss=0.5), PruningStep(8, loss=0.6))])
    assert stage.steps == (PruningStep(8, loss=0.6),)


def test_what_only_a_paper_has_comes_at_its_units_and_after_our_labels() -> None:
    printed = [
        Printed(f"{label} units", "loss", 1, "") for label in ("new, 3", "lstsq, 12", "sum, 9", "new, 4")
    ]
    ours = by_units(COURSES)
    stages = with_printed(ours, printed)
    assert [(stage.label, stage.units) for stage in stages] == [
        *(("sum", 10), ("sum", 9), ("sum", 8)),
        *(("lstsq", 12), ("lstsq", 9)),
        *(("new", 4), ("new", 3)),
    ]
    assert stages[1] == ours[1]
    assert stages[3] == Stage("lstsq", 12)
    assert stages[3].mean("loss") is None


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
