"""Learning curves by themselves and by label."""

from __future__ import annotations

import dataclasses

import pytest

from emoprune.evaluation.confidence import FRACTION, Estimate, estimate
from emoprune.networks.types import Epoch
from emoprune.reporting.aggregate import by_label, one_by_one
from emoprune.reporting.curve_tables import (
    Curves,
    accuracy,
    curves_table,
    epochs,
    flat,
    to_records,
)
from emoprune.reporting.tables import to_csv
from emoprune.training.types import LearningCurve
from tests.support.runs import curve

CURVES = (
    curve("whole", (0.4, 0.3), (0.6, 0.2)),
    curve("whole", (0.5, 0.4), (0.4, 0.4)),
    curve("b", (0.5, 0.1)),
)
ENDS = (("55.0", "100.0"), ("30.0", "100.0"), ("35.0", "98.5"))
SINGLE = Curves(one_by_one(CURVES), by_label=False)


def test_accuracy_is_the_mean_of_the_last_or_the_best_of_every_curve() -> None:
    (whole, _) = by_label([curve("a", (0.2, 0.5), (0.4, 0.3)), *CURVES[2:], curve("a", *[(0.9, 0.4)] * 3)])
    means = {
        (part, pick): found.mean
        for part in ("train", "val")
        for pick in ("last", "best")
        if (found := accuracy(whole, part, pick))
    }
    assert means == pytest.approx(
        {("train", "last"): 0.65, ("train", "best"): 0.65, ("val", "last"): 0.35, ("val", "best"): 0.45}
    )
    found = whole.mean(epochs)
    # (2 + 3) / 2 +- 12.706 * sqrt(0.5) / sqrt(2)
    assert found
    assert [found.n, found.mean, found.high] == pytest.approx([2, 2.5, 8.853], abs=1e-3)


def test_accuracy_leaves_out_curves_that_have_none() -> None:
    (found,) = by_label([curve("a", (0.2, None)), curve("a", (0.4, 0.3))])
    assert accuracy(found, "val", "best") == Estimate(1, 0.3)
    (alone,) = by_label([curve("a", (0.2, None))])
    assert accuracy(alone, "val", "last") is None


def test_curves_without_a_label_are_gathered_by_model() -> None:
    found = [dataclasses.replace(CURVES[0], label=None, model=model) for model in ("a", "b", "a")]
    assert [(group.label, len(group.runs)) for group in Curves(by_label(found)).groups] == [
        ("a", 2),
        ("b", 1),
    ]


def test_curves_are_a_row_each() -> None:
    table = curves_table(SINGLE)
    assert table.title == "Learning curves: accuracy"
    assert table.columns == ("label", "epochs", "train, last", "train, best", "val, last", "val, best")
    assert table.rows == (
        ("whole #1", 2, "60.0%", "60.0%", "20.0%", "30.0%"),
        ("whole #2", 2, "40.0%", "50.0%", "40.0%", "40.0%"),
        ("b", 1, "50.0%", "50.0%", "10.0%", "10.0%"),
    )


def test_curves_by_label_are_a_row_per_label() -> None:
    table = curves_table(Curves(by_label(CURVES)))
    assert table.title == "Learning curves by label: accuracy (with 95% interval over runs)"
    assert table.columns[:3] == ("label", "runs", "epochs")
    # of two values 0.1 and 0.2 apart: 12.706 times 0.05 and 0.1, cut at 0 and 100%
    assert table.rows == (
        ("whole", 2, 2, "50.0 ± 50.0%", *(f"{mean} (0.0 to {high}%)" for mean, high in ENDS)),
        ("b", 1, 1, "50.0%", "50.0%", "10.0%", "10.0%"),
    )


def test_csv_and_json_have_the_raw_values_of_every_curve() -> None:
    records = to_records(SINGLE)
    assert records[0] == {
        **{"label": "whole #1", "model": "m.st", "epochs": 2},
        **{"train_accuracy_last": 0.6, "train_accuracy_best": 0.6},
        **{"val_accuracy_last": 0.2, "val_accuracy_best": 0.3},
    }
    table = flat(SINGLE)
    assert [dict(zip(table.columns, row, strict=True)) for row in table.rows] == records
    assert to_csv(table).splitlines()[1] == "whole #1,m.st,2,0.6,0.6,0.2,0.3"


def test_csv_and_json_by_label_have_means_and_intervals() -> None:
    whole, _ = to_records(Curves(by_label(CURVES)))
    assert (whole["runs"], whole["val_accuracy_best"]) == (2, vars(estimate([0.3, 0.4], limits=FRACTION)))
    table = flat(Curves(by_label(CURVES)))
    row = dict(zip(table.columns, table.rows[0], strict=True))
    assert row["val_accuracy_best_low"] == whole["val_accuracy_best"]["low"]
    assert (row["epochs"], row["epochs_low"]) == (2.0, 2.0)


def test_curves_of_a_network_that_does_not_classify_have_epochs_alone() -> None:
    found = [
        LearningCurve("m.st", tuple(Epoch(index, 1.0, None) for index in range(1, count + 1)), "r")
        for count in (1, 2)
    ]
    table = curves_table(Curves(by_label(found)))
    # 1.5 +- 12.706 * 0.5
    assert (table.columns, table.rows) == (("label", "runs", "epochs"), (("r", 2, "1.5 ± 6.4"),))
