"""Evaluations side by side or by label: names that distinguish them, values, changes, a paper's numbers."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest

from emoprune.errors import BadMetrics
from emoprune.evaluation.confidence import estimate
from emoprune.evaluation.types import ClassScore, Intervals, Latency, Metrics
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
    summary,
    to_record,
)
from emoprune.reporting.tables import Table
from emoprune.reporting.types import PaperValue
from tests.support.runs import run

BEFORE = dataclasses.replace(
    run("before", 0.8, units=200),
    model="runs/model.st",
    accuracy_interval=(0.49, 0.943),
    macro_f1=0.75,
    per_class={"angry": ClassScore(0.7, 0.9, 0.7875, 5), "happy": ClassScore(None, 0.0, 0.0, 5)},
    confusion=((4, 2), (1, 3)),
    macs=1_234_567,
)
AFTER = dataclasses.replace(
    BEFORE,
    model="runs/pruned.st",
    accuracy=0.7,
    macro_f1=0.8,
    log_loss=0.625,
    parameters=10_000,
    nonzero_parameters=10_000,
    units=50,
)
BOTH = one_by_one([BEFORE, AFTER])
SUMMARY_KEYS = {
    *("model", "data", "split", "n", "accuracy", "accuracy_low", "accuracy_high", "macro_f1", "log_loss"),
    *("calibration_error", "units", "parameters", "nonzero_parameters", "macs", "bytes", "latency_ms"),
    *("chance", "majority", "balanced_accuracy", "top2_accuracy", "kappa", "matthews_correlation", "auc"),
}


def named(*models: str, split: str = "test") -> list[Metrics]:
    return [dataclasses.replace(BEFORE, model=model, split=split) for model in models]


def cells(table: Table, first: str) -> tuple[object, ...]:
    [row] = [row for row in table.rows if row[0] == first]
    return row[1:]


def rows(table: Table) -> list[dict[str, Any]]:
    return [dict(zip(table.columns, row, strict=True)) for row in table.rows]


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


def test_comparable_needs_the_same_part_of_the_same_data() -> None:
    assert comparable([BEFORE, AFTER])
    assert not comparable([BEFORE, dataclasses.replace(AFTER, split="val")])
    assert not comparable([BEFORE, dataclasses.replace(AFTER, data_fingerprint="e" * 64)])
    assert comparable([BEFORE, dataclasses.replace(AFTER, data="elsewhere/")])


def test_summary_has_one_column_a_model_and_the_change_from_the_second_on() -> None:
    table = summary(BOTH)
    assert table.columns == ("", "model.st", "pruned.st")
    assert all(len(row) == 3 for row in table.rows)
    assert cells(table, "accuracy") == ("80.0%", "70.0% (-10.0 pt)")
    assert cells(table, "macro F1") == ("0.750", "0.800 (+0.050)")
    assert cells(table, "log loss") == ("0.500", "0.625 (+0.125)")
    assert cells(table, "hidden units") == ("200", "50 (-75.0%)")
    assert cells(table, "parameters") == ("20,000", "10,000 (-50.0%)")
    assert cells(table, "MACs") == ("1,234,567", "1,234,567 (+0.0%)")
    assert cells(table, "part") == ("test", "test")
    assert cells(table, "samples") == ("10", "10")


def test_summary_changes_are_against_the_first_model_and_not_the_one_before() -> None:
    third = dataclasses.replace(AFTER, parameters=5000)
    assert cells(summary(one_by_one([BEFORE, AFTER, third])), "parameters")[2] == "5,000 (-75.0%)"


def test_summary_has_the_interval_below_the_accuracy() -> None:
    found = summary(one_by_one([BEFORE])).rows
    place = next(index for index, row in enumerate(found) if row[0] == "accuracy")
    assert found[place + 1][1:] == ("49.0 to 94.3%",)


def test_summary_has_no_relative_change_from_nothing() -> None:
    without = dataclasses.replace(BEFORE, units=0)
    assert cells(summary(one_by_one([without, AFTER])), "hidden units") == ("0", "50 (-)")


def test_summary_has_latency_only_where_some_model_was_timed() -> None:
    assert not any(str(row[0]).startswith("latency") for row in summary(BOTH).rows)
    timed = dataclasses.replace(AFTER, latency_ms=1.5)
    assert cells(summary(one_by_one([BEFORE, timed])), "latency (ms)") == ("-", "1.500")
    slower = dataclasses.replace(BEFORE, latency_ms=3.0)
    assert cells(summary(one_by_one([slower, timed])), "latency (ms)") == ("3.000", "1.500 (-50.0%)")


def test_summary_has_intervals_groups_and_what_blind_answers_get() -> None:
    of = {"accuracy": (0.4, 0.9), "balanced_accuracy": (0.41, 0.89), "log_loss": (0.3, 0.7)}
    grouped = dataclasses.replace(
        BEFORE, top2_accuracy=1.0, intervals=Intervals("percentile bootstrap", "groups", 7, 2000, of)
    )
    found = summary(one_by_one([grouped, dataclasses.replace(AFTER, confusion=((8, 0), (2, 0)))])).rows
    below = {heading: list(found[place + 1 : place + 4]) for place, (heading, *_) in enumerate(found)}
    assert cells(summary(one_by_one([grouped, AFTER])), "groups") == (7, None)
    assert below["accuracy"] == [
        ("  95% interval", "49.0 to 94.3%", "49.0 to 94.3%"),
        ("  95%, by group", "40.0 to 90.0%", None),
        ("  chance, majority", "50.0%, 60.0%", "50.0%, 80.0%"),
    ]
    assert below["balanced accuracy"][:2] == [
        ("  95% interval", "41.0 to 89.0%", None),
        ("  chance, majority", "50.0%, 50.0%", "50.0%, 50.0%"),
    ]
    assert below["top-2 accuracy"][0] == ("  chance, majority", "100.0%, 100.0%", "100.0%, 100.0%")
    assert below["log loss"][0] == ("  95% interval", "0.300 to 0.700", None)


def test_summary_has_the_percentiles_of_each_batch() -> None:
    times = (Latency(1, 2, "cpu", 200, 1.0, 2.0, 3.0), Latency(32, 2, "cpu", 90, 10.0, 20.0, 30.0))
    timed = dataclasses.replace(AFTER, latency_ms=1.0, latency=times)
    assert summary(one_by_one([BEFORE, timed])).rows[-4:] == (
        ("latency (ms)", "-", "1.000"),
        ("  batch 1: p50, 90, 99", None, "1.000, 2.000, 3.000"),
        ("  batch 32: p50, 90, 99", None, "10.000, 20.000, 30.000"),
        ("  timed on", None, "cpu, 2 threads"),
    )
    (row,) = rows(flat_summary(one_by_one([timed])))
    assert (row["latency_batch32_p99_ms"], row["latency_threads"]) == (30.0, 2)
    assert to_record(one_by_one([BEFORE, timed]))["models"][1]["latency_batch1_p90_ms"] == 2.0


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
    assert table.title == "Confusion of model.st (down: actual, across: predicted)"
    assert table.columns == ("actual", "angry", "happy", "support")
    assert table.rows == (("angry", 4, 2, 6), ("happy", 1, 3, 4))


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


WHOLE, SMALL = (0.5, 0.6, 0.7), (0.45, 0.5, 0.7)
RUNS = [
    *(run("whole", accuracy, units=24, seed=seed) for seed, accuracy in enumerate(WHOLE)),
    *(run("small", accuracy, units=6 + seed, seed=seed) for seed, accuracy in enumerate(SMALL)),
    run("alone", 0.4),
]
PAPER = (
    PaperValue("whole", "accuracy", 0.345, "Table 4"),
    PaperValue("theirs", "accuracy", 0.3, "Table 1"),
    PaperValue("theirs", "units", 99, ""),
    PaperValue("whole", "precision", 0.41, "Table 5", "angry"),
    PaperValue("theirs", "recall", 0.22, "Fig. 1", "bored"),
)


def test_summary_by_label_has_means_intervals_and_paired_differences() -> None:
    table = summary(gathered(RUNS))
    assert table.columns[2:6] == ("accuracy", "95% interval", "against the first", "95% interval")
    assert table.columns[6:] == ("macro F1", "hidden units", "parameters", "non-zero", "MACs")
    # 0.6 +- 4.303 * 0.1 / sqrt(3); differences -0.05, -0.1, 0: -0.05 +- 4.303 * 0.05 / sqrt(3)
    assert table.rows[0][:6] == ("whole", 3, "60.0%", "35.2 to 84.8%", None, None)
    assert table.rows[1][:6] == ("small", 3, "55.0%", "22.1 to 87.9%", "-5.0 pt", "-17.4 to +7.4 pt")
    assert table.rows[1][6:] == ("0.275", "7", "700", "630", "1,000")
    assert table.rows[2][:6] == ("alone", 1, "40.0%", None, None, None)


def test_csv_and_json_by_label_have_the_same_raw_values() -> None:
    record = to_record(gathered(RUNS))
    assert (record["schema"], record["comparable"]) == ("emoprune.labels/1", True)
    whole, small, alone = record["labels"]
    assert (whole["label"], whole["runs"], whole["change"]) == ("whole", 3, {})
    assert whole["accuracy"] == vars(estimate(WHOLE))
    assert small["change"]["accuracy"] == pytest.approx(vars(estimate([-0.05, -0.1, 0])), abs=1e-12)
    assert small["change"]["units"]["mean"] == -17
    assert (alone["accuracy"]["low"], alone["change"]) == (None, {})
    found = rows(flat_summary(gathered(RUNS)))
    for row, label in zip(found, record["labels"], strict=True):
        assert row["label"] == label["label"]
        assert row["accuracy"] == label["accuracy"]["mean"]
        assert row["accuracy_low"] == label["accuracy"]["low"]
        assert row["nonzero_parameters"] == label["nonzero_parameters"]["mean"]
    assert found[1]["accuracy_change_high"] == small["change"]["accuracy"]["high"]
    assert [row["pairs"] for row in found] == [None, 3, None]


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


def test_tables_have_a_papers_numbers_where_it_has_any() -> None:
    view = gathered(RUNS, PAPER)
    table = summary(view)
    assert [index for index, name in enumerate(table.columns) if name == "paper"] == [6, 9]
    assert [row[6] for row in table.rows] == ["34.5% (Table 4)", None, None, "30.0% (Table 1)"]
    assert cells(table, "theirs") == (*[None] * 5, "30.0% (Table 1)", None, None, "99", *[None] * 3)
    precision, recall, f1 = by_class(view)
    assert precision.columns == ("class", "whole", "whole (paper)", "small", "alone")
    assert cells(precision, "angry") == ("0.500", "0.410 (Table 5)", "0.500", "0.500")
    assert recall.columns == ("class", "whole", "small", "alone", "theirs (paper)")
    assert cells(recall, "bored") == (None, None, None, "0.220 (Fig. 1)")
    assert not any("paper" in column for column in f1.columns)


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
