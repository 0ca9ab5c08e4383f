"""Line charts: which lines the records make, and the numbers of each point."""

from __future__ import annotations

from dataclasses import replace

from emoprune.evaluation.confidence import FRACTION, Estimate, estimate
from emoprune.evaluation.types import ClassScore, Metrics
from emoprune.pruning.types import PruningStep
from emoprune.reporting.fronts import LINES
from emoprune.reporting.line_charts import accuracy_by_setting, compression_by_hidden, curves, steps
from emoprune.reporting.types import Level, LineChart, Runs
from tests.support.runs import curve, pruning, run

Lines = dict[str, dict[float, Estimate]]


def lines_of(chart: LineChart, panel: int = 0) -> Lines:
    return {
        ", ".join(filter(None, (line.label, line.part))): dict(line.points)
        for line in chart.panels[panel].lines
    }


def runs(*found: Metrics) -> Runs:
    return Runs(evaluations=found)


def test_accuracy_by_setting_is_a_mean_over_seeds() -> None:
    found = [
        run("a", 0.1 * seed + hidden / 1000, seed=seed, hidden=hidden)
        for seed in range(3)
        for hidden in (200, 50)
    ]
    (chart,) = accuracy_by_setting(runs(*found, run("b", 0.9, hidden=70)))
    assert (chart.name, chart.x, chart.falling) == ("accuracy-by-hidden", "hidden", False)
    found_lines = lines_of(chart)
    assert list(found_lines["a"]) == [50, 200]
    assert found_lines["a"][50] == estimate([0.05, 0.15, 0.1 * 2 + 0.05], limits=FRACTION)
    assert found_lines["b"] == {70: Estimate(1, 0.9)}


def test_accuracy_by_setting_ignores_seeds_texts_and_what_differs_only_between_labels() -> None:
    found = [run("a", 0.5, seed=0, hidden=1, rule="x"), run("a", 0.5, seed=1, hidden=1, rule="y")]
    assert accuracy_by_setting(runs(*found, run("b", 0.5, hidden=2))) == []


def test_accuracy_by_setting_has_a_line_for_each_other_setting_tried() -> None:
    found = [run("a", 0.5, hidden=h, pruned=p, seed=s) for h in (1, 2) for p in (0, 0.5) for s in (0, 1)]
    by_name = {chart.name: lines_of(chart) for chart in accuracy_by_setting(runs(*found))}
    assert list(by_name["accuracy-by-hidden"]) == ["a, pruned 0", "a, pruned 0.5"]
    assert list(by_name["accuracy-by-pruned"]) == ["a, hidden 1", "a, hidden 2"]
    assert by_name["accuracy-by-pruned"]["a, hidden 1"][0].n == 2


def test_accuracy_by_setting_has_no_line_for_a_setting_that_follows_from_another() -> None:
    found = [run("a", 0.5, hidden=h, rate=h / 10, left=h - s, seed=s) for h in (10, 20) for s in (0, 1)]
    charts = {chart.name: lines_of(chart) for chart in accuracy_by_setting(runs(*found))}
    assert list(charts["accuracy-by-hidden"]) == ["a"]
    assert charts["accuracy-by-hidden"]["a"][10].n == 2


def test_compression_is_the_fraction_of_hidden_units_removed() -> None:
    found = [
        run("small", 0.5, units=units, hidden=hidden, seed=seed)
        for hidden, counts in {100: (90, 80), 200: (100, 100)}.items()
        for seed, units in enumerate(counts)
    ]
    whole = [run("whole", 0.5, units=hidden, hidden=hidden) for hidden in (100, 200)]
    (chart,) = compression_by_hidden(runs(*found, *whole))
    assert chart.name == "compression-by-hidden"
    assert lines_of(chart) == {
        "small": {
            100: estimate([1 - 90 / 100, 1 - 80 / 100], limits=FRACTION),
            200: Estimate(2, 0.5, 0.5, 0.5),
        }
    }


def test_compression_needs_hidden_to_be_the_units_before_pruning() -> None:
    found = [run("a", 0.5, units=units, hidden=hidden) for hidden, units in ((10, 5), (20, 21))]
    assert compression_by_hidden(runs(*found)) == []
    assert compression_by_hidden(runs()) == []


def test_curves_have_a_line_per_part_and_leave_out_what_was_not_measured() -> None:
    first = curve("a", (0.2, 0.1), (0.4, 0.3))
    (chart,) = curves(Runs(curves=(first, curve("b", (0.5, None)), curve("a", (0.4, 0.3)))))
    assert lines_of(chart) == {
        "a, train": {1: estimate([0.2, 0.4], limits=FRACTION), 2: Estimate(1, 0.4)},
        "a, val": {1: estimate([0.1, 0.3], limits=FRACTION), 2: Estimate(1, 0.3)},
        "b, train": {1: Estimate(1, 0.5)},
    }


def test_steps_have_a_panel_for_every_quantity_that_was_measured() -> None:
    found = pruning(
        "a",
        PruningStep(9, loss=0.5, smallest_angle_deg=12.0),
        PruningStep(8, loss=0.6, smallest_angle_deg=None),
    )
    other = pruning("b", PruningStep(9, loss=0.7))
    (chart,) = steps(Runs(prunings=(found, other)))
    assert (chart.x, chart.falling) == ("units", True)
    assert [panel.quantity for panel in chart.panels] == ["loss", "smallest angle (degrees)"]
    assert lines_of(chart) == {
        "a": {8: Estimate(1, 0.6), 9: Estimate(1, 0.5)},
        "b": {9: Estimate(1, 0.7)},
    }
    assert lines_of(chart, 1) == {"a": {9: Estimate(1, 12.0)}}


def test_steps_count_a_pruning_once_at_a_number_of_units() -> None:
    (chart,) = steps(Runs(prunings=(pruning("a", PruningStep(8, loss=0.5), PruningStep(8, loss=0.6)),)))
    assert lines_of(chart) == {"a": {8: Estimate(1, 0.6)}}


def test_charts_need_their_records() -> None:
    assert curves(Runs()) == steps(Runs()) == accuracy_by_setting(Runs()) == []
    assert steps(Runs(prunings=(pruning("a", PruningStep(3)),))) == []


def test_accuracy_by_setting_has_chance_where_it_is_one_value() -> None:
    found = [run("a", 0.5, hidden=hidden) for hidden in (1, 2)]
    (chart,) = accuracy_by_setting(runs(*found))
    assert chart.panels[0].levels == (Level("chance", 0.5),)
    third = ClassScore(None, None, None, 0)
    other = replace(
        run("b", 0.5, hidden=1),
        classes=("x", "y", "z"),
        per_class=dict.fromkeys("xyz", third),
        confusion=((10, 0, 0), (0, 0, 0), (0, 0, 0)),
    )
    (chart,) = accuracy_by_setting(runs(*found, other))
    assert chart.panels[0].levels == ()


def test_accuracy_by_setting_is_not_over_a_budget_or_what_came_of_it() -> None:
    found = [
        run("a", 0.5, angle=10 * left, params=left, macs=left, macs_left=left, units_left=left)
        for left in (0.5, 1)
    ]
    assert [chart.name for chart in accuracy_by_setting(runs(*found))] == ["accuracy-by-angle"]


def test_accuracy_by_setting_has_at_most_so_many_lines_and_says_which() -> None:
    found = [
        run(f"m{place}", place / 100, hidden=hidden)
        for place in range(LINES + 2)
        for hidden in ((1,) if place == LINES else (1, 2))
    ]
    (chart,) = accuracy_by_setting(runs(*found))
    # the one with a single point, and the lowest
    kept = [f"m{place}" for place in range(LINES + 2) if place not in (0, LINES)]
    assert list(lines_of(chart)) == kept
    assert chart.note == "left out: 2 lines with fewer or lower points"


def test_curves_and_steps_have_the_first_labels() -> None:
    labels = [f"m{place}" for place in range(LINES + 1)]
    (chart,) = curves(Runs(curves=tuple(curve(label, (0.5, 0.4)) for label in labels)))
    assert len(chart.panels[0].lines) == 2 * (LINES // 2)
    assert chart.note == f"left out: {LINES + 1 - LINES // 2} labels after the first"
    (chart,) = steps(Runs(prunings=tuple(pruning(label, PruningStep(8, loss=0.5)) for label in labels)))
    assert list(lines_of(chart)) == labels[:LINES]
    assert chart.note == "left out: 1 label after the first"
