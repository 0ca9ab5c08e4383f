"""Accuracy over costs and the loss of accuracy: points, front, what costs are relative to."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from emoprune.evaluation.confidence import Estimate, estimate
from emoprune.evaluation.types import Intervals, Metrics
from emoprune.reporting.cost_charts import accuracy_against, amount, loss_of_accuracy
from emoprune.reporting.fronts import LINES
from emoprune.reporting.types import Level, PointChart, Runs
from tests.support.runs import run


def network(run: Metrics, macs: int, **fields: Any) -> Metrics:
    return replace(run, macs=macs, accuracy_interval=(0.1, 0.9), **fields)


WHOLE = network(run("whole network", 0.9, units=10, macs=1, macs_left=1, units_left=1, seed=0), 4000)
SWEEP = (
    WHOLE,
    *(
        network(run(method, accuracy, units=units, method=method, macs=macs, units_left=units / 10), left)
        for method, macs, left, units, accuracy in (
            ("distinct", 0.5, 2000, 6, 0.8),
            ("distinct", 0.25, 1100, 3, 0.5),
            ("reconstruct", 0.5, 1900, 8, 0.85),
            ("reconstruct", 0.25, 1000, 7, 0.7),
        )
    ),
)


def against(*found: Metrics, cost: str = "macs") -> PointChart:
    (chart,) = (
        each for each in accuracy_against(Runs(tuple(found))) if each.name == f"accuracy-against-{cost}"
    )
    return chart


def points_of(chart: PointChart) -> dict[str, list[tuple[float, float, bool]]]:
    return {
        each.label: [(point.x, point.y.mean, point.on_front) for point in each.points]
        for each in chart.series
    }


def test_accuracy_against_has_lines_by_label_sorted_by_cost_with_the_front() -> None:
    chart = against(*SWEEP)
    assert points_of(chart) == {
        "whole network": [(1.0, 0.9, True)],
        "distinct": [(0.275, 0.5, False), (0.5, 0.8, False)],
        "reconstruct": [(0.25, 0.7, True), (0.475, 0.85, True)],
    }
    assert [each.role for each in chart.series] == ["whole", "method", "method"]
    assert (chart.axis, chart.x_fraction) == ("MACs (100% = 4 thousand)", True)
    assert chart.levels == (Level("chance", 0.5),)
    assert chart.front == "none is both smaller and better"


def test_accuracy_against_takes_pruned_0_of_a_label_for_the_network_before() -> None:
    found = [network(run("a", 0.5, pruned=pruned), 4000 - 2000 * pruned) for pruned in (0, 1)]
    chart = against(*found)
    assert [(each.label, each.role) for each in chart.series] == [("a", "method")]
    assert [point.x for point in chart.series[0].points] == [0.5, 1.0]


def test_accuracy_against_is_absolute_where_no_record_says_what_is_whole() -> None:
    chart = against(*SWEEP[1:])
    assert points_of(chart)["distinct"] == [(1100, 0.5, False), (2000, 0.8, False)]
    assert (chart.axis, chart.x, chart.x_fraction) == ("MACs", "macs", False)
    # two networks before pruning, of different sizes
    other = replace(WHOLE, macs=8000, label="whole, large")
    assert not against(*SWEEP, other).x_fraction


def test_accuracy_against_has_intervals_over_runs_or_of_a_single_run() -> None:
    seeds = [
        network(run("a", accuracy, macs=0.5, seed=seed), 100 + seed)
        for seed, accuracy in enumerate((0.9, 1.0))
    ]
    groups = Intervals("percentile bootstrap", "groups", 5, 2000, {"accuracy": (0.3, 0.7)})
    other = network(run("c", 0.5), 300, intervals=groups)
    chart = against(*seeds, network(run("b", 0.5), 200), other)
    (a,), (b,), (c,) = (each.points for each in chart.series)
    assert (a.x, a.y) == (100.5, estimate([0.9, 1.0], limits=(0, 1)))
    assert b.y == Estimate(1, 0.5, 0.1, 0.9)
    assert c.y == Estimate(1, 0.5, 0.3, 0.7)


def test_accuracy_against_has_no_front_over_different_samples() -> None:
    chart = against(*SWEEP, replace(SWEEP[1], label="b", split="val"))
    assert chart.front == ""
    assert not any(point.on_front for each in chart.series for point in each.points)


def test_accuracy_against_latency_is_in_milliseconds_and_needs_it() -> None:
    assert [chart.x for chart in accuracy_against(Runs(SWEEP))] == ["macs_left", "parameters_left"]
    timed = [replace(each, latency_ms=float(place)) for place, each in enumerate(SWEEP, start=1)]
    chart = against(*timed, cost="latency")
    assert points_of(chart)["whole network"][0][0] == 1
    assert (chart.axis, chart.x) == ("latency (ms)", "latency_ms")
    assert chart.front == "none is both faster and better"


@pytest.mark.parametrize("found", [(), (WHOLE,), (WHOLE, replace(WHOLE, label="b"))])
def test_accuracy_against_needs_two_costs(found: tuple[Metrics, ...]) -> None:
    assert accuracy_against(Runs(found)) == []


def test_accuracy_against_shows_others_where_labels_are_many() -> None:
    many = [network(run(f"m{place}", place / 100), 100 + place) for place in range(LINES + 5)]
    # all of them are on the front, so that the most accurate are shown
    chart = against(*many)
    roles = [each.role for each in chart.series]
    assert roles == ["other"] * 5 + ["method"] * LINES
    assert chart.note == "gray: 5 more labels, off the front or less accurate"
    worse = [replace(each, macs=10**6 - each.macs) for each in many]
    roles = [each.role for each in against(*worse, many[0]).series]
    assert roles[0] == roles[-1] == "method"
    assert roles.count("method") == LINES


def test_loss_of_accuracy_is_in_points_below_the_whole_network_of_the_same_samples() -> None:
    found = [replace(each, settings={**each.settings, "predicted_error": 0.1}) for each in SWEEP[1:3]]
    found[1] = replace(found[1], settings={**found[1].settings, "predicted_error": 0.4})
    elsewhere = replace(WHOLE, accuracy=0.2, split="val")
    (chart,) = loss_of_accuracy(Runs((WHOLE, elsewhere, *found, SWEEP[3])))
    (series,) = chart.series
    assert series.label == "distinct"
    assert [(point.x, round(point.y.mean, 9)) for point in series.points] == [(0.1, 10.0), (0.4, 40.0)]
    assert not chart.joined
    assert loss_of_accuracy(Runs(tuple(found))) == loss_of_accuracy(Runs((WHOLE, found[0]))) == []


def test_loss_of_accuracy_compares_runs_of_the_same_seed() -> None:
    wholes = [
        replace(WHOLE, accuracy=0.8 + seed / 10, settings={**WHOLE.settings, "seed": seed}) for seed in (0, 1)
    ]
    found = [
        run("a", accuracy, method="m", macs=macs, predicted_error=macs, seed=seed)
        for macs in (0.5, 0.25)
        for seed, accuracy in enumerate((0.7, 0.8))
    ]
    (chart,) = loss_of_accuracy(Runs((*wholes, *found)))
    assert [(point.y.n, round(point.y.mean, 9)) for point in chart.series[0].points] == [(2, 10.0)] * 2


@pytest.mark.parametrize(
    ("value", "text"), [(12.0, "12"), (999.4, "999"), (1000, "1 thousand"), (5441400, "5.44 million")]
)
def test_amount_has_three_digits(value: float, text: str) -> None:
    assert amount(value, ("", " thousand", " million")) == text
