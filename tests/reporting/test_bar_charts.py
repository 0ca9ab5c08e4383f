"""Accuracy before and after pruning: the runs that are compared."""

from __future__ import annotations

from emoprune.evaluation.confidence import FRACTION, Estimate, estimate
from emoprune.evaluation.types import Metrics
from emoprune.reporting.bar_charts import before_after
from emoprune.reporting.types import BarChart, Runs
from tests.support.runs import run


def chart_of(*found: Metrics) -> BarChart:
    (chart,) = before_after(Runs(evaluations=found))
    return chart


def test_before_after_reads_labels_that_end_in_before_and_after() -> None:
    found = [
        run(f"{net}, {state}", accuracy + seed / 10, seed=seed)
        for net in ("b", "a")
        for state, accuracy in (("after", 0.3), ("before", 0.5))
        for seed in (0, 1)
    ]
    chart = chart_of(*found, run("other", 0.9), run("c, before", 0.9))
    assert (chart.categories, chart.series, chart.x) == (("b", "a"), ("before", "after"), "")
    assert chart.bars == (
        (estimate([0.5, 0.6], limits=FRACTION),) * 2,
        (estimate([0.3, 0.4], limits=FRACTION),) * 2,
    )


def test_before_after_reads_amounts_from_a_setting_with_a_bar_each() -> None:
    found = [run("a", 0.6 - pruned, pruned=pruned) for pruned in (0.5, 0, 0.25)]
    chart = chart_of(*found)
    assert chart.series == ("before", "pruned 0.25", "pruned 0.5")
    assert chart.bars == ((Estimate(1, 0.6),), (Estimate(1, 0.35),), (Estimate(1, 0.6 - 0.5),))


def test_before_after_of_one_label_is_over_the_setting_that_varies() -> None:
    found = [run("a", 0.5, pruned=pruned, hidden=hidden) for hidden in (100, 20) for pruned in (0, 0.5)]
    chart = chart_of(*found)
    assert (chart.x, chart.categories) == ("hidden", ("20", "100"))


def test_before_after_names_bars_by_label_and_setting() -> None:
    found = [
        run(label, 0.5, pruned=pruned, hidden=hidden)
        for label in ("z", "a")
        for hidden in (100, 20)
        for pruned in (0, 0.5)
    ]
    assert chart_of(*found).categories == ("z, hidden 20", "z, hidden 100", "a, hidden 20", "a, hidden 100")


def test_before_after_ignores_settings_that_only_pruned_runs_have() -> None:
    chart = chart_of(run("a, before", 0.5, pruned=0), run("a, after", 0.4, angle=15, pruned=0.3))
    assert chart.bars == ((Estimate(1, 0.5),), (Estimate(1, 0.4),))


def test_before_after_takes_the_only_unpruned_label_as_baseline_of_all() -> None:
    chart = chart_of(run("whole", 0.6, pruned=0), run("sum", 0.4, pruned=0.5), run("lstsq", 0.5, pruned=0.5))
    assert chart.categories == ("sum", "lstsq")
    assert chart.bars == ((Estimate(1, 0.6),) * 2, (Estimate(1, 0.4), Estimate(1, 0.5)))


def test_before_after_takes_neither_of_two_unpruned_labels_as_baseline() -> None:
    found = (run("x", 0.6, pruned=0), run("y", 0.6, pruned=0), run("sum", 0.4, pruned=0.5))
    assert before_after(Runs(evaluations=found)) == []


def test_before_after_needs_pairs() -> None:
    for found in ((), (run("a, before", 0.5),), (run("a, before", 0.5), run("b, after", 0.5))):
        assert before_after(Runs(evaluations=found)) == []


def test_before_after_has_no_bar_for_an_amount_that_a_label_lacks() -> None:
    found = [run("a", 0.5, pruned=pruned) for pruned in (0, 0.2, 0.5)]
    chart = chart_of(*found, run("b", 0.5, pruned=0), run("b", 0.4, pruned=0.5))
    assert [row[1] is None for row in chart.bars] == [False, True, False]
