"""Learning curves gathered by label."""

from __future__ import annotations

import dataclasses

import pytest

from emoprune.reporting.aggregate import learned_by_label
from emoprune.reporting.types import Estimate
from tests.support.runs import curve


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
