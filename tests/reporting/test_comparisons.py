"""Runs against a baseline: which are compared, under which names, and with which p-values."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from statsmodels.stats.multitest import multipletests

from emoprune import events
from emoprune.errors import BadData, BadMetrics, UsageFault
from emoprune.evaluation.predictions import Predictions
from emoprune.reporting.comparisons import verdicts
from emoprune.reporting.types import ReportConfig
from emoprune.reporting.verdict_tables import Verdicts
from tests.support.answers import answers

BASE = answers("base", "a" * 60)
WORSE = answers("worse", "a" * 40 + "b" * 20)
LITTLE = answers("little", "a" * 55 + "b" * 5)
SAME = answers("same", "a" * 60)


def compared(
    *found: Predictions, base: Predictions = BASE, margin: float = 1.0
) -> tuple[Verdicts, list[str]]:
    """The verdicts on runs, and what is told."""
    Path("base.csv").write_bytes(base.to_bytes())
    with events.gathered() as told:
        made = verdicts(found, ReportConfig(baseline="base.csv", margin=margin))
    return made, [text for _, text in told]


def test_p_values_are_adjusted_for_the_runs_of_the_report(in_folder: Path) -> None:
    made, told = compared(WORSE, LITTLE, SAME)
    changes = [each.comparison.accuracy for each in made.found]
    assert [each.adjusted_p for each in changes] == pytest.approx(
        multipletests([each.p for each in changes], method="holm")[1]
    )
    assert (told, made.baseline, [each.run for each in made.found]) == (
        [],
        "base",
        ["worse", "little", "same"],
    )
    assert [(each.lost, each.gained) for each in made.found] == [(20, 0), (5, 0), (0, 0)]


def test_the_order_of_files_changes_no_verdict(in_folder: Path) -> None:
    found = set()
    for runs in itertools.permutations((BASE, WORSE, LITTLE, SAME)):
        made, _ = compared(*runs)
        found.add(frozenset((each.run, made.sentence(each), each.comparison.accuracy) for each in made.found))
    assert len(found) == 1


def test_the_baseline_and_what_is_there_again_are_not_compared(in_folder: Path) -> None:
    order = np.arange(60)[::-1]
    backwards = Predictions(
        **{
            **vars(WORSE),
            "names": tuple(WORSE.names[index] for index in order),
            "predicted": WORSE.predicted[order],
        }
    )
    made, told = compared(WORSE, BASE, backwards)
    assert [each.run for each in made.found] == ["worse"]
    assert told == [
        "1 run of predictions given again, and counted once",
        "base is the baseline, and not compared with itself",
    ]
    with pytest.raises(BadMetrics, match=r"^no predictions to compare with base; give what emoprune eval"):
        compared(BASE)


def test_runs_of_one_name_are_told_apart(in_folder: Path) -> None:
    others = [answers("base", "a" * 59 + "b"), answers("base", "b" + "a" * 59)]
    # replaced one by one, as the helper gives each name a model
    others = [
        Predictions(**{**vars(run), "model_fingerprint": f"{number}2345678"})
        for number, run in enumerate(others)
    ]
    made, _ = compared(*others, WORSE)
    assert [made.baseline, *(each.run for each in made.found)] == [
        "base (model of)",
        "base (02345678)",
        "base (12345678)",
        "worse",
    ]
    made, _ = compared(
        WORSE, Predictions(**{**vars(LITTLE), "run": "worse", "model_fingerprint": "model of worse"})
    )
    assert [each.run for each in made.found] == ["worse (model of) #1", "worse (model of) #2"]


def test_without_a_baseline_predictions_are_listed(in_folder: Path) -> None:
    with events.gathered() as told:
        made = verdicts([WORSE, answers("films", "ab", groups=("x", "y"))], ReportConfig())
    assert [vars(each) for each in made.listed] == [
        {
            **{"run": "worse", "images": 60, "groups": None, "accuracy": pytest.approx(40 / 60)},
            **{"chance": 0.5, "majority": 1.0},
        },
        {"run": "films", "images": 2, "groups": 2, "accuracy": 0.5, "chance": 0.5, "majority": 1.0},
    ]
    assert [text for _, text in told] == [
        "predictions are only listed; `baseline` names the file to compare them with"
    ]
    assert made.found == ()


def test_the_margin_decides_what_is_not_worse(in_folder: Path) -> None:
    for margin, said in ((1.0, "no evidence either way"), (30.0, "not worse by more than 30 points")):
        made, _ = compared(answers("n", "a" * 59 + "b"), margin=margin)
        assert made.sentence(made.found[0]).startswith(said)
    with pytest.raises(UsageFault, match="`margin` is of a comparison; give `baseline`"):
        ReportConfig(margin=2)
    with pytest.raises(UsageFault, match="`margin=-1` is out of range"):
        ReportConfig(baseline="b.csv", margin=-1)


def test_a_baseline_is_one_run(in_folder: Path) -> None:
    Path("two.csv").write_bytes(BASE.to_bytes() + WORSE.to_bytes())
    with pytest.raises(BadData, match=r"^two\.csv: has 2 runs: base, worse; give a file of one run"):
        verdicts([LITTLE], ReportConfig(baseline="two.csv"))
