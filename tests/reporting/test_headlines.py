"""Headlines: at most three sentences, each true of the data, and warnings of what flatters it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from emoprune.io.visible_text import without_isolates
from emoprune.pruning.types import PruningStep
from emoprune.reporting.headlines import headlines
from emoprune.reporting.sections import report
from emoprune.reporting.types import ReportConfig, Runs
from emoprune.reporting.verdict_tables import Verdicts
from tests.support.answers import answers
from tests.support.runs import curve, pruning
from tests.support.sweeps import measured, swept

NOT_TESTED = "; whether a difference is chance was not tested (give predictions and a baseline)"


def said(runs: Runs, verdicts: Verdicts | None = None) -> list[str]:
    found = headlines(runs, verdicts or Verdicts())
    assert len(found) <= 3
    return [
        f"! {without_isolates(each.text)}" if each.warns else without_isolates(each.text) for each in found
    ]


def test_headlines_say_what_the_smallest_costs_and_which_is_smallest_within_a_point() -> None:
    runs = swept()
    whole, smallest, within = (f"{each.accuracy:.1%}" for each in (runs[0], runs[12], runs[10]))
    assert said(Runs(runs)) == [
        f"At 12% of the MACs, reconstruct has {smallest} of the images right, whole network {whole}"
        f"{NOT_TESTED}.",
        f"The smallest within 1 point of whole network is reconstruct at 50% of the MACs, with {within}.",
        "! 13 networks were compared on the same part (val): the best of them looks better than it is, until "
        "it is measured on images that chose nothing.",
    ]


def test_headlines_take_the_most_accurate_of_those_that_meet_a_budget() -> None:
    found = (("whole", 0.6, 1000), ("poor", 0.3, 124), ("good", 0.6, 126), ("half", 0.6, 500))
    runs = tuple(measured(label, accuracy, macs=macs) for label, accuracy, macs in found)
    first, second, *_ = said(Runs(runs))
    right = f"{runs[2].accuracy:.1%}"
    assert first.startswith(f"At 13% of the MACs, good has {right} of the images right")
    assert second == f"The smallest within 1 point of whole is good at 13% of the MACs, with {right}."


def test_headlines_name_the_nearest_where_no_smaller_network_is_within_a_point() -> None:
    runs = (measured("a", 0.9, macs=9000), measured("b", 0.5, macs=6000), measured("c", 0.4, macs=3000))
    assert said(Runs(runs))[1] == (
        "No smaller network is within 1 point of a; the nearest is b at 67% of the MACs, with "
        f"{runs[1].accuracy:.1%}."
    )


@pytest.mark.parametrize(
    ("second", "begins"),
    [
        ({"macs": 500}, "At 50% of the MACs, b has"),
        ({"parameters": 10}, "At 10% of the parameters, b has"),
        ({"nonzero_parameters": 1}, "At 1% of the non-zero parameters, b has"),
        ({"macs": 4}, "At 0.4% of the MACs, b has"),
        ({"macs": 2000}, "a has"),
        ({}, "a has"),
    ],
)
def test_headlines_take_the_first_cost_that_differs(second: dict[str, Any], begins: str) -> None:
    first = measured("a", 0.9)
    assert said(Runs((first, replace(measured("b", 0.8), **second))))[0].startswith(begins)


def test_headlines_take_runs_of_several_seeds_as_one_network() -> None:
    runs = [
        measured(label, right + seed / 10, macs=macs, settings={"seed": seed})
        for label, right, macs in (("a", 0.7, 1000), ("b", 0.5, 500))
        for seed in range(3)
    ]
    first, *rest = said(Runs(tuple(runs)))
    means = [sum(run.accuracy for run in runs[start : start + 3]) / 3 for start in (3, 0)]
    assert first.startswith(
        f"At 50% of the MACs, b has {means[0]:.1%} of the images right, a {means[1]:.1%};"
    )
    assert rest == []


def test_headlines_give_a_network_alone_with_its_interval() -> None:
    run = measured("a", 0.8)
    low, high = run.accuracy_interval
    assert said(Runs((run,))) == [
        f"a has {run.accuracy:.1%} of 210 images right (95% interval {100 * low:.1f} to {high:.1%})."
    ]


@pytest.mark.parametrize(
    ("changes", "warning"),
    [
        (
            {"accuracy_interval": (0.1, 0.9)},
            "Not shown to be better than always answering the most frequent class (14.3%): a.",
        ),
        ({"split": "test", "seen": 7}, "Up to 7 images measured here were trained on"),
        ({"split": "train", "seen": 7}, None),
        (
            {"split": "test", "test_looks": 3},
            "The test part was looked at before, up to 3 times: what was chosen",
        ),
        ({"split": "test", "test_looks": None}, None),
    ],
)
def test_headlines_warn_of_what_flatters_the_numbers(changes: dict[str, Any], warning: str | None) -> None:
    found = [text for text in said(Runs((measured("a", 0.8, **changes),))) if text.startswith("! ")]
    assert [text.startswith(f"! {warning}") for text in found] == [True] * (warning is not None)


def test_headlines_compare_nothing_of_different_data() -> None:
    elsewhere = [measured(name, 0.8, data_fingerprint="other") for name in "bc"]
    assert said(Runs((measured("a", 0.9, macs=900), *elsewhere))) == []


def test_headlines_give_the_mean_of_runs_with_its_interval_within_100_percent() -> None:
    runs = tuple(measured("a", 0.9, accuracy=right, settings={"seed": right}) for right in (1.0, 0.8))
    assert said(Runs(runs)) == [
        "a has 90.0% of 210 images right (95% interval of the mean of 2 runs 0.0 to 100.0%).",
        "! Not shown to be better than always answering the most frequent class (14.3%): a.",
    ]


def test_headlines_have_the_verdicts_against_a_baseline(in_folder: Path) -> None:
    (in_folder / "b.csv").write_bytes(answers("m", "a" * 40).to_bytes())
    worse, same = answers("worse", "b" * 20 + "a" * 20), answers("same", "a" * 40)
    config = ReportConfig(baseline="b.csv")
    found = report(Runs(predictions=(worse, same)), config).verdicts
    (text,) = said(Runs(), found)
    assert text.startswith("Against m, worse is worse by 50 points (")
    shows = found.found[1].comparison.accuracy.shows
    assert shows is not None
    none = f"there is no evidence either way for same (40 images can show {100 * shows:.0f} points)."
    assert text.endswith(f"with lower recall of a; {none}")
    many = tuple(answers(f"run {number}", "b" * 20 + "a" * 20) for number in range(5))
    found = report(Runs(predictions=(*many, same)), config).verdicts
    assert said(Runs(), found) == [
        "Against m, worse: run 0, run 1, run 2 and 2 more; no evidence either way: same."
    ]


def test_headlines_of_other_runs_are_what_fits() -> None:
    listed = report(Runs(predictions=(answers("m", "aab"), answers("n", "abb")))).verdicts
    assert said(Runs(), listed) == [f"m has 66.7% of 3 images right, the most of 2 runs{NOT_TESTED}."]
    steps = pruning("sum", PruningStep(10, loss=0.5), PruningStep(4, loss=1.25))
    assert said(Runs(prunings=(steps,))) == [
        "sum was pruned from 10 units to 4, and its loss went from 0.500 to 1.250."
    ]
    unmeasured = pruning("sum", PruningStep(1200), PruningStep(1100))
    assert said(Runs(prunings=(unmeasured,))) == ["sum was pruned from 1,200 units to 1,100."]
    curves = (curve("a", (0.9, 0.6), (0.95, 0.5)), curve("b", (0.5, 0.55)))
    assert said(Runs(curves=curves)) == [
        "b ends its training with 55.0% of the val part right, the most of 2 trainings."
    ]
    assert said(Runs(curves=(curve("a", (0.9, None)),))) == [
        "a ends its training with 90.0% of the train part right."
    ]
    assert said(Runs()) == []
