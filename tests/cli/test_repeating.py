"""Command lines that repeat a report: shells read them back as they were."""

from __future__ import annotations

import shlex

from emoprune.cli.repeating import MOST, of_evaluations, of_report
from tests.support.sweeps import measured, swept


def test_of_evaluations_says_what_the_records_say() -> None:
    run = measured("a b", 0.5, model="my model.st", data="faces/", settings={"hidden": 20, "kind": "x'y"})
    (line,) = of_evaluations([run, run])
    assert shlex.split(line) == [
        *("emoprune", "eval", "my model.st", "faces/", "--split", "val", "--label", "a b"),
        *("--set", "hidden=20", "--set", "kind=x'y"),
    ]


def test_of_evaluations_invents_no_command_of_a_sweep_and_lists_no_end_of_them() -> None:
    assert [*of_evaluations(swept()[1:])] == ["# 12 networks of a sweep, whose command is not in its lines"]
    many = [measured(f"run {number}", 0.5) for number in range(MOST + 2)]
    lines = [*of_evaluations(many)]
    assert (len(lines), lines[-1]) == (MOST + 1, "# and 2 more evaluations")


def test_of_report_has_the_options_that_were_given() -> None:
    given = {"by_label": True, "paper": None, "margin": 2.5, "section": ("summary", "steps"), "title": "a b"}
    line = of_report(["x y.json", "-"], given)
    assert shlex.split(line) == [
        *("emoprune", "report", "x y.json", "-", "--by-label", "--margin", "2.5"),
        *("--section", "summary", "--section", "steps", "--title", "a b"),
    ]
    assert "\n" not in of_report(["a\nb"], {})
