"""FIGURES: which figures the records make, their names and their numbers."""

from __future__ import annotations

from dataclasses import replace

import pytest

from emoprune.errors import BadMetrics, UsageFault
from emoprune.evaluation.confidence import FRACTION, Estimate, estimate
from emoprune.evaluation.types import Metrics, ReliabilityBin
from emoprune.pruning.types import PruningStep
from emoprune.reporting.charts import FIGURES, charts, numbers
from emoprune.reporting.types import (
    AngleChart,
    BarChart,
    ChangeChart,
    Chart,
    HeatChart,
    LayerChart,
    Point,
    PointChart,
    ReliabilityChart,
    Runs,
    Series,
)
from tests.support.runs import curve, layer_angles, pruning, run, summary

GRID = [
    replace(
        run("a", 0.5 + seed / 10, units=hidden // (1 + pruned), **{"hidden": hidden, "seed": seed}),
        confusion=((hidden // 5, 5 - hidden // 5), (2, 3)),
    )
    for hidden in (10, 20)
    for pruned in (0, 1)
    for seed in (0, 1)
]
BINS = (ReliabilityBin(4, 0.25, 0.5), ReliabilityBin(6, 0.75, None))
SWEPT = (
    replace(run("whole", 0.5, units=30, units_left=1), reliability=BINS),
    *(run("m", 0.4, units=units, method="m", macs=units, predicted_error=units / 100) for units in (3, 7)),
)
EVERYTHING = Runs(
    (*GRID, run("b, before", 0.5), run("b, after", 0.4), *SWEPT),
    (curve("a", (0.1, 0.2)),),
    (pruning("a", PruningStep(3, loss=0.1)),),
    pruned=(summary((4, 3)),),
    angles=(layer_angles((0, 1, 3.0)),),
)


def names(runs: Runs, *wanted: str) -> list[str]:
    return [chart.name for chart in charts(runs, wanted)]


def test_charts_are_all_that_the_records_make() -> None:
    assert names(EVERYTHING) == [
        *("accuracy-against-parameters", "loss-of-accuracy"),
        *("accuracy-by-hidden", "compression-by-hidden", "before-after"),
        *("confusion-b-before", "confusion-b-after", "confusion-whole"),
        "confusion-change-a-hidden-20",
        *("recall-by-class", "reliability", "units-by-layer-m.st-distinct-angle-15", "angles-hidden1"),
        *("curves", "steps"),
    ]
    assert names(Runs(curves=EVERYTHING.curves)) == ["curves"]
    assert names(Runs(evaluations=(run("a", 0.5),))) == ["confusion-a", "recall-by-class"]


@pytest.mark.parametrize("kind", FIGURES)
def test_charts_are_wanted_by_kind_or_by_name(kind: str) -> None:
    found = names(EVERYTHING, kind)
    assert found
    for name in found:
        assert names(EVERYTHING, name) == [name]


def test_charts_that_are_wanted_come_in_the_order_of_kinds() -> None:
    assert names(EVERYTHING, "steps", "confusion-b-after") == ["confusion-b-after", "steps"]


def test_confusion_adds_up_seeds() -> None:
    seeds = (run("a", 0.5, seed=0, hidden=5), run("a", 0.6, seed=1, hidden=5))
    (chart,) = charts(Runs(seeds), ["confusion-a"])
    assert isinstance(chart, HeatChart)
    assert chart.counts == ((8, 2), (4, 6))


@pytest.mark.parametrize(
    "mixed",
    [
        GRID,
        [run("a", 0.5, lr=rate, seed=0, trial=trial) for trial, rate in enumerate((0.1, 0.2))],
        [run("a", 0.5, sampler="random"), run("a", 0.5, sampler="grid")],
        [run("a", 0.5, seed=0), run("a", 0.5, seed=0, hidden=5)],
    ],
)
def test_confusion_does_not_add_up_runs_of_different_settings(mixed: list[Metrics]) -> None:
    one = run("b", 0.5, seed=0)
    assert names(Runs((*mixed, one)), "confusion") == ["confusion-b"]
    with pytest.raises(BadMetrics, match="confusion-a") as caught:
        charts(Runs((*mixed, one)), ["confusion-a"])
    assert "but seed" in caught.value.remedy


@pytest.mark.parametrize("kind", FIGURES)
def test_charts_refuse_a_wanted_figure_with_what_it_needs(kind: str) -> None:
    little = Runs(curves=EVERYTHING.curves) if kind != "curves" else Runs(prunings=EVERYTHING.prunings)
    with pytest.raises(BadMetrics) as caught:
        charts(little, [kind])
    assert kind in caught.value.fact
    assert FIGURES[kind].needs in caught.value.remedy


def test_charts_of_two_kinds_have_different_names() -> None:
    runs = (
        replace(run(label, 0.5), confusion=((place, 5 - place), (2, 3)))
        for place, label in enumerate(("a", "b", "change-b"))
    )
    found = names(Runs(tuple(runs)), "confusion", "confusion-change")
    assert len(set(found)) == len(found) == 5


def test_charts_know_the_kind_of_a_name_that_begins_as_two_kinds_do() -> None:
    one = Runs((run("a", 0.5),))
    for name in ("confusion-change", "confusion-change-b"):
        with pytest.raises(BadMetrics, match="two networks on the same samples"):
            charts(one, [name])


@pytest.mark.parametrize("name", ["accuracy-by-nothing", "confusion-of-nobody", "angles-nowhere"])
def test_charts_refuse_a_key_or_label_that_the_records_lack(name: str) -> None:
    with pytest.raises(BadMetrics, match=name):
        charts(EVERYTHING, ["curves", name])


@pytest.mark.parametrize("name", ["pie", "", "curve", "accuracy"])
def test_charts_refuse_a_name_that_no_figure_has(name: str) -> None:
    with pytest.raises(UsageFault, match="choose from accuracy-against-COST, loss-of-accuracy"):
        charts(EVERYTHING, [name])


def test_charts_refuse_records_that_make_no_figure() -> None:
    with pytest.raises(BadMetrics, match="nothing to draw"):
        charts(Runs(prunings=(pruning("a", PruningStep(3)),)))


def test_charts_have_file_names_that_differ_on_any_disk() -> None:
    labels = ("whole, 50/50", "Whole 50 50", "../up", "ärger", "$x$", "y" * 300)
    found = names(Runs(evaluations=tuple(run(label, 0.5) for label in labels)), "confusion")
    assert found[:4] == [
        *("confusion-whole-50-50", "confusion-Whole-50-50-2", "confusion-..-up", "confusion-ärger")
    ]
    assert max(map(len, found)) <= 100
    assert not any(set("/\\ $,") & set(name) for name in found)


def test_numbers_of_lines_are_those_of_the_chart() -> None:
    (chart,) = charts(EVERYTHING, ["accuracy-by-hidden"])
    header, *rows = numbers(chart)
    assert header == ("quantity", "label", "part", "hidden", "mean", "low", "high", "runs")
    expected = estimate([0.5, 0.6, 0.5, 0.6], limits=FRACTION)
    cells = (expected.mean, expected.low, expected.high, 4)
    assert rows == [("accuracy", "a", "", 10.0, *cells), ("accuracy", "a", "", 20.0, *cells)]


def test_numbers_of_bars_leave_out_missing_bars() -> None:
    bars = BarChart(
        "x",
        "hidden",
        "accuracy",
        ("1", "2"),
        ("u", "v"),
        ((estimate([1], limits=FRACTION), None), (None,) * 2),
    )
    assert numbers(bars) == [
        ("quantity", "hidden", "bar", "mean", "low", "high", "runs"),
        ("accuracy", "1", "u", 1.0, None, None, 1),
    ]


def test_numbers_of_a_confusion_are_counts_and_fractions_of_the_actual_class() -> None:
    assert numbers(HeatChart("x", "a", ("p", "q"), ((3, 1), (0, 0)))) == [
        ("label", "actual", "predicted", "count", "share"),
        ("a", "p", "p", 3, 0.75),
        ("a", "p", "q", 1, 0.25),
        ("a", "q", "p", 0, None),
        ("a", "q", "q", 0, None),
    ]


@pytest.mark.parametrize(
    ("chart", "rows"),
    [
        (
            PointChart(
                "x", "macs", "MACs", "accuracy", (Series("a", (Point(0.5, Estimate(1, 0.7), True),)),)
            ),
            [
                ("quantity", "label", "macs", "mean", "low", "high", "runs", "on_front"),
                ("accuracy", "a", 0.5, 0.7, None, None, 1, True),
            ],
        ),
        (
            ReliabilityChart("x", ("a",), (BINS,), (1,)),
            [
                ("label", "bin", "count", "confidence", "accuracy"),
                ("a", 1, 4, 0.25, 0.5),
                ("a", 2, 6, 0.75, None),
            ],
        ),
        (
            LayerChart("x", "m, distinct", ("first",), (9,), (4,)),
            [("pruning", "layer", "before", "after"), ("m, distinct", "first", 9, 4)],
        ),
        (
            AngleChart("x", "first", (3, 1), 90, 15, 165),
            [("layer", "from_deg", "to_deg", "pairs"), ("first", 0, 90, 3), ("first", 90, 180, 1)],
        ),
        (
            ChangeChart("x", ("a", "b"), ("p",), ((3,),), ((1,),)),
            [("actual", "predicted", "before", "after", "change"), ("p", "p", 3, 1, -2)],
        ),
    ],
)
def test_numbers_are_those_that_are_drawn(chart: Chart, rows: list[tuple[object, ...]]) -> None:
    assert numbers(chart) == rows
