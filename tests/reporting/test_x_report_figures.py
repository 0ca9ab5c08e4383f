"""emoprune report --figures: pictures, and the numbers in them as CSV."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from emoprune.reporting.charts import FIGURES
from emoprune.reporting.confidence import estimate
from tests.support.command_line import Runner, scores, tree

TRAINING = {
    "schema": "emoprune.training/1",
    "model": "m.st",
    "label": "a",
    "training": [
        {"index": 1, "train_loss": 1.0, "train_accuracy": 0.4, "val_loss": None, "val_accuracy": None}
    ],
}
STEPS = {
    "schema": "emoprune.steps/1",
    "model": "m.st",
    "method": "progressive",
    "label": "a",
    "steps": [
        {"units": u, "loss": 0.1, "accuracy": None, "smallest_angle_deg": 3.0, "least_importance": None}
        for u in (9, 8)
    ],
}
GRID = [
    scores("m.st", label="a", accuracy=0.5 + seed / 10, units=8, settings={"hidden": hidden, "seed": seed})
    for hidden in (10, 20)
    for seed in (0, 1)
]
ONE = scores("m.st", label="b")
SUFFIXES = (".csv", ".png", ".svg")


def stream(*records: dict[str, Any]) -> bytes:
    return "".join(json.dumps(record) + "\n" for record in records).encode()


ALL = stream(STEPS, *GRID, ONE, TRAINING)


def test_every_figure_that_the_records_make_is_three_files_and_the_report_is_printed_as_ever(
    emoprune: Runner, in_folder: Path
) -> None:
    result = emoprune.done("report", "--figures", "out", stdin=ALL)
    assert result.out == emoprune.done("report", stdin=ALL).out
    names = ("accuracy-by-hidden", "compression-by-hidden", "confusion-b", "curves", "steps")
    assert set(tree(in_folder / "out")) == {f"{name}{suffix}" for name in names for suffix in SUFFIXES}
    assert [line for line in result.err.splitlines() if line.startswith("note: ")] == [
        f"note: out/{name}: .svg, .png, .csv" for name in names
    ]
    rows = list(csv.DictReader((in_folder / "out" / "accuracy-by-hidden.csv").read_text().splitlines()))
    wanted = estimate([0.5, 0.6])
    assert [(row["label"], float(row["hidden"]), float(row["mean"])) for row in rows] == [
        ("a", 10, wanted.mean),
        ("a", 20, wanted.mean),
    ]
    assert (float(rows[0]["low"]), float(rows[0]["high"]), rows[0]["runs"]) == (wanted.low, wanted.high, "2")


def test_the_same_records_give_the_same_files(emoprune: Runner, in_folder: Path) -> None:
    for folder in ("one", "two"):
        emoprune.done("report", "--figures", folder, stdin=ALL)
    assert tree(in_folder / "one") == tree(in_folder / "two")


def test_only_the_figures_that_are_wanted_are_drawn(emoprune: Runner, in_folder: Path) -> None:
    emoprune.done("report", "--figures", "out", "--figure", "steps", "--figure", "confusion", stdin=ALL)
    assert {Path(name).stem for name in tree(in_folder / "out")} == {"steps", "confusion-b"}


def test_curves_and_steps_alone_are_drawn_and_printed(emoprune: Runner, in_folder: Path) -> None:
    data = stream(TRAINING, STEPS)
    printed = emoprune.done("report", "--figures", "out", stdin=data)
    assert printed.out == emoprune.done("report", stdin=data).out
    assert [len(printed.record[key]) for key in ("models", "steps", "curves")] == [0, 1, 1]
    assert {Path(name).stem for name in tree(in_folder / "out")} == {"curves", "steps"}


@pytest.mark.parametrize("option", [(), ("--by-label", "--figures", "out")])
@pytest.mark.parametrize(
    ("section", "says"),
    [
        ("summary", ("no metrics", "emoprune eval")),
        ("classes", ("no metrics",)),
        ("confusion", ("no metrics",)),
        ("steps", ("no steps", "prune --steps")),
    ],
)
def test_a_wanted_section_without_its_records_is_refused_before_a_figure_is_drawn(
    emoprune: Runner, option: tuple[str, ...], section: str, says: tuple[str, ...]
) -> None:
    emoprune.check_refused("report", *option, "--section", section, stdin=stream(TRAINING), says=says)


def test_curves_that_are_wanted_and_not_there_are_refused(emoprune: Runner) -> None:
    data = stream(STEPS, *GRID)
    emoprune.check_refused("report", "--section", "curves", stdin=data, says=("no learning", "--curve"))


def test_a_file_that_is_there_keeps_all_from_being_written_unless_forced(
    emoprune: Runner, in_folder: Path
) -> None:
    (in_folder / "out").mkdir()
    (in_folder / "out" / "steps.csv").write_bytes(b"mine")
    emoprune.check_refused("report", "--figures", "out", stdin=ALL, says=("out/steps.csv: exists", "--force"))
    emoprune.done("report", "--figures", "out", "--force", stdin=ALL)
    assert (in_folder / "out" / "steps.csv").read_bytes().startswith(b"quantity,label")


def test_no_file_is_written_where_a_table_cannot_be(emoprune: Runner) -> None:
    emoprune.check_refused("report", "--figures", "no/out", stdin=ALL, says=("no: no such folder",))
    emoprune.check_refused(
        "report", "--figures", "out", "--by-label", "--paper", "no.csv", stdin=ALL, says=("no.csv",)
    )


def test_a_figure_without_its_records_or_its_folder_is_refused(emoprune: Runner) -> None:
    argv = ("report", "--figures", "out", "--figure")
    emoprune.check_refused(*argv, "before-after", stdin=ALL, says=("before-after", "', before'"))
    emoprune.check_refused(*argv, "pie", code=2, stdin=ALL, says=("'pie'", "choose from accuracy-by-KEY"))
    emoprune.check_refused("report", "--figure", "steps", code=2, stdin=ALL, says=("--figures DIR",))


def test_a_label_in_letters_that_the_font_lacks_is_drawn_with_a_warning(emoprune: Runner) -> None:
    result = emoprune.done("report", "--figures", "out", stdin=stream(scores("m.st", label="表情")))
    found = [line for line in result.err.splitlines() if line.startswith("warning: ")]
    assert len(found) == 2
    assert all("confusion-表情: Glyph" in line for line in found)


def test_help_names_every_figure(emoprune: Runner) -> None:
    text = emoprune.done("report", "--help").out
    for name in FIGURES:
        assert f"  {name} " in text
    assert max(map(len, text.partition("Examples:")[2].splitlines())) <= 80
