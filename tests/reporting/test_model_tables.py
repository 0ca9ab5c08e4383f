"""Several models' metrics side by side: names that tell them apart, figures and their changes."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
from pathlib import Path
from typing import Any, get_args

import pytest

from emoprune import choices
from emoprune.evaluation.types import ClassScore, Metrics
from emoprune.pruning.types import PruningStep
from emoprune.reporting import model_tables, sections
from emoprune.reporting.confidence import estimate
from emoprune.reporting.model_tables import by_class, comparable, confusions, flat, headings, sheets, summary
from emoprune.reporting.tables import Table
from emoprune.reporting.types import Runs
from tests.support.command_line import Runner, scores
from tests.support.runs import curve, pruning, run

BEFORE = Metrics(
    model="runs/model.st",
    model_fingerprint="a" * 64,
    data="faces/",
    data_fingerprint="d" * 64,
    split="test",
    n=10,
    classes=("angry", "happy"),
    accuracy=0.8,
    accuracy_interval=(0.49, 0.943),
    macro_f1=0.75,
    per_class={"angry": ClassScore(0.7, 0.9, 0.7875, 5), "happy": ClassScore(None, 0.0, 0.0, 5)},
    confusion=((4, 1), (1, 4)),
    log_loss=0.5,
    calibration_error=0.1,
    parameters=2000,
    nonzero_parameters=1500,
    macs=1_234_567,
    bytes=8000,
    units=200,
)
AFTER = dataclasses.replace(
    BEFORE,
    model="runs/pruned.st",
    accuracy=0.7,
    macro_f1=0.8,
    log_loss=0.625,
    parameters=1000,
    nonzero_parameters=1000,
    units=50,
)
SUMMARY_KEYS = {
    *("model", "data", "split", "n", "accuracy", "accuracy_low", "accuracy_high", "macro_f1", "log_loss"),
    *("calibration_error", "units", "parameters", "nonzero_parameters", "macs", "bytes", "latency_ms"),
}


def named(*models: str, split: str = "test") -> list[Metrics]:
    return [dataclasses.replace(BEFORE, model=model, split=split) for model in models]


def cells(sheet: Table, first: str) -> tuple[object, ...]:
    [row] = [row for row in sheet.rows if row[0] == first]
    return row[1:]


@pytest.mark.parametrize(
    ("models", "wanted"),
    [
        (["runs/a.st", "other/b.st"], ["a.st", "b.st"]),
        (["runs/a.st", "other/a.st"], ["runs/a.st", "other/a.st"]),
        (["a.st"], ["a.st"]),
        (["-", "runs/a.st"], ["-", "a.st"]),
    ],
)
def test_headings_are_file_names_or_paths_where_those_are_shared(
    models: list[str], wanted: list[str]
) -> None:
    assert headings(named(*models)) == wanted


def test_headings_of_one_model_on_two_parts_have_the_part() -> None:
    found = [*named("a.st", split="val"), *named("a.st", split="test")]
    assert headings(found) == ["a.st (val)", "a.st (test)"]


def test_headings_of_the_same_run_twice_are_numbered() -> None:
    found = headings(named("a.st", "a.st", "b.st"))
    assert len(set(found)) == 3
    assert found[0] == "a.st (test) #1"


def test_models_are_comparable_only_on_the_same_part_of_the_same_data() -> None:
    assert comparable([BEFORE, AFTER])
    assert not comparable([BEFORE, dataclasses.replace(AFTER, split="val")])
    assert not comparable([BEFORE, dataclasses.replace(AFTER, data_fingerprint="e" * 64)])
    assert comparable([BEFORE, dataclasses.replace(AFTER, data="elsewhere/")])


def test_the_summary_has_one_column_a_model_and_the_change_from_the_second_on() -> None:
    sheet = summary([BEFORE, AFTER])
    assert sheet.columns == ("", "model.st", "pruned.st")
    assert all(len(row) == 3 for row in sheet.rows)
    assert cells(sheet, "accuracy") == ("80.0%", "70.0% (-10.0 pt)")
    assert cells(sheet, "macro F1") == ("0.750", "0.800 (+0.050)")
    assert cells(sheet, "log loss") == ("0.500", "0.625 (+0.125)")
    assert cells(sheet, "hidden units") == ("200", "50 (-75.0%)")
    assert cells(sheet, "parameters") == ("2,000", "1,000 (-50.0%)")
    assert cells(sheet, "MACs") == ("1,234,567", "1,234,567 (+0.0%)")
    assert cells(sheet, "part") == ("test", "test")
    assert cells(sheet, "samples") == ("10", "10")


def test_changes_are_against_the_first_model_and_not_the_one_before() -> None:
    third = dataclasses.replace(AFTER, parameters=500)
    assert cells(summary([BEFORE, AFTER, third]), "parameters")[2] == "500 (-75.0%)"


def test_the_interval_stands_under_the_accuracy() -> None:
    rows = summary([BEFORE]).rows
    place = next(index for index, row in enumerate(rows) if row[0] == "accuracy")
    assert rows[place + 1][1:] == ("49.0 to 94.3%",)


def test_a_change_from_nothing_has_no_share() -> None:
    without = dataclasses.replace(BEFORE, units=0)
    assert cells(summary([without, AFTER]), "hidden units") == ("0", "50 (-)")


def test_latency_has_a_line_only_where_some_model_was_timed() -> None:
    assert not any(str(row[0]).startswith("latency") for row in summary([BEFORE, AFTER]).rows)
    timed = dataclasses.replace(AFTER, latency_ms=1.5)
    assert cells(summary([BEFORE, timed]), "latency (ms)") == ("-", "1.500")
    slower = dataclasses.replace(BEFORE, latency_ms=3.0)
    assert cells(summary([slower, timed]), "latency (ms)") == ("3.000", "1.500 (-50.0%)")


def test_classes_stand_down_and_models_across_and_what_is_undefined_is_a_dash() -> None:
    precision, recall, f1 = by_class([BEFORE, AFTER])
    assert [sheet.title for sheet in (precision, recall, f1)] == [
        "Precision by class",
        "Recall by class",
        "F1 by class",
    ]
    assert precision.columns == ("class", "model.st", "pruned.st")
    assert cells(precision, "angry") == ("0.700", "0.700")
    assert cells(precision, "happy") == ("-", "-")
    assert cells(recall, "happy") == ("0.000", "0.000")
    assert cells(f1, "angry")[0] == "0.787"


def test_a_class_that_one_model_lacks_is_a_dash_for_it() -> None:
    other = dataclasses.replace(
        BEFORE,
        model="other.st",
        classes=("angry", "sad"),
        per_class={"angry": ClassScore(1.0, 1.0, 1.0, 5), "sad": ClassScore(0.5, 0.5, 0.5, 5)},
    )
    recall = by_class([BEFORE, other])[1]
    assert [row[0] for row in recall.rows] == ["angry", "happy", "sad"]
    assert cells(recall, "sad") == ("-", "0.500")
    assert cells(recall, "happy") == ("0.000", "-")


def test_a_confusion_has_every_actual_class_with_its_support() -> None:
    [sheet] = confusions([dataclasses.replace(BEFORE, confusion=((4, 2), (1, 3)))])
    assert "model.st" in sheet.title
    assert sheet.columns == ("actual", "angry", "happy", "support")
    assert sheet.rows == (("angry", 4, 2, 6), ("happy", 1, 3, 4))


def test_sections_come_in_the_order_wanted() -> None:
    titles = [sheet.title for sheet in sheets([BEFORE, AFTER], ["confusion", "summary", "classes"])]
    assert [title.split()[0] for title in titles] == [
        *("Confusion", "Confusion", "Summary"),
        *("Precision", "Recall", "F1"),
    ]


def test_the_flat_summary_has_one_row_a_model_and_raw_values() -> None:
    sheet = flat([BEFORE, AFTER], "summary")
    assert set(sheet.columns) == SUMMARY_KEYS
    first, second = (dict(zip(sheet.columns, row, strict=True)) for row in sheet.rows)
    assert (first["accuracy"], first["accuracy_low"], first["accuracy_high"]) == (0.8, 0.49, 0.943)
    for key in SUMMARY_KEYS - {"accuracy_low", "accuracy_high"}:
        assert second[key] == getattr(AFTER, key)


def test_the_flat_classes_have_one_row_a_model_and_class() -> None:
    sheet = flat([BEFORE, AFTER], "classes")
    assert sheet.columns == ("model", "split", "class", "precision", "recall", "f1", "support")
    assert len(sheet.rows) == 4
    assert sheet.rows[1] == ("runs/model.st", "test", "happy", None, 0.0, 0.0, 5)


def test_the_flat_confusion_has_one_row_a_cell_and_adds_up() -> None:
    sheet = flat([dataclasses.replace(BEFORE, confusion=((4, 2), (1, 3)))], "confusion")
    assert sheet.columns == ("model", "split", "actual", "predicted", "count")
    assert ("runs/model.st", "test", "angry", "happy", 2) in sheet.rows
    assert ("runs/model.st", "test", "happy", "angry", 1) in sheet.rows
    assert sum(row[-1] for row in sheet.rows if isinstance(row[-1], int)) == BEFORE.n


def test_the_record_is_json_with_every_figure_and_its_change_against_the_first() -> None:
    record: dict[str, Any] = json.loads(json.dumps(model_tables.to_record([BEFORE, AFTER]), allow_nan=False))
    assert record["schema"] == "emoprune.report/1"
    assert record["comparable"] is True
    first, second = record["models"]
    assert set(first) >= SUMMARY_KEYS
    assert set(first["change"].values()) == {0}
    assert second["model"] == AFTER.model
    assert second["change"]["parameters"] == -1000
    assert second["change"]["accuracy"] == pytest.approx(-0.1)
    assert not {"model", "latency_ms"} & set(second["change"])
    assert first["per_class"]["happy"] == {"precision": None, "recall": 0.0, "f1": 0.0, "support": 5}


def test_the_record_gives_no_change_where_one_side_was_not_timed() -> None:
    timed = dataclasses.replace(AFTER, latency_ms=1.5)
    for found, wanted in (([BEFORE, timed], None), ([timed, BEFORE], None), ([timed, timed], 0)):
        assert model_tables.to_record(found)["models"][1]["change"].get("latency_ms") == wanted


def test_the_record_says_when_models_cannot_be_compared() -> None:
    assert model_tables.to_record([BEFORE, dataclasses.replace(AFTER, split="val")])["comparable"] is False


def test_report_shows_every_section() -> None:
    found = Runs((run("a", 0.5),), (curve("a", (0.5, None)),), (pruning("a", PruningStep(9)),))
    for view in (sections.one_by_one(found), sections.by_label(found)):
        assert tuple(view.parts) == get_args(choices.Section)


WHOLE, SMALL = (0.5, 0.6, 0.7), (0.45, 0.5, 0.7)


def tagged(label: str, accuracy: float, **settings: Any) -> dict[str, Any]:
    return scores(f"{label}.st", label=label, accuracy=accuracy, settings=settings)


RECORDS = [
    *(tagged("whole", accuracy, seed=seed) for seed, accuracy in enumerate(WHOLE)),
    *({**tagged("small", accuracy, seed=seed), "units": 6 + seed} for seed, accuracy in enumerate(SMALL)),
    tagged("alone", 0.4),
]
STREAM = "".join(json.dumps(record) + "\n" for record in RECORDS).encode()
PAPER = """label,measure,value,where
whole,accuracy,34.5%,Table 4
theirs,accuracy,0.3,Table 1
theirs,units,99,
whole,precision angry,0.41,Table 5
theirs,recall bored,22%,Fig. 1
"""


@pytest.fixture
def paper(in_folder: Path) -> str:
    (in_folder / "paper.csv").write_text(PAPER)
    return "paper.csv"


def lines(text: str) -> list[list[str]]:
    """The cells of every line of Markdown tables."""
    rows = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row.strip("|").split(" | ")] for row in rows]


def cells_report_labels(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_a_label_is_a_row_of_means_with_an_interval_and_the_paired_difference(emoprune: Runner) -> None:
    argv = ("report", "--by-label", "--section", "summary", "--format", "markdown")
    header, _, *rows = lines(emoprune.done(*argv, stdin=STREAM).out)
    assert header[:6] == ["label", "runs", "accuracy", "95% interval", "against the first", "95% interval"]
    assert header[6:] == ["macro F1", "hidden units", "parameters", "non-zero", "MACs"]
    # 0.6 +- 4.303 * 0.1 / sqrt(3); differences -0.05, -0.1, 0: -0.05 +- 4.303 * 0.05 / sqrt(3)
    assert rows[0][:6] == ["whole", "3", "60.0%", "35.2 to 84.8%", "-", "-"]
    assert rows[1][:6] == ["small", "3", "55.0%", "22.1 to 87.9%", "-5.0 pt", "-17.4 to +7.4 pt"]
    assert rows[1][6:] == ["0.650", "7", "2,000", "1,990", "40,000"]
    assert rows[2][:6] == ["alone", "1", "40.0%", "-", "-", "-"]


def test_csv_and_json_have_the_same_in_raw_values(emoprune: Runner) -> None:
    record = emoprune.done("report", "--by-label", stdin=STREAM).record
    assert (record["schema"], record["comparable"]) == ("emoprune.labels/1", True)
    whole, small, alone = record["labels"]
    assert (whole["label"], whole["runs"], whole["change"]) == ("whole", 3, {})
    assert whole["accuracy"] == vars(estimate(WHOLE))
    assert small["change"]["accuracy"] == pytest.approx(vars(estimate([-0.05, -0.1, 0])), abs=1e-12)
    assert small["change"]["units"]["mean"] == -17
    assert (alone["accuracy"]["low"], alone["change"]) == (None, {})
    rows = cells_report_labels(emoprune.done("report", "--by-label", "--format", "csv", stdin=STREAM).out)
    assert [row["label"] for row in rows] == ["whole", "small", "alone"]
    for row, label in zip(rows, record["labels"], strict=True):
        assert float(row["accuracy"]) == label["accuracy"]["mean"]
        assert row["accuracy_low"] == ("" if label["runs"] == 1 else str(label["accuracy"]["low"]))
        assert float(row["nonzero_parameters"]) == label["nonzero_parameters"]["mean"]
    assert float(rows[1]["accuracy_change_high"]) == small["change"]["accuracy"]["high"]
    assert (rows[0]["pairs"], rows[1]["pairs"], rows[2]["pairs"]) == ("", "3", "")


def test_classes_are_means_and_confusions_sums(emoprune: Runner) -> None:
    argv = ("report", "--by-label", "--format")
    text = emoprune.done(*argv, "markdown", "--section", "classes", stdin=STREAM).out
    assert "| class | whole | small | alone |" in text
    assert "| angry | 0.600 | 0.600 | 0.600 |" in text
    assert "| happy | - | - | - |" in text.partition("### Recall")[0]
    counts = cells_report_labels(emoprune.done(*argv, "csv", "--section", "confusion", stdin=STREAM).out)
    whole = {(row["actual"], row["predicted"]): row["count"] for row in counts if row["label"] == "whole"}
    assert whole == {
        **{("angry", "angry"): "9", ("angry", "happy"): "3"},
        **{("happy", "angry"): "6", ("happy", "happy"): "12"},
    }
    table = emoprune.done(*argv, "table", "--section", "confusion", stdin=STREAM).out
    assert "Confusion of whole, 3 runs" in table
    rows = cells_report_labels(emoprune.done(*argv, "csv", "--section", "classes", stdin=STREAM).out)
    assert (rows[1]["class"], rows[1]["precision"], rows[1]["recall"]) == ("happy", "", "0.67")


def test_a_papers_numbers_stand_beside_ours_where_it_has_any(emoprune: Runner, paper: str) -> None:
    argv = ("report", "--by-label", "--paper", paper, "--format")
    header, _, *rows = lines(emoprune.done(*argv, "markdown", "--section", "summary", stdin=STREAM).out)
    assert [index for index, name in enumerate(header) if name == "paper"] == [6, 9]
    assert [row[6] for row in rows] == ["34.5% (Table 4)", "-", "-", "30.0% (Table 1)"]
    assert rows[3] == ["theirs", *"-----", "30.0% (Table 1)", "-", "-", "99", *"---"]
    text = emoprune.done(*argv, "markdown", "--section", "classes", stdin=STREAM).out
    precision, recall, f1 = text.split("### ")[1:]
    assert "| class | whole | whole (paper) | small | alone |" in precision
    assert "| angry | 0.600 | 0.410 (Table 5) | 0.600 | 0.600 |" in precision
    assert "| class | whole | small | alone | theirs (paper) |" in recall
    assert "| bored | - | - | - | 0.220 (Fig. 1) |" in recall
    assert "paper" not in f1
    summary = cells_report_labels(emoprune.done(*argv, "csv", stdin=STREAM).out)
    assert [row["paper_accuracy"] for row in summary] == ["0.345", "", "", "0.3"]
    assert (summary[3]["runs"], summary[3]["accuracy"], summary[3]["paper_units"]) == ("0", "", "99.0")
    classes = cells_report_labels(emoprune.done(*argv, "csv", "--section", "classes", stdin=STREAM).out)
    (ours,) = (row for row in classes if (row["label"], row["class"]) == ("whole", "angry"))
    assert (ours["precision"], ours["paper_precision"], ours["paper_precision_where"]) == (
        *("0.6", "0.41", "Table 5"),
    )
    *_, theirs = emoprune.done(*argv, "json", stdin=STREAM).record["labels"]
    assert (theirs["label"], theirs["runs"]) == ("theirs", 0)
    assert theirs["paper"][2] == {"measure": "recall", "class": "bored", "value": 0.22, "where": "Fig. 1"}


def test_a_bad_paper_is_named_by_file_and_line(emoprune: Runner, in_folder: Path) -> None:
    (in_folder / "p.csv").write_text("label,measure,value,where\nwhole,accuracy,high,T\n")
    argv = ("report", "--by-label", "--paper")
    emoprune.check_refused(*argv, "p.csv", stdin=STREAM, says=("p.csv: line 2: ", "'high'"))
    emoprune.check_refused(*argv, "no.csv", stdin=STREAM, says=("no.csv: no such file",))


def test_a_paper_without_labels_is_the_command_lines_fault(emoprune: Runner, paper: str) -> None:
    emoprune.check_refused("report", "--paper", paper, code=2, says=("--by-label",), stdin=STREAM)


def test_no_mean_is_taken_over_different_settings(emoprune: Runner) -> None:
    found = [tagged("a", 0.5, seed=seed, hidden=hidden) for hidden in (10, 20) for seed in (0, 1)]
    data = "".join(map(json.dumps, [*found, tagged("b", 0.5, seed=0)])).encode()
    rows = emoprune.done("report", "--by-label", stdin=data).record["labels"]
    assert [(row["label"], row["runs"]) for row in rows] == [
        ("a, hidden 10", 2),
        ("a, hidden 20", 2),
        ("b", 1),
    ]


def test_runs_of_one_label_with_different_classes_are_refused(emoprune: Runner) -> None:
    other = {**RECORDS[0], "classes": ["happy", "angry"]}
    data = STREAM + json.dumps(other).encode()
    emoprune.check_refused("report", "--by-label", stdin=data, says=("'whole'", "classes"))
