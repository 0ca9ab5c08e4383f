"""Several models' metrics side by side: names that tell them apart, figures and their changes."""

import dataclasses
import json
from typing import Any, get_args

import pytest

from emoprune import choices
from emoprune.evaluation.types import ClassScore, Metrics
from emoprune.pruning.types import PruningStep
from emoprune.reporting import model_tables, sections
from emoprune.reporting.model_tables import by_class, comparable, confusions, flat, headings, sheets, summary
from emoprune.reporting.tables import Sheet
from emoprune.reporting.types import Runs
from tests.support.runs import course, curve, run

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


def cells(sheet: Sheet, first: str) -> tuple[object, ...]:
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
    found = Runs((run("a", 0.5),), (curve("a", (0.5, None)),), (course("a", PruningStep(9)),))
    for view in (sections.one_by_one(found), sections.by_label(found)):
        assert tuple(view.parts) == get_args(choices.Section)
