"""Evaluations by class, as CSV and as JSON: names, values, changes, a paper's numbers."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest

from emoprune.errors import BadMetrics
from emoprune.evaluation.confidence import FRACTION, estimate
from emoprune.evaluation.types import ClassScore, Intervals, Metrics
from emoprune.reporting.model_tables import (
    by_class,
    comparable,
    confusions,
    flat_classes,
    flat_confusion,
    flat_summary,
    gathered,
    headings,
    one_by_one,
    to_record,
)
from tests.support.evaluations import AFTER, BEFORE, PAPER, RUNS, WHOLE, cells, rows
from tests.support.runs import run

BOTH = one_by_one([BEFORE, AFTER])
SUMMARY_KEYS = {
    *("model", "data", "split", "n", "accuracy", "accuracy_low", "accuracy_high", "macro_f1", "log_loss"),
    *("calibration_error", "units", "parameters", "nonzero_parameters", "macs", "bytes", "latency_ms"),
    *("chance", "majority", "balanced_accuracy", "top2_accuracy", "kappa", "matthews_correlation", "auc"),
}


def named(*models: str, split: str = "test") -> list[Metrics]:
    return [dataclasses.replace(BEFORE, model=model, split=split) for model in models]


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
    assert headings([dataclasses.replace(found, label=None) for found in named(*models)]) == wanted


def test_headings_are_labels_where_those_tell_models_apart() -> None:
    labels = ("whole", None, "pruned")
    found = [
        dataclasses.replace(each, label=label)
        for each, label in zip(named("a.st", "b.st", "c.st"), labels, strict=True)
    ]
    assert headings(found) == ["whole", "b.st", "pruned"]


def test_headings_of_one_model_on_two_parts_have_the_part() -> None:
    found = [*named("a.st", split="val"), *named("a.st", split="test")]
    assert headings(found) == ["a.st (val)", "a.st (test)"]


def test_headings_of_the_same_run_twice_are_numbered() -> None:
    found = headings(named("a.st", "a.st", "b.st"))
    assert len(set(found)) == 3
    assert found[0] == "a.st (test) #1"


def test_comparable_needs_the_same_part_of_the_same_data() -> None:
    assert comparable([BEFORE, AFTER])
    assert not comparable([BEFORE, dataclasses.replace(AFTER, split="val")])
    assert not comparable([BEFORE, dataclasses.replace(AFTER, data_fingerprint="e" * 64)])
    assert comparable([BEFORE, dataclasses.replace(AFTER, data="elsewhere/")])


def test_flat_summary_has_the_ends_of_intervals() -> None:
    of = {"accuracy": (0.4, 0.9), "kappa": (0.1, 0.5)}
    grouped = dataclasses.replace(BEFORE, intervals=Intervals("percentile bootstrap", "groups", 7, 2000, of))
    (row,) = rows(flat_summary(one_by_one([grouped])))
    assert (row["groups"], row["accuracy_low"], row["accuracy_by_group_low"], row["kappa_high"]) == (
        *(7, 0.49, 0.4, 0.5),
    )
    assert (row["chance"], row["majority"]) == (0.5, 0.6)


def test_by_class_has_classes_down_models_across_and_no_value_for_the_undefined() -> None:
    precision, recall, f1 = by_class(BOTH)
    titles = [table.title for table in (precision, recall, f1)]
    assert titles == ["Precision by class", "Recall by class", "F1 by class"]
    assert precision.columns == ("class", "model.st", "pruned.st")
    assert cells(precision, "angry") == ("0.700", "0.700")
    assert cells(precision, "happy") == (None, None)
    assert cells(recall, "happy") == ("0.000", "0.000")
    assert cells(f1, "angry")[0] == "0.787"


def test_by_class_has_no_value_for_a_class_that_one_model_lacks() -> None:
    other = dataclasses.replace(
        BEFORE,
        model="other.st",
        classes=("angry", "sad"),
        per_class={"angry": ClassScore(1.0, 1.0, 1.0, 5), "sad": ClassScore(0.5, 0.5, 0.5, 5)},
    )
    recall = by_class(one_by_one([BEFORE, other]))[1]
    assert [row[0] for row in recall.rows] == ["angry", "happy", "sad"]
    assert cells(recall, "sad") == (None, "0.500")
    assert cells(recall, "happy") == ("0.000", None)


def test_confusions_have_every_actual_class_with_its_support() -> None:
    [table] = confusions(one_by_one([BEFORE]))
    assert table.title == "Confusion of before (down: actual, across: predicted)"
    assert table.columns == ("actual", "angry", "happy", "support")
    assert table.rows == (("angry", 4, 2, 6), ("happy", 1, 3, 4))


def wide(count: int, **more: Any) -> Metrics:
    """An evaluation of so many classes, the last of which is taken for the first twice."""
    names = tuple(f"c{number}" for number in range(count))
    matrix = [[int(row == column) for column in range(count)] for row in range(count)]
    matrix[-1][0], matrix[0][1] = 2, 1
    score = ClassScore(0.5, 0.5, 0.5, 1)
    own: dict[str, Any] = {"classes": names, "per_class": dict.fromkeys(names, score), "n": count + 3}
    return dataclasses.replace(BEFORE, confusion=tuple(map(tuple, matrix)), **own, **more)


def test_confusions_of_many_classes_are_the_most_frequent_errors_and_say_where_the_matrix_is() -> None:
    [table] = confusions(one_by_one([wide(20)]))
    assert table.title == "Confusion of before: most frequent errors"
    assert table.columns == ("actual", "predicted", "samples", "support")
    assert table.rows == (("c19", "c0", 2, 3), ("c0", "c1", 1, 2))
    assert table.notes == (
        "The matrix of 20 classes is in JSON, in the section confusion as CSV, and among the figures.",
    )
    assert len(flat_confusion(one_by_one([wide(20)])).rows) == 400
    assert len(next(confusions(one_by_one([wide(12)]))).rows) == 12


def test_by_class_has_many_models_down_unless_classes_are_more_than_fit_across() -> None:
    recall = by_class(one_by_one(named("a", "b", "c", "d")))[1]
    assert recall.columns == ("model", "angry", "happy")
    assert recall.rows == tuple((name, "0.900", "0.000") for name in "abcd")
    many = by_class(one_by_one([wide(20, model=name) for name in "abcd"]))[1]
    assert many.columns == ("class", *"abcd")


def test_flat_summary_has_one_row_a_model_and_raw_values() -> None:
    first, second = rows(flat_summary(BOTH))
    assert set(first) == SUMMARY_KEYS
    assert (first["accuracy"], first["accuracy_low"], first["accuracy_high"]) == (0.8, 0.49, 0.943)
    for key in SUMMARY_KEYS - {"accuracy_low", "accuracy_high"}:
        assert second[key] == getattr(AFTER, key)
    assert isinstance(second["units"], int)


def test_flat_classes_have_one_row_a_model_and_class() -> None:
    table = flat_classes(BOTH)
    assert table.columns == ("model", "split", "class", "precision", "recall", "f1", "support")
    assert len(table.rows) == 4
    assert table.rows[1] == ("runs/model.st", "test", "happy", None, 0.0, 0.0, 5)


def test_flat_confusion_has_one_row_a_cell() -> None:
    table = flat_confusion(one_by_one([BEFORE]))
    assert table.columns == ("model", "split", "actual", "predicted", "count")
    assert [row[2:] for row in table.rows] == [
        *(("angry", "angry", 4), ("angry", "happy", 2)),
        *(("happy", "angry", 1), ("happy", "happy", 3)),
    ]


def test_to_record_has_every_number_and_its_change_against_the_first() -> None:
    record: dict[str, Any] = json.loads(json.dumps(to_record(BOTH), allow_nan=False))
    assert (record["schema"], record["comparable"]) == ("emoprune.report/1", True)
    first, second = record["models"]
    assert set(first) == SUMMARY_KEYS | {"change", "per_class"}
    assert set(first["change"].values()) == {0}
    assert second["model"] == AFTER.model
    assert second["change"]["parameters"] == -10_000
    assert second["change"]["accuracy"] == pytest.approx(-0.1)
    assert not {"model", "latency_ms"} & set(second["change"])
    assert first["per_class"]["happy"] == {"precision": None, "recall": 0.0, "f1": 0.0, "support": 5}
    assert to_record(one_by_one([BEFORE, dataclasses.replace(AFTER, split="val")]))["comparable"] is False


def test_to_record_has_no_change_where_one_side_was_not_timed() -> None:
    timed = dataclasses.replace(AFTER, latency_ms=1.5)
    for found, wanted in (([BEFORE, timed], None), ([timed, BEFORE], None), ([timed, timed], 0)):
        assert to_record(one_by_one(found))["models"][1]["change"].get("latency_ms") == wanted


def test_csv_and_json_by_label_have_the_same_raw_values() -> None:
    record = to_record(gathered(RUNS))
    assert (record["schema"], record["comparable"]) == ("emoprune.labels/1", True)
    whole, small, alone = record["labels"]
    assert (whole["label"], whole["runs"], whole["change"]) == ("whole", 3, {})
    assert whole["accuracy"] == vars(estimate(WHOLE, limits=FRACTION))
    assert small["change"]["accuracy"] == pytest.approx(vars(estimate([-0.05, -0.1, 0])), abs=1e-12)
    assert small["change"]["units"]["mean"] == -17
    assert (alone["accuracy"]["low"], alone["change"]) == (None, {})
    found = rows(flat_summary(gathered(RUNS)))
    for row, label in zip(found, record["labels"], strict=True):
        assert row["label"] == label["label"]
        assert row["accuracy"] == label["accuracy"]["mean"]
        assert row["accuracy_low"] == label["accuracy"]["low"]
        assert row["nonzero_parameters"] == label["nonzero_parameters"]["mean"]
    assert found[0]["accuracy_runs"] == 3
    assert found[1]["accuracy_change_high"] == small["change"]["accuracy"]["high"]
    assert [row["pairs"] for row in found] == [None, 3, None]


def test_csv_and_json_by_label_have_every_measure_of_a_run() -> None:
    (single,) = to_record(one_by_one(RUNS[:1]))["models"]
    keys = {*single} - {
        *("model", "data", "split", "n", "change", "per_class", "accuracy_low"),
        "accuracy_high",
    }
    scored = [dataclasses.replace(one, auc=auc) for one, auc in zip(RUNS[:3], (0.9, 1.0, None), strict=True)]
    (record,), (row,) = to_record(gathered(scored))["labels"], rows(flat_summary(gathered(scored)))
    assert keys <= set(record)
    assert keys <= set(row)
    # of two values Student's interval is wider than a fraction can be
    assert record["auc"] == {"n": 2, "mean": 0.95, "low": pytest.approx(0.95 - 12.7062 * 0.05), "high": 1.0}
    assert [row[f"auc{end}"] for end in ("", "_low", "_high", "_runs")] == [
        record["auc"][key] for key in ("mean", "low", "high", "n")
    ]
    assert (record["top2_accuracy"], row["top2_accuracy"], row["top2_accuracy_runs"]) == (None, None, 0)
    assert (record["chance"], record["majority"], row["majority"]) == (0.5, 0.5, 0.5)


def test_classes_by_label_are_means_and_confusions_sums() -> None:
    view = gathered(RUNS)
    precision, recall, _ = by_class(view)
    assert precision.columns == ("class", "whole", "small", "alone")
    assert cells(precision, "happy") == (None, None, None)
    assert cells(recall, "angry") == ("0.600", "0.550", "0.400")
    assert "Confusion of whole, 3 runs (" in next(confusions(view)).title
    assert [row[1:] for row in flat_confusion(view).rows if row[0] == "whole"] == [
        *(("angry", "angry", 12), ("angry", "happy", 3)),
        *(("happy", "angry", 6), ("happy", "happy", 9)),
    ]
    happy = rows(flat_classes(view))[1]
    assert (happy["class"], happy["runs"], happy["precision"], happy["recall"]) == ("happy", 3, None, 0.0)


def test_by_class_has_a_papers_numbers_where_it_has_any() -> None:
    precision, recall, f1 = by_class(gathered([one for one in RUNS if one.label != "alone"], PAPER))
    assert precision.columns == ("class", "whole", "whole (paper)", "small")
    assert cells(precision, "angry") == ("0.500", "0.410 (Table 5)", "0.500")
    assert recall.columns == ("class", "whole", "small", "theirs (paper)")
    assert cells(recall, "bored") == (None, None, "0.220 (Fig. 1)")
    assert not any("paper" in column for column in f1.columns)
    many, _, _ = by_class(gathered(RUNS, PAPER))
    assert many.columns == ("label", "angry", "happy", "bored")
    assert cells(many, "whole (paper)") == ("0.410 (Table 5)", None, None)


def test_flat_rows_and_records_have_a_papers_numbers() -> None:
    view = gathered(RUNS, PAPER)
    found = rows(flat_summary(view))
    assert [row["paper_accuracy"] for row in found] == [0.345, None, None, 0.3]
    assert (found[3]["runs"], found[3]["accuracy"], found[3]["paper_units"]) == (0, None, 99)
    (ours,) = (row for row in rows(flat_classes(view)) if (row["label"], row["class"]) == ("whole", "angry"))
    assert (ours["precision"], ours["paper_precision"], ours["paper_precision_where"]) == (
        *(0.5, 0.41, "Table 5"),
    )
    *_, theirs = to_record(view)["labels"]
    assert (theirs["label"], theirs["runs"]) == ("theirs", 0)
    assert theirs["paper"][2] == {"measure": "recall", "class": "bored", "value": 0.22, "where": "Fig. 1"}


def test_gathered_takes_no_mean_over_different_settings() -> None:
    found = [run("a", 0.5, seed=seed, hidden=hidden) for hidden in (10, 20) for seed in (0, 1)]
    groups = gathered([*found, run("b", 0.5, seed=0)]).groups
    assert [(group.label, len(group.runs)) for group in groups] == [
        *(("a, hidden 10", 2), ("a, hidden 20", 2), ("b", 1))
    ]


def test_gathered_refuses_different_classes_in_one_label() -> None:
    other = dataclasses.replace(RUNS[0], classes=("happy", "angry"))
    with pytest.raises(BadMetrics, match=r"'whole'.*classes"):
        gathered([*RUNS, other])


def looked(model: str, *, looks: int | None = None, seen: int | None = None, split: str = "test") -> Metrics:
    return dataclasses.replace(BEFORE, model=model, label=model, test_looks=looks, seen=seen, split=split)


@pytest.mark.parametrize(
    ("runs", "said"),
    [
        ([looked("a"), looked("b", looks=0, seen=0)], ()),
        ([looked("a", looks=1)], ("a: its test part was looked at before, 1 time",)),
        (
            [looked(name, looks=number) for number, name in enumerate("abcdef")],
            ("b, c, d and 2 more: their test parts were looked at before, up to 5 times",),
        ),
        ([looked("a", seen=4)], ("a: 4 of its samples were trained on",)),
        ([looked("a", seen=4), looked("b", seen=2)], ("a, b: up to 4 of their samples were trained on",)),
        ([looked("a", seen=10, split="train"), looked("b", seen=10, split="val")], ()),
        (
            [looked("a", looks=2, seen=4, split="all")],
            ("a: its test part was looked at before, 2 times", "a: 4 of its samples were trained on"),
        ),
    ],
)
def test_warnings_name_the_runs_that_are_flattered(runs: list[Metrics], said: tuple[str, ...]) -> None:
    for made in (one_by_one(runs), gathered(runs)):
        assert made.warnings == said
        assert to_record(made)["warnings"] == said


def test_flat_summary_has_looks_and_seen_samples_where_they_are_known() -> None:
    found = rows(flat_summary(one_by_one([looked("a", looks=3, seen=0), looked("b")])))
    assert [(row["test_looks"], row["seen"]) for row in found] == [(3, 0), (None, None)]
    record = to_record(one_by_one([looked("a", looks=3), looked("b", looks=5)]))
    assert "test_looks" not in record["models"][1]["change"]
