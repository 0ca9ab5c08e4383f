"""The summary for people: few models side by side, many and labels a row each; what is said once below it."""

from __future__ import annotations

import dataclasses

import pytest

from emoprune.evaluation.types import Intervals, Latency
from emoprune.reporting.model_tables import flat_summary, gathered, one_by_one, to_record
from emoprune.reporting.summary_tables import summary
from emoprune.reporting.tables import cell, to_lines
from tests.support.evaluations import AFTER, BEFORE, PAPER, RUNS, cells, rows
from tests.support.runs import run

BOTH = one_by_one([BEFORE, AFTER])


def test_summary_has_one_column_a_model_and_the_change_from_the_second_on() -> None:
    table = summary(BOTH)
    assert table.columns == ("", "model.st", "pruned.st")
    assert all(len(row) == 3 for row in table.rows)
    assert cells(table, "accuracy") == ("80.0%", "70.0% (-10.0 pt)")
    assert cells(table, "macro F1") == ("0.750", "0.800 (+0.050)")
    assert cells(table, "log loss") == ("0.500", "0.625 (+0.125)")
    assert cells(table, "hidden units") == ("200", "50 (-75.0%)")
    assert cells(table, "parameters") == ("20,000", "10,000 (-50.0%)")
    assert cells(table, "MACs") == ("1,234,567", "1,234,567 (0.0%)")
    assert cells(table, "part") == ("test", "test")
    assert cells(table, "samples") == (10, 10)


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


def test_summary_leaves_out_parameters_that_are_not_zero_where_all_are() -> None:
    whole = dataclasses.replace(BEFORE, nonzero_parameters=BEFORE.parameters)
    assert "non-zero" not in [row[0] for row in summary(one_by_one([whole, AFTER])).rows]
    assert cells(summary(BOTH), "non-zero") == ("18,000", "10,000 (-44.4%)")
    assert "nonzero_parameters" in flat_summary(one_by_one([whole, AFTER])).columns


def test_summary_of_many_models_has_a_row_each_and_says_once_what_all_share() -> None:
    models = [dataclasses.replace(BEFORE, model=name, macs=1000) for name in "abc"]
    table = summary(one_by_one([*models, dataclasses.replace(AFTER, model="d", macs=1000)]))
    assert table.columns == (
        *("model", "accuracy", "95% interval", "balanced accuracy", "macro F1", "hidden units", "parameters"),
        "non-zero",
    )
    assert table.rows[0] == ("a", "80.0%", "49.0 to 94.3%", "70.8%", "0.750", "200", "20,000", "18,000")
    assert table.rows[1][1] == "80.0% (0.0 pt)"
    assert table.rows[3] == (
        *("d", "70.0% (-10.0 pt)", "49.0 to 94.3%", "70.8% (0.0 pt)", "0.800 (+0.050)"),
        *("50 (-75.0%)", "10,000 (-50.0%)", "10,000 (-44.4%)"),
    )
    assert table.notes == (
        "accuracy: chance 50.0%, always the most frequent class 60.0%",
        "balanced accuracy: chance 50.0%, always one class 50.0%",
        "in brackets: change against the first model",
        "in every row: part test, samples 10, MACs 1,000, file (bytes) 1",
        "other scores: in JSON and CSV",
    )


def test_summary_has_a_column_of_what_differs_from_row_to_row() -> None:
    others = [dataclasses.replace(BEFORE, model=name) for name in "bcd"]
    skewed = dataclasses.replace(BEFORE, model="a", split="val", confusion=((8, 0), (1, 1)))
    table = summary(one_by_one([skewed, *others]))
    assert table.columns[:5] == ("model", "part", "accuracy", "95% interval", "chance, majority")
    assert [row[4] for row in table.rows] == ["50.0%, 80.0%", *["50.0%, 60.0%"] * 3]


def test_summary_by_label_has_means_intervals_and_paired_differences() -> None:
    table = summary(gathered(RUNS))
    assert table.columns == (
        *("label", "runs", "accuracy", "95% interval", "change", "95% interval", "balanced accuracy"),
        *("macro F1", "hidden units", "parameters", "non-zero"),
    )
    # 0.6 +- 4.303 * 0.1 / sqrt(3); differences -0.05, -0.1, 0: -0.05 +- 4.303 * 0.05 / sqrt(3)
    assert table.rows[0][:6] == ("whole", 3, "60.0%", "35.2 to 84.8%", None, None)
    assert table.rows[1][:6] == ("small", 3, "55.0%", "22.1 to 87.9%", "-5.0 pt", "-17.4 to +7.4 pt")
    assert table.rows[2][:6] == ("alone", 1, "40.0%", None, None, None)
    assert table.notes == (
        "accuracy: chance 50.0%, always the most frequent class 50.0%",
        "balanced accuracy: chance 50.0%, always one class 50.0%",
        "change: against the first label, over runs of the same seed",
        "in every row: MACs 1,000, file (bytes) 1",
        "other scores: in JSON and CSV",
    )


def test_summary_by_label_has_whole_counts_and_marks_means_of_different_ones() -> None:
    found = [run("a", 0.5, units=units, seed=units) for units in (31, 31, 32)]
    table = summary(gathered([*found, *(run("b", 0.5, units=40, seed=seed) for seed in (31, 32))]))
    assert [rows(table)[0][name] for name in ("hidden units", "parameters")] == ["31.3 mean", "3,133 mean"]
    assert [rows(table)[1][name] for name in ("hidden units", "parameters")] == ["40", "4,000"]


def test_summary_by_label_has_no_change_without_runs_of_the_same_seed_or_where_nothing_changes() -> None:
    same = [run(label, 0.5, seed=seed) for label in "ab" for seed in (0, 1)]
    for found in (same, [run("a", 0.5), run("b", 0.6)]):
        table = summary(gathered(found))
        assert "change" not in table.columns
        assert not any("change" in note for note in table.notes)
    # all runs alike: no reason to leave out an accuracy
    assert [row[2] for row in summary(gathered(same)).rows] == ["50.0%", "50.0%"]


def test_summary_has_a_papers_numbers_beside_ours() -> None:
    table = summary(gathered(RUNS, PAPER))
    assert table.columns[:6] == ("label", "runs", "accuracy", "95% interval", "paper", "change")
    assert [row[4] for row in table.rows] == ["34.5% (Table 4)", None, None, "30.0% (Table 1)"]
    place = table.columns.index("hidden units")
    assert [row[place : place + 2] for row in table.rows] == [
        *(("24", None), ("7.0 mean", None), ("10", None), (None, "99"))
    ]
    assert all(value is None for value in cells(table, "theirs") if value not in ("30.0% (Table 1)", "99"))


@pytest.mark.parametrize("count", [1, 3, 4, 12])
@pytest.mark.parametrize("by_label", [False, True])
def test_summary_fits_eighty_columns_with_names_of_two_hundred_letters(count: int, by_label: bool) -> None:
    names = [f"network-{'x' * 96}-{number:02}-{'y' * 84}.st" for number in range(count)]
    found = [
        dataclasses.replace(run(name, 0.5 + seed / 10, seed=seed, units=10**6 + seed), model=name)
        for name in names
        for seed in range(3 if by_label else 1)
    ]
    table = summary(gathered(found) if by_label else one_by_one(found))
    lines = [line for line, _ in to_lines(table, width=80)]
    assert max(map(len, lines)) <= 80
    shown = {word for line in lines for word in line.split() if "…" in word}
    assert all(word.startswith("network-x") and word.endswith("y.st") for word in shown)
    # those that differ in their middle alone are numbered
    numbers = {f"#{number}" for number in range(1, count + 1)} if count > 1 else set()
    assert numbers == {word for line in lines for word in line.split() if word.startswith("#")}
    values = [cell(value) for row in table.rows for value in row[1:]]
    assert all(any(value in line for line in lines) for value in values if value in ("50.0%", "1,000,001"))
