"""emoprune report --by-label: one row per label, beside what a paper prints."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest

from emoprune.reporting.confidence import estimate
from tests.support.command_line import Runner, scores

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


def cells(text: str) -> list[dict[str, str]]:
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
    rows = cells(emoprune.done("report", "--by-label", "--format", "csv", stdin=STREAM).out)
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
    counts = cells(emoprune.done(*argv, "csv", "--section", "confusion", stdin=STREAM).out)
    whole = {(row["actual"], row["predicted"]): row["count"] for row in counts if row["label"] == "whole"}
    assert whole == {
        **{("angry", "angry"): "9", ("angry", "happy"): "3"},
        **{("happy", "angry"): "6", ("happy", "happy"): "12"},
    }
    table = emoprune.done(*argv, "table", "--section", "confusion", stdin=STREAM).out
    assert "Confusion of whole, 3 runs" in table
    rows = cells(emoprune.done(*argv, "csv", "--section", "classes", stdin=STREAM).out)
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
    summary = cells(emoprune.done(*argv, "csv", stdin=STREAM).out)
    assert [row["paper_accuracy"] for row in summary] == ["0.345", "", "", "0.3"]
    assert (summary[3]["runs"], summary[3]["accuracy"], summary[3]["paper_units"]) == ("0", "", "99.0")
    classes = cells(emoprune.done(*argv, "csv", "--section", "classes", stdin=STREAM).out)
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
