"""Verdicts as tables that fit a terminal, as flat rows and as JSON, whatever the names are."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import replace

from emoprune.evaluation.predictions import Predictions
from emoprune.evaluation.significance.compare import adjust_all
from emoprune.evaluation.significance.pairing import pair
from emoprune.reporting import tables
from emoprune.reporting.measures import Baseline
from emoprune.reporting.tables import Table
from emoprune.reporting.verdict_tables import (
    Listed,
    Verdict,
    Verdicts,
    flat_flipped,
    flat_listing,
    flat_payers,
    flat_verdicts,
    flipped,
    listing,
    payers,
    to_record,
    verdicts,
)
from tests.support.answers import answers

CLASSES = ("angry", "surprise")
LABELS = "a" * 400 + "b" * 400


def view(*runs: Predictions, base: Predictions, margin: float = 1.0) -> Verdicts:
    pairs = [pair(base, run) for run in runs]
    found = adjust_all([each.compared() for each in pairs])
    made = [
        Verdict(run.run, one, both.flips(), Baseline(0.5, 0.6))
        for run, one, both in zip(runs, found, pairs, strict=True)
    ]
    listed = [Listed(each.run, len(each.names), None, each.accuracy, 0.5, 0.6) for each in (base, *runs)]
    return Verdicts(listed, base.run, margin, made)


def run(name: str, predicted: str, **changes: Sequence[str]) -> Predictions:
    return answers(name, predicted, labels=LABELS, classes=CLASSES, **changes)  # type: ignore[arg-type]


BASE = run("base.st", LABELS)
WORSE = run("small.st", "b" * 40 + LABELS[40:])
BOTH = view(WORSE, run("same.st", LABELS), base=BASE)


def everything(made: Verdicts) -> list[Table]:
    return [listing(made), *verdicts(made), *payers(made), *flipped(made)]


def text(found: Sequence[Table], width: int | None = None) -> list[str]:
    return [line for each in found for line, _ in tables.to_lines(each, width=width)]


def test_verdicts_have_a_sentence_numbers_and_images_of_each_run() -> None:
    made = [*verdicts(BOTH)]
    assert [(table.title, table.rows) for table in made] == [
        (
            "Verdicts against base.st",
            (
                (
                    "small.st",
                    "worse by 5 points (3.7 to 6.7; adjusted p < 0.001); "
                    "lower recall of angry (-10.0 points)",
                ),
                ("same.st", "not worse by more than 1 point (95%, 800 images)"),
            ),
        ),
        (
            "Accuracy against base.st",
            (
                ("small.st", "100.0%", "95.0%", "-5.0 pt", "-6.7 to -3.7", "<0.001", "<0.001"),
                ("same.st", "100.0%", "100.0%", "0.0 pt", "-0.5 to +0.5", "1.000", "1.000"),
            ),
        ),
        (
            "Images that both have",
            (("small.st", 800, None, "2.2 pt"), ("same.st", 800, None, "1.0 pt")),
        ),
    ]


def test_payers_have_a_table_per_run_and_a_word_for_what_is_significant() -> None:
    first, second = payers(BOTH)
    assert first.title == "Who pays: recall of small.st against base.st"
    assert first.rows == (
        ("angry", "100.0%", "90.0%", "-10.0 pt", "-13.3 to -7.4", "<0.001", "<0.001", "lower"),
        ("surprise", "100.0%", "100.0%", "0.0 pt", "-1.0 to +1.0", "1.000", "1.000", None),
    )
    assert [row[-1] for row in second.rows] == [None, None]
    (back,) = payers(view(BASE, base=WORSE))
    assert [row[-1] for row in back.rows] == ["higher", None]


def test_flipped_counts_all_and_shows_the_first_ten() -> None:
    counts, some = flipped(BOTH)
    assert counts.rows == (("small.st", 40, 0, 800), ("same.st", 0, 0, 800))
    assert some.title == "Flipped by small.st: 10 of 40 images"
    assert some.rows[0] == ("00000.jpg", "angry", "angry", "surprise", "90.0%")
    assert (len(some.rows), some.notes) == (10, ("All are in JSON, and in the section flipped as CSV.",))
    _, few = flipped(view(run("few", "b" + LABELS[1:]), base=BASE))
    assert (few.title, len(few.rows), few.notes) == ("Flipped by few: 1 image", 1, ())


def test_a_single_group_leaves_cells_without_numbers() -> None:
    alone = view(answers("n", "ab", groups="xx"), base=answers("m", "aa", groups="xx"))
    said, numbers, images = verdicts(alone)
    assert said.rows[0][1] == "no verdict: 2 images of a single group say nothing of others"
    assert numbers.rows == (("n", "100.0%", "50.0%", "-50.0 pt", None, None, None),)
    assert images.rows == (("n", 2, 1, None),)


def test_flat_rows_have_raw_values_and_all_flipped_images() -> None:
    rows = [dict(zip(flat_verdicts(BOTH).columns, row, strict=True)) for row in flat_verdicts(BOTH).rows]
    change = BOTH.found[0].comparison.accuracy
    assert change.interval is not None
    assert rows[0] == {
        **{"run": "small.st", "baseline": "base.st", "margin_points": 1.0},
        "verdict": BOTH.sentence(BOTH.found[0]),
        **{"images": 800, "groups": None, "before": 1.0, "after": 0.95, "difference": -0.05},
        **{"difference_low": change.interval[0], "difference_high": change.interval[1]},
        **{"p": change.p, "adjusted_p": change.adjusted_p, "shows": change.shows},
        **{"right_to_wrong": 40, "wrong_to_right": 0},
    }
    assert len(flat_payers(BOTH).rows) == 4
    assert [row[-1] for row in flat_payers(BOTH).rows] == ["lower", None, None, None]
    found = flat_flipped(BOTH)
    assert (found.columns[2:4], len(found.rows)) == (("flip", "name"), 40)
    assert {row[2] for row in found.rows} == {"right to wrong"}
    assert flat_flipped(view(BASE, base=BASE)).columns == found.columns
    assert flat_listing(BOTH).rows[1] == ("small.st", 800, None, 0.95, 0.5, 0.6)


def test_to_record_says_the_same_as_the_flat_rows() -> None:
    record = json.loads(json.dumps(to_record(BOTH), allow_nan=False))
    for key, flat in (
        ("predictions", flat_listing(BOTH)),
        ("verdicts", flat_verdicts(BOTH)),
        ("payers", flat_payers(BOTH)),
    ):
        assert record[key] == [dict(zip(flat.columns, row, strict=True)) for row in flat.rows]
    first, second = record["flipped"]
    assert (first["run"], first["right_to_wrong"], len(first["images"])) == ("small.st", 40, 40)
    assert first["images"][0] == {
        **{"flip": "right to wrong", "name": "00000.jpg", "label": "angry", "before": "angry"},
        **{"after": "surprise", "confidence": 0.9},
    }
    assert (second["wrong_to_right"], second["images"]) == (0, [])


LONG = "runs/resnet18 pruned by reconstruct to a quarter of its macs, seed 3/model.st"


def test_tables_fit_eighty_columns_and_break_no_number() -> None:
    names = [
        f"faces/test/surprise/film{index:03d}_a long name of a picture, aligned.jpg" for index in range(800)
    ]
    made = view(run(LONG, "b" * 300 + LABELS[300:], names=names), base=run(LONG[::-1], LABELS, names=names))
    wide, narrow = text(everything(made)), text(everything(made), 80)
    assert max(map(len, wide)) > 80
    assert max(map(len, narrow)) == 80
    words = " ".join(narrow).split()
    for number in ("100.0%", "62.5%", "-37.5", "<0.001", "300", "800", "90.0%"):
        assert words.count(number) == " ".join(wide).split().count(number) > 0


HOSTILE = ("\x1b[31mred", "a|b", "<b>x</b>", "two\nlines", "=1+1", "\u202eback", "[x](http://y)", "`a`")


def test_hostile_names_are_text_everywhere() -> None:
    classes, names = HOSTILE[:2], [f"{name}{index}" for index, name in enumerate(HOSTILE)]
    first, second = (
        answers(run, text, names=names, classes=classes)
        for run, text in ((HOSTILE[2], "a" * 8), (HOSTILE[6], "b" * 8))
    )
    made = view(second, base=first)
    for line in text(everything(made), 80):
        assert line.isprintable()
    markdown = "\n".join(map(tables.to_markdown, everything(made)))
    assert not set("\x1b\u202e") & set(markdown)
    for escaped in (r"a\|b", r"\<b>x\</b>", r"two\\nlines", r"\[x](http\://y)", r"\`a\`"):
        assert escaped in markdown
    rows = [*csv.reader(io.StringIO(tables.to_csv(flat_flipped(made))))]
    assert {row[3] for row in rows[1:]} == set(names)
    assert {len(row) for row in rows} == {len(rows[0])}


def test_accuracies_of_predictions_have_what_guessing_gets_beside_them() -> None:
    once = ("accuracy: chance 50.0%, always the most frequent class 60.0%",)
    assert listing(BOTH).notes == once
    assert [table.notes for table in verdicts(BOTH)] == [(), once, ()]
    found = [replace(BOTH.found[0], blind=Baseline(0.5, 0.7)), BOTH.found[1]]
    other = replace(BOTH, listed=[replace(BOTH.listed[0], majority=0.7), *BOTH.listed[1:]], found=found)
    assert [row[-1] for row in listing(other).rows] == ["50.0%, 70.0%", "50.0%, 60.0%", "50.0%, 60.0%"]
    _, accuracy, images = verdicts(other)
    assert accuracy.notes == ()
    assert [row[-1] for row in images.rows] == ["50.0%, 70.0%", "50.0%, 60.0%"]
