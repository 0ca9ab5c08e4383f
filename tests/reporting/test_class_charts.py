"""Confusion, its change, recall by class and reliability: which networks, and their numbers."""

from __future__ import annotations

from dataclasses import replace

import pytest

from emoprune.evaluation.confidence import Estimate, estimate, wilson_interval
from emoprune.evaluation.types import ClassScore, ReliabilityBin
from emoprune.reporting.class_charts import (
    MOST_BARS,
    MOST_CHANGES,
    confusion,
    confusion_change,
    recall_by_class,
    reliability,
)
from emoprune.reporting.types import Runs
from tests.support.runs import run

OTHER = ((2, 3), (0, 5))


def test_confusion_adds_up_the_runs_of_a_label() -> None:
    seeds = (run("a", 0.5, seed=0), replace(run("a", 0.5, seed=1), confusion=OTHER))
    (chart,) = confusion(Runs(seeds))
    assert chart.counts == ((6, 4), (2, 8))


def test_confusion_change_compares_the_first_network_with_each_other() -> None:
    after = replace(run("b", 0.4), confusion=OTHER)
    elsewhere = replace(run("c", 0.4), split="val")
    (chart,) = confusion_change(Runs((run("a", 0.5), elsewhere, after)))
    assert (chart.name, chart.labels) == ("confusion-change-b", ("a", "b"))
    assert (chart.before, chart.after) == (((4, 1), (2, 3)), OTHER)


def test_confusion_change_has_networks_of_as_many_runs() -> None:
    seeds = [run("a", 0.5, seed=seed) for seed in (0, 1)]
    others = [replace(run("b", 0.4, seed=seed), confusion=((2, 3), (5, 0))) for seed in (0, 1)]
    assert confusion_change(Runs((*seeds, others[0]))) == []
    assert len(confusion_change(Runs((*seeds, *others)))) == 1
    assert confusion_change(Runs((*seeds, *(run("same", 0.5, seed=seed) for seed in (0, 1))))) == []
    assert confusion_change(Runs()) == confusion_change(Runs((run("a", 0.5),))) == []


def test_confusion_change_tells_settings_of_a_label_apart_and_is_of_the_foremost() -> None:
    whole = replace(run("whole", 0.9), confusion=((2, 3), (5, 0)))
    found = [whole, *(run("m", place / 100, macs=place) for place in range(1, MOST_CHANGES + 3))]
    charts = confusion_change(Runs(tuple(found)))
    assert len(charts) == MOST_CHANGES
    assert charts[0].labels == ("whole", "m, macs 3")


def test_recall_by_class_has_the_interval_of_its_samples_or_over_runs() -> None:
    seeds = [run("b", accuracy, seed=seed) for seed, accuracy in enumerate((0.4, 0.6))]
    (chart,) = recall_by_class(Runs((run("a", 0.6), *seeds)))
    assert (chart.categories, chart.series) == (("angry", "happy"), ("a", "b"))
    one, many = chart.bars
    assert one == (Estimate(1, 0.6, *wilson_interval(3, 5)), Estimate(1, 0.0, *wilson_interval(0, 5)))
    assert many[0] == estimate([0.4, 0.6], limits=(0, 1))


def test_recall_by_class_has_no_bar_without_samples_nor_for_other_classes() -> None:
    none = ClassScore(None, None, None, 0)
    first = replace(run("a", 0.6), per_class={**run("a", 0.6).per_class, "happy": none})
    third = ClassScore(0.5, 0.5, 0.5, 5)
    other = replace(run("b", 0.6), classes=("x", "y"), per_class={"x": third, "y": third})
    (chart,) = recall_by_class(Runs((first, other)))
    assert (chart.series, chart.bars[0][1]) == (("a",), None)
    assert recall_by_class(Runs()) == []


def test_recall_by_class_says_how_many_are_left_out() -> None:
    (chart,) = recall_by_class(Runs(tuple(run(f"m{place}", place / 10) for place in range(MOST_BARS + 3))))
    assert chart.series == ("m0", *(f"m{place}" for place in range(4, MOST_BARS + 3)))
    assert chart.note.startswith("left out: 3 networks off the front")


BINS = (ReliabilityBin(0, None, None), ReliabilityBin(4, 0.5, 0.25), ReliabilityBin(6, 0.9, 1.0))


def test_reliability_adds_up_the_bins_of_runs() -> None:
    seeds = [
        replace(run("a", 0.5, seed=0), reliability=BINS),
        replace(
            run("a", 0.5, seed=1),
            reliability=(
                ReliabilityBin(0, None, None),
                ReliabilityBin(1, 0.6, 1.0),
                ReliabilityBin(9, 0.8, 0.5),
            ),
        ),
    ]
    (chart,) = reliability(Runs((*seeds, run("b", 0.5))))
    assert (chart.labels, chart.runs) == (("a",), (2,))
    empty, middle, last = chart.bins[0]
    assert (empty.count, empty.confidence) == (0, None)
    assert (middle.count, last.count) == (5, 15)
    assert [middle.confidence, middle.accuracy] == pytest.approx([0.52, 0.4])
    assert last.accuracy == pytest.approx((6 + 4.5) / 15)
    assert reliability(Runs((run("b", 0.5),))) == []
