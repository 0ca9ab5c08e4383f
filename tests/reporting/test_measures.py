"""The numbers of an evaluation: how they are written, and what guessing gets."""

from __future__ import annotations

from typing import get_args

import pytest

from emoprune.choices import Measured
from emoprune.evaluation.confidence import FRACTION, Estimate
from emoprune.reporting.measures import ACCURACY, BASELINES, MEASURES, NONZERO, Baseline, Measure
from tests.support.evaluations import BEFORE, RUNS


def named(heading: str) -> Measure:
    (found,) = (measure for measure in MEASURES if measure.heading == heading)
    return found


def test_measures_are_fields_of_an_evaluation_and_those_of_papers() -> None:
    assert all(hasattr(BEFORE, measure.key) for measure in MEASURES)
    assert {measure.name for measure in MEASURES if measure.name} == set(get_args(Measured))
    within = {measure.key: measure.limits for measure in MEASURES if measure.value(BEFORE) is not None}
    assert all(low <= getattr(BEFORE, key) <= high for key, (low, high) in within.items())
    assert named("AUC").limits == FRACTION
    assert named("Cohen's kappa").limits == (-1, 1)


@pytest.mark.parametrize(
    ("value", "first", "text"),
    [
        *((0.3, 0.35, "30.0% (-5.0 pt)"), (0.3, 0.3, "30.0% (0.0 pt)"), (0.3, 0.30001, "30.0% (0.0 pt)")),
        *((0.3, None, "30.0%"), (None, 0.3, "-")),
    ],
)
def test_written_has_a_change_beside_a_first_number(value: float, first: float, text: str) -> None:
    assert ACCURACY.written(value, first) == text


def test_written_has_relative_changes_of_costs() -> None:
    assert NONZERO.written(1234, 1234) == "1,234 (0.0%)"
    assert NONZERO.written(500, 2000) == "500 (-75.0%)"
    assert NONZERO.written(5, 0) == "5 (-)"


@pytest.mark.parametrize(
    ("found", "text"),
    [
        *((None, None), (Estimate(1, 31), "31"), (Estimate(2, 31, 31, 31), "31")),
        *((Estimate(3, 31.333, 30, 33), "31.3 mean"), (Estimate(3, 31, 30, 32), "31.0 mean")),
        (Estimate(2, 133316.6, 1, 2e6), "133,317 mean"),
    ],
)
def test_mean_of_counts_that_differ_says_that_it_is_one(found: Estimate | None, text: str | None) -> None:
    assert NONZERO.mean(found) == text


def test_mean_of_scores_is_written_as_a_score() -> None:
    assert ACCURACY.mean(Estimate(2, 0.313, 0.3, 0.4)) == "31.3%"
    assert named("Cohen's kappa").mean(Estimate(2, -0.0001, -1, 1)) == "0.000"


def test_baselines_are_means_over_runs_and_stand_once_where_rows_agree() -> None:
    of = BASELINES["accuracy"]
    assert of.mean([BEFORE]) == Baseline(0.5, 0.6)
    assert of.mean([BEFORE, RUNS[0]]) == Baseline(0.5, 0.55)
    assert of.mean([]) is None
    same = "accuracy: chance 50.0%, always the most frequent class 60.0%"
    assert of.column(ACCURACY, [Baseline(0.5, 0.6), None, Baseline(0.5, 0.6)]) == (
        *(["50.0%, 60.0%", None, "50.0%, 60.0%"], same),
    )
    assert of.column(ACCURACY, [Baseline(0.5, 0.6), Baseline(0.5, 0.7)]) == (
        *(["50.0%, 60.0%", "50.0%, 70.0%"], None),
    )
    assert of.column(ACCURACY, [Baseline(0.5, None)])[1] == (
        "accuracy: chance 50.0%, always the most frequent class -"
    )
    assert BASELINES["top2_accuracy"].mean([BEFORE]) == Baseline(1.0, 1.0)
