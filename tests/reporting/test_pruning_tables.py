"""The certificate as people read it: what is folded, left out, and said in the singular."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from emoprune.cli import output
from emoprune.pruning import certificate
from emoprune.reporting.confidence import estimate
from emoprune.reporting.pruning_tables import error_tables
from tests.support.command_line import Runner, scores


def layer(name: str, after: int, **other: object) -> dict[str, Any]:
    """A layer of four units."""
    reasons = {"similar": 4 - after, "complementary": 0, "insignificant": 0}
    errors = {"error_sum": 0.25, "error_lstsq": 0.125}
    return {"layer": name, "before": 4, "after": after, "spared": False, **reasons, **errors, **other}


def summary(*layers: Mapping[str, Any], method: str = "distinct", **other: object) -> dict[str, Any]:
    before, after = 4 * len(layers), sum(entry["after"] for entry in layers)
    counts = {
        "parameters": {"before": 100, "after": 60},
        "nonzero_parameters": {"before": 100, "after": 60},
        "macs": {"before": 1000, "after": 500},
        "bytes": {"before": 400, "after": 240},
    }
    return {
        **{"method": method, "merge": "lstsq", "amount": {"angle": 15.0}, "resolved_on": 0, "frozen": []},
        **{"units": {"before": before, "after": after}, "layers": list(layers), **counts},
        **other,
    }


def shown(capsys: pytest.CaptureFixture[str], found: Mapping[str, Any]) -> list[str]:
    output.show(error_tables(found))
    return [line.strip() for line in capsys.readouterr().out.splitlines() if line.strip()]


@pytest.mark.parametrize(
    ("left", "line"),
    [
        ((4, 4), "2 layers lose nothing"),
        ((4,), "1 layer loses nothing"),
        ((3, 4), "1 more layer loses nothing"),
        ((4, 4, 1), "2 more layers lose nothing"),
    ],
)
def test_layers_that_lose_nothing_are_one_line(
    capsys: pytest.CaptureFixture[str], left: tuple[int, ...], line: str
) -> None:
    names = [f"layer{index}" for index in range(len(left))]
    lines = shown(capsys, summary(*map(layer, names, left)))
    assert line in lines
    rows = [line.split()[0] for line in lines if line.split()[0] in names]
    assert rows == [name for name, units in zip(names, left, strict=True) if units < 4]


def test_where_all_layers_lose_nothing_is_folded(capsys: pytest.CaptureFixture[str]) -> None:
    text = " ".join(shown(capsys, summary(layer("a", 3), layer("b", 1))))
    assert "nothing" not in text
    assert "a 4 > 3 1 0.25 0.125" in " ".join(text.split())


def test_columns_without_a_figure_are_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    (heading,) = [line for line in shown(capsys, summary(layer("a", 3))) if line.startswith("layer ")]
    assert heading.split() == ["layer", "units", "similar", "error:", "sum", "lstsq"]
    several = summary(layer("a", 3), layer("b", 3, similar=0, insignificant=1))
    (heading,) = [line for line in shown(capsys, several) if line.startswith("layer ")]
    assert heading.split() == ["layer", "units", "similar", "insign.", "error:", "sum", "lstsq"]


def test_masks_have_no_merge_and_one_error(capsys: pytest.CaptureFixture[str]) -> None:
    masked = [layer("a", 4, error_lstsq=None), layer("b", 4, error_sum=0.0, error_lstsq=None)]
    frozen = [{"layer": "c", "channels": 2, "operation": "view"}]
    lines = shown(capsys, summary(*masked, method="magnitude", amount={"amount": 0.5}, frozen=frozen))
    assert lines[0] == "Certificate (magnitude, amount 0.5)"
    assert lines[1].split() == ["layer", "units", "error"]
    assert "1 more layer loses nothing" in lines
    assert "view" not in " ".join(lines)


def test_an_error_too_small_to_tell_is_not_none(capsys: pytest.CaptureFixture[str]) -> None:
    lines = shown(capsys, summary(layer("a", 3, error_sum=0.00001, error_lstsq=0.0)))
    (row,) = [line.split() for line in lines if line.startswith("a ")]
    assert row[-2:] == ["<0.0001", "0"]


@pytest.mark.parametrize(("count", "said"), [(0, None), (1, "on 1 image,"), (2000, "on 2,000 images,")])
def test_that_the_network_is_better_than_its_errors_is_said_where_it_was_re_solved(
    capsys: pytest.CaptureFixture[str], count: int, said: str | None
) -> None:
    text = " ".join(shown(capsys, summary(layer("a", 3), resolved_on=count)))
    assert ("without images" in text) == (said is not None)
    assert (said or "") in text


def test_what_never_goes_is_told_with_what_is_in_the_way(capsys: pytest.CaptureFixture[str]) -> None:
    one = [{"layer": "a", "channels": 1, "operation": "view"}]
    lines = shown(capsys, summary(layer("b", 3), frozen=one))
    assert "never taken: 1 channel of 1 layer, which" in lines[-2]
    assert "(view)" in lines[-1]
    most = [
        {"layer": f"l{i}", "channels": 9999, "operation": name} for i, name in enumerate(("flip", "view"))
    ]
    lines = shown(capsys, summary(layer("b", 3), frozen=most))
    assert "never taken: 19,998 channels of 2 layers," in lines[-2]
    assert "(flip, view)" in lines[-1]
    assert max(map(len, lines)) <= 78


def test_accuracy_changes_by_points(capsys: pytest.CaptureFixture[str]) -> None:
    judged: dict[str, Any] = {
        "accuracy": {"before": 0.75, "after": 0.625},
        "loss": {"before": 1.0, "after": None},
        "judged_on": {"part": "val", "images": 8},
    }
    lines = [" ".join(line.split()) for line in shown(capsys, summary(layer("a", 3), **judged))]
    assert "accuracy (val) 75.0% 62.5% -12.5 points" in lines
    assert "loss (val) 1 - -" in lines


@pytest.mark.parametrize(
    ("count", "others"),
    [(1, ""), (2, " (and so in 1 more layer)"), (4, " (and so in 3 more layers)")],
)
def test_warnings_of_many_layers_are_one(capsys: pytest.CaptureFixture[str], count: int, others: str) -> None:
    layers = [layer(f"l{index}", 1, spared=True, error_lstsq=0.75) for index in range(count)]
    with output.telling():
        certificate.warn(summary(*layers))
    assert capsys.readouterr().err == (
        f"warning: l0: every unit would go; 1 stays{others}\n"
        f"warning: l0: what the next layer reads changes by 75% of its spread{others}\n"
    )


@pytest.mark.parametrize(
    ("left", "end"),
    [
        (4, "all the same\n"),
        (3, "all the same; really gone is the 1 unit that fell silent\n"),
        (2, "all the same; really gone are the 2 units that fell silent\n"),
    ],
)
def test_silent_units_are_told_where_there_are_any(
    capsys: pytest.CaptureFixture[str], left: int, end: str
) -> None:
    with output.telling():
        certificate.warn(summary(layer("a", left), method="random", amount={"amount": 0.4}))
    assert capsys.readouterr().err.endswith(end)


def pruning(label: str | None, *steps: dict[str, Any], method: str = "progressive") -> dict[str, Any]:
    empty = {"loss": None, "accuracy": None, "smallest_angle_deg": None, "least_importance": None}
    record = {"schema": "emoprune.steps/1", "model": "m.st", "method": method, "label": label}
    return {**record, "steps": [{**empty, **step} for step in steps]}


def training(label: str, *accuracies: tuple[float | None, float | None]) -> dict[str, Any]:
    epochs = [
        {"index": index, "train_loss": 1.0, "train_accuracy": train, "val_loss": None, "val_accuracy": val}
        for index, (train, val) in enumerate(accuracies, start=1)
    ]
    return {"schema": "emoprune.training/1", "model": "m.st", "label": label, "training": epochs}


def stream(*records: dict[str, Any]) -> bytes:
    return "".join(json.dumps(record) + "\n" for record in records).encode()


def step(units: int, loss: float, accuracy: float | None = None, **more: float) -> dict[str, Any]:
    return {"units": units, "loss": loss, "accuracy": accuracy, **more}


LOSSES, ACCURACIES = (1.4, 1.5, 1.6), (0.5, 0.6, 0.7)
SUM = [
    pruning("sum", step(10, loss, accuracy, smallest_angle_deg=12.0), step(9, loss + 1))
    for loss, accuracy in zip(LOSSES, ACCURACIES, strict=True)
]
ALONE = pruning("norms", {"units": 8, "least_importance": 0.25}, method="importance")
STEPS = stream(*SUM, ALONE)
CURVES = stream(
    training("whole", (0.4, 0.3), (0.6, 0.2)),
    training("whole", (0.5, 0.4), (0.4, 0.4)),
    training("b", (0.5, 0.1)),
)
PAPER = """label,measure,value,where
"sum, 10 units",loss,1.62,Figure 3
"sum, 10 units",accuracy,34.5%,Figure 3
"sum, 12 units",smallest angle,20,Section 2
"theirs, 9 units",loss,2,
"""


@pytest.fixture
def paper(in_folder: Path) -> str:
    (in_folder / "paper.csv").write_text(PAPER)
    return "paper.csv"


def lines(text: str) -> list[list[str]]:
    """The cells of every line of Markdown tables, without the line below the headings."""
    rows = [line for line in text.splitlines() if line.startswith("|") and not line.startswith("| :-")]
    return [[cell.strip() for cell in row.strip("|").split(" | ")] for row in rows]


def cells(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_a_label_and_its_units_are_a_row_of_means_with_intervals(emoprune: Runner) -> None:
    out = emoprune.done("report", "--by-label", "--format", "markdown", stdin=STEPS).out
    assert out.startswith("### Steps by label (± 95% interval over runs)\n")
    header, *rows = lines(out)
    assert header == ["label", "units", "runs", "loss", "accuracy", "smallest angle", "least importance"]
    # Student's t of 2 degrees of freedom is 4.303: 4.303 * 0.1 / sqrt(3) = 0.248
    assert rows == [
        ["sum", "10", "3", "1.500 ± 0.248", "60.0 ± 24.8%", "12.00 ± 0.00°", "-"],
        ["sum", "9", "3", "2.500 ± 0.248", "-", "-", "-"],
        ["norms", "8", "1", "-", "-", "-", "0.25"],
    ]


def test_what_no_row_has_is_no_column(emoprune: Runner) -> None:
    for option in ((), ("--by-label",)):
        argv = ("report", *option, "--format")
        data = stream(pruning("a", step(9, 0.5)))
        assert lines(emoprune.done(*argv, "markdown", stdin=data).out)[0][-2:] in (
            ["units", "loss"],
            ["runs", "loss"],
        )
        header = emoprune.done(*argv, "csv", stdin=data).out.partition("\n")[0]
        assert "loss" in header
        assert not [name for name in ("accuracy", "angle", "importance") if name in header]


def test_without_by_label_every_course_stands_for_itself(emoprune: Runner) -> None:
    header, *rows = lines(emoprune.done("report", "--format", "markdown", stdin=stream(*SUM[:2], ALONE)).out)
    assert header == ["label", "units", "loss", "accuracy", "smallest angle", "least importance"]
    assert rows == [
        ["sum #1", "10", "1.400", "50.0%", "12.00°", "-"],
        ["sum #1", "9", "2.400", "-", "-", "-"],
        ["sum #2", "10", "1.500", "60.0%", "12.00°", "-"],
        ["sum #2", "9", "2.500", "-", "-", "-"],
        ["norms", "8", "-", "-", "-", "0.25"],
    ]
    found = cells(emoprune.done("report", "--format", "csv", stdin=stream(SUM[0], ALONE)).out)
    assert [(row["pruning"], row["label"], row["method"], row["units"], row["loss"]) for row in found] == [
        ("1", "sum", "progressive", "10", "1.4"),
        ("1", "sum", "progressive", "9", "2.4"),
        ("2", "norms", "importance", "8", ""),
    ]
    record = emoprune.done("report", stdin=stream(SUM[0])).record
    assert (record["schema"], record["models"], record["curves"]) == ("emoprune.report/1", [], [])
    assert record["steps"] == [{key: SUM[0][key] for key in ("model", "method", "steps", "label")}]


def test_csv_and_json_have_the_same_in_raw_values(emoprune: Runner) -> None:
    record = emoprune.done("report", "--by-label", stdin=STEPS).record
    assert (record["schema"], record["comparable"], record["labels"]) == ("emoprune.labels/1", True, [])
    first, second, third = record["steps"]
    assert (first["label"], first["units"], first["runs"], first["paper"]) == ("sum", 10, 3, [])
    assert (first["loss"], first["accuracy"]) == (vars(estimate(LOSSES)), vars(estimate(ACCURACIES)))
    assert (second["units"], second["accuracy"], third["loss"]) == (9, None, None)
    assert third["least_importance"] == {"n": 1, "mean": 0.25, "low": None, "high": None}
    rows = cells(emoprune.done("report", "--by-label", "--format", "csv", stdin=STEPS).out)
    assert [(row["label"], row["units"], row["runs"]) for row in rows] == [
        *(("sum", "10", "3"), ("sum", "9", "3"), ("norms", "8", "1"))
    ]
    assert [float(rows[0][f"loss{end}"]) for end in ("", "_low", "_high")] == [
        first["loss"][key] for key in ("mean", "low", "high")
    ]
    assert (rows[1]["accuracy"], rows[2]["least_importance"], rows[2]["least_importance_low"]) == (
        "",
        "0.25",
        "",
    )


def test_a_papers_numbers_stand_beside_ours_and_what_only_it_has_in_rows_of_dashes(
    emoprune: Runner, paper: str
) -> None:
    argv = ("report", "--by-label", "--paper", paper, "--format")
    header, *rows = lines(emoprune.done(*argv, "markdown", stdin=stream(*SUM)).out)
    assert header[3:] == ["loss", "paper", "accuracy", "paper", "smallest angle", "paper", "where"]
    assert rows == [
        ["sum", "12", *"-----", "-", "20.00°", "Section 2"],
        [
            "sum",
            "10",
            "3",
            "1.500 ± 0.248",
            "1.620",
            "60.0 ± 24.8%",
            "34.5%",
            "12.00 ± 0.00°",
            "-",
            "Figure 3",
        ],
        ["sum", "9", "3", "2.500 ± 0.248", *"------"],
        ["theirs", "9", "-", "-", "2.000", *"-----"],
    ]
    found = cells(emoprune.done(*argv, "csv", stdin=stream(*SUM)).out)
    assert [row["runs"] for row in found] == ["0", "3", "3", "0"]
    assert [row["paper_loss"] for row in found] == ["", "1.62", "", "2.0"]
    assert (found[1]["paper_accuracy"], found[1]["paper_accuracy_where"]) == ("0.345", "Figure 3")
    record = emoprune.done(*argv, "json", stdin=stream(*SUM)).record
    assert record["steps"][1]["paper"] == [
        {"measure": "loss", "value": 1.62, "where": "Figure 3"},
        {"measure": "accuracy", "value": 0.345, "where": "Figure 3"},
    ]
    assert (record["steps"][3]["runs"], record["steps"][3]["loss"], record["labels"]) == (0, None, [])


def test_the_table_fits_a_hundred_columns_beside_a_paper(emoprune: Runner, paper: str) -> None:
    out = emoprune.done("report", "--by-label", "--paper", paper, "--format", "table", stdin=stream(*SUM)).out
    assert max(map(len, out.splitlines())) <= 100


def test_evaluations_steps_and_curves_come_together(emoprune: Runner) -> None:
    data = STEPS + CURVES + stream(scores("m.st", label="whole"))
    plain = emoprune.done("report", "--format", "markdown", stdin=data).out
    titles = [line[4:] for line in plain.splitlines() if line.startswith("### ")]
    assert (titles[0], titles[-2:]) == ("Summary", ["Step by step", "Learning curves: accuracy"])
    gathered = emoprune.done("report", "--by-label", "--format", "markdown", stdin=data).out
    titles = [line[4:].partition(" (")[0] for line in gathered.splitlines() if line.startswith("### ")]
    assert titles[0] == "Summary by label"
    assert titles[-2:] == ["Steps by label", "Learning curves by label: accuracy"]
    # one CSV is one table: the summary as ever, unless another is wanted
    argv = ("report", "--by-label", "--format", "csv")
    assert "macro_f1" in emoprune.done(*argv, stdin=data).out
    assert emoprune.done(*argv, "--section", "steps", stdin=data).out == emoprune.done(*argv, stdin=STEPS).out
    assert (
        emoprune.done(*argv, "--section", "curves", stdin=data).out == emoprune.done(*argv, stdin=CURVES).out
    )


def test_a_papers_accuracy_stays_beside_evaluations_of_its_very_label(emoprune: Runner, paper: str) -> None:
    argv = ("report", "--by-label", "--paper", paper, "--format", "csv", "--section")
    data = stream(scores("m.st", label="sum, 10 units"))
    (row,) = cells(emoprune.done(*argv, "summary", stdin=data).out)
    assert row["paper_accuracy"] == "0.345"
    assert "paper_accuracy" not in emoprune.done(*argv, "steps", stdin=data).out


def test_a_mean_over_different_methods_comes_with_a_warning(emoprune: Runner) -> None:
    mixed = stream(SUM[0], {**SUM[1], "method": "importance"})
    assert emoprune.done("report", "--by-label", stdin=mixed).err == (
        "warning: steps of label 'sum' differ in method; their mean is over all of these\n"
    )
    assert (
        emoprune.done("report", stdin=mixed).err
        == emoprune.done("report", "--by-label", stdin=STEPS).err
        == ""
    )


def test_curves_are_a_row_each_or_a_row_per_label(emoprune: Runner) -> None:
    header, *rows = lines(emoprune.done("report", "--format", "markdown", stdin=CURVES).out)
    assert header == ["label", "epochs", "train, last", "train, best", "val, last", "val, best"]
    assert rows == [
        ["whole #1", "2", "60.0%", "60.0%", "20.0%", "30.0%"],
        ["whole #2", "2", "40.0%", "50.0%", "40.0%", "40.0%"],
        ["b", "1", "50.0%", "50.0%", "10.0%", "10.0%"],
    ]
    header, *rows = lines(emoprune.done("report", "--by-label", "--format", "markdown", stdin=CURVES).out)
    assert header[:3] == ["label", "runs", "epochs"]
    # of two values 0.1 and 0.2 apart: 12.706 times 0.05 and 0.1
    assert rows == [
        ["whole", "2", "2", "50.0 ± 127.1%", "55.0 ± 63.5%", "30.0 ± 127.1%", "35.0 ± 63.5%"],
        ["b", "1", "1", "50.0%", "50.0%", "10.0%", "10.0%"],
    ]


def test_curves_in_csv_and_json_are_raw_values(emoprune: Runner) -> None:
    record = emoprune.done("report", stdin=CURVES).record
    assert record["curves"][0] == {
        **{"label": "whole #1", "model": "m.st", "epochs": 2},
        **{"train_accuracy_last": 0.6, "train_accuracy_best": 0.6},
        **{"val_accuracy_last": 0.2, "val_accuracy_best": 0.3},
    }
    rows = cells(emoprune.done("report", "--format", "csv", stdin=CURVES).out)
    assert [dict(row) for row in rows] == [
        {key: str(value) for key, value in entry.items()} for entry in record["curves"]
    ]
    whole, _ = emoprune.done("report", "--by-label", stdin=CURVES).record["curves"]
    assert (whole["runs"], whole["val_accuracy_best"]) == (2, vars(estimate([0.3, 0.4])))
    row, _ = cells(emoprune.done("report", "--by-label", "--format", "csv", stdin=CURVES).out)
    assert float(row["val_accuracy_best_low"]) == whole["val_accuracy_best"]["low"]
    assert row["epochs"] == "2.0"


def test_a_network_that_classifies_nothing_has_epochs_alone(emoprune: Runner) -> None:
    data = stream(training("r", (None, None)), training("r", (None, None), (None, None)))
    header, row = lines(emoprune.done("report", "--by-label", "--format", "markdown", stdin=data).out)
    assert (header, row[:2]) == (["label", "runs", "epochs"], ["r", "2"])
    # 1.5 +- 12.706 * 0.5
    assert row[2] == "1.5 ± 6.4"


def test_report_reads_what_prune_and_train_made(emoprune: Runner, model: Path) -> None:
    emoprune.check_refused("prune", model, "--label", "norms", code=2, says=("give --steps",))
    printed = emoprune.done("prune", model, "--method", "importance", "--steps", "--label", "norms")
    (found,) = emoprune.done("report", stdin=printed.raw).record["steps"]
    assert found == {key: value for key, value in printed.record.items() if key != "schema"}
    rows = emoprune.done("report", "--by-label", stdin=printed.raw * 2).record["steps"]
    assert [row["units"] for row in rows] == [entry["units"] for entry in found["steps"]]
    assert {row["runs"] for row in rows} == {2}
