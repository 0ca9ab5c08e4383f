"""Predicted errors as people read them, and steps of prunings by themselves and by label."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from emoprune.cli import output
from emoprune.pruning import certificate
from emoprune.pruning.types import PruningCurve, PruningStep
from emoprune.reporting.aggregate import by_units
from emoprune.reporting.confidence import estimate
from emoprune.reporting.pruning_tables import (
    Steps,
    error_tables,
    flat,
    gathered,
    one_by_one,
    steps_table,
    to_records,
)
from emoprune.reporting.tables import Table
from emoprune.reporting.types import PaperValue
from tests.support.runs import pruning


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
def test_error_tables_fold_layers_that_lose_nothing_into_one_line(
    capsys: pytest.CaptureFixture[str], left: tuple[int, ...], line: str
) -> None:
    names = [f"layer{index}" for index in range(len(left))]
    lines = shown(capsys, summary(*map(layer, names, left)))
    assert line in lines
    rows = [line.split()[0] for line in lines if line.split()[0] in names]
    assert rows == [name for name, units in zip(names, left, strict=True) if units < 4]


def test_error_tables_fold_nothing_where_all_layers_lose(capsys: pytest.CaptureFixture[str]) -> None:
    text = " ".join(shown(capsys, summary(layer("a", 3), layer("b", 1))))
    assert "nothing" not in text
    assert "a 4 > 3 1 0.25 0.125" in " ".join(text.split())


def test_error_tables_leave_out_columns_without_a_number(capsys: pytest.CaptureFixture[str]) -> None:
    (heading,) = [line for line in shown(capsys, summary(layer("a", 3))) if line.startswith("layer ")]
    assert heading.split() == ["layer", "units", "similar", "error:", "sum", "lstsq"]
    several = summary(layer("a", 3), layer("b", 3, similar=0, insignificant=1))
    (heading,) = [line for line in shown(capsys, several) if line.startswith("layer ")]
    assert heading.split() == ["layer", "units", "similar", "insign.", "error:", "sum", "lstsq"]


def test_error_tables_of_masks_have_no_merge_and_one_error(capsys: pytest.CaptureFixture[str]) -> None:
    masked = [layer("a", 4, error_lstsq=None), layer("b", 4, error_sum=0.0, error_lstsq=None)]
    frozen = [{"layer": "c", "channels": 2, "operation": "view"}]
    lines = shown(capsys, summary(*masked, method="magnitude", amount={"amount": 0.5}, frozen=frozen))
    assert lines[0] == "Predicted error (magnitude, amount 0.5)"
    assert lines[1].split() == ["layer", "units", "error"]
    assert "1 more layer loses nothing" in lines
    assert "view" not in " ".join(lines)


def test_error_tables_write_an_error_too_small_as_less_than(capsys: pytest.CaptureFixture[str]) -> None:
    lines = shown(capsys, summary(layer("a", 3, error_sum=0.00001, error_lstsq=0.0)))
    (row,) = [line.split() for line in lines if line.startswith("a ")]
    assert row[-2:] == ["<0.0001", "0"]


@pytest.mark.parametrize(("count", "said"), [(0, None), (1, "on 1 image,"), (2000, "on 2,000 images,")])
def test_error_tables_say_where_a_refit_makes_errors_smaller(
    capsys: pytest.CaptureFixture[str], count: int, said: str | None
) -> None:
    text = " ".join(shown(capsys, summary(layer("a", 3), resolved_on=count)))
    assert ("without images" in text) == (said is not None)
    assert (said or "") in text


def test_error_tables_name_what_prevents_removal(capsys: pytest.CaptureFixture[str]) -> None:
    one = [{"layer": "a", "channels": 1, "operation": "view"}]
    lines = shown(capsys, summary(layer("b", 3), frozen=one))
    assert "never removed: 1 channel of 1 layer, which" in lines[-2]
    assert "(view)" in lines[-1]
    most = [
        {"layer": f"l{i}", "channels": 9999, "operation": name} for i, name in enumerate(("flip", "view"))
    ]
    lines = shown(capsys, summary(layer("b", 3), frozen=most))
    assert "never removed: 19,998 channels of 2 layers," in lines[-2]
    assert "(flip, view)" in lines[-1]
    assert max(map(len, lines)) <= 78


def test_error_tables_change_accuracy_by_points(capsys: pytest.CaptureFixture[str]) -> None:
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


SUM = [
    pruning("sum", PruningStep(10, loss, accuracy, smallest_angle_deg=12.0), PruningStep(9, loss + 1))
    for loss, accuracy in zip((1.4, 1.5, 1.6), (0.5, 0.6, 0.7), strict=True)
]
ALONE = PruningCurve("m.st", "importance", (PruningStep(8, least_importance=0.25),), "norms")
PAPER = (
    PaperValue("sum, 10 units", "loss", 1.62, "Figure 3"),
    PaperValue("sum, 10 units", "accuracy", 0.345, "Figure 3"),
    PaperValue("sum, 12 units", "smallest angle", 20, "Section 2"),
    PaperValue("theirs, 9 units", "loss", 2, ""),
)
STEPS = gathered(by_units([*SUM, ALONE]))


def rows(table: Table) -> list[dict[str, Any]]:
    return [dict(zip(table.columns, row, strict=True)) for row in table.rows]


def test_steps_by_label_are_a_row_of_means_with_intervals_per_number_of_units() -> None:
    table = steps_table(STEPS)
    assert table.title == "Steps by label (± 95% interval over runs)"
    assert table.columns == (
        *("label", "units", "runs", "loss", "accuracy", "smallest angle", "least importance"),
    )
    # Student's t of 2 degrees of freedom is 4.303: 4.303 * 0.1 / sqrt(3) = 0.248
    assert table.rows == (
        ("sum", 10, 3, "1.500 ± 0.248", "60.0 ± 24.8%", "12.00 ± 0.00°", None),
        ("sum", 9, 3, "2.500 ± 0.248", None, None, None),
        ("norms", 8, 1, None, None, None, "0.25"),
    )


@pytest.mark.parametrize("view", [one_by_one, lambda curves: gathered(by_units(curves))])
def test_steps_have_no_column_of_what_no_step_has(view: Any) -> None:
    made: Steps = view([pruning("a", PruningStep(9, 0.5))])
    assert steps_table(made).columns[-1] == "loss"
    assert not [name for name in ("accuracy", "angle", "importance") if name in str(flat(made).columns)]


def test_steps_of_every_pruning_by_itself() -> None:
    table = steps_table(one_by_one([*SUM[:2], ALONE]))
    assert table.columns == ("label", "units", "loss", "accuracy", "smallest angle", "least importance")
    assert table.rows == (
        ("sum #1", 10, "1.400", "50.0%", "12.00°", None),
        ("sum #1", 9, "2.400", None, None, None),
        ("sum #2", 10, "1.500", "60.0%", "12.00°", None),
        ("sum #2", 9, "2.500", None, None, None),
        ("norms", 8, None, None, None, "0.25"),
    )
    found = rows(flat(one_by_one([SUM[0], ALONE])))
    assert [(row["pruning"], row["label"], row["method"], row["units"], row["loss"]) for row in found] == [
        (1, "sum", "progressive", 10, 1.4),
        (1, "sum", "progressive", 9, 2.4),
        (2, "norms", "importance", 8, None),
    ]
    (record,) = to_records(one_by_one(SUM[:1]))
    assert list(record) == ["model", "method", "steps", "label"]
    assert record["steps"][1]["loss"] == 2.4


def test_csv_and_json_of_steps_by_label_have_the_same_raw_values() -> None:
    first, second, third = to_records(STEPS)
    assert (first["label"], first["units"], first["runs"], first["paper"]) == ("sum", 10, 3, [])
    assert (first["loss"], first["accuracy"]) == (
        *(vars(estimate([1.4, 1.5, 1.6])), vars(estimate([0.5, 0.6, 0.7]))),
    )
    assert (second["units"], second["accuracy"], third["loss"]) == (9, None, None)
    assert third["least_importance"] == {"n": 1, "mean": 0.25, "low": None, "high": None}
    found = rows(flat(STEPS))
    assert [(row["label"], row["units"], row["runs"]) for row in found] == [
        *(("sum", 10, 3), ("sum", 9, 3), ("norms", 8, 1))
    ]
    assert [found[0][f"loss{end}"] for end in ("", "_low", "_high")] == [
        first["loss"][key] for key in ("mean", "low", "high")
    ]
    assert (found[1]["accuracy"], found[2]["least_importance_low"]) == (None, None)


def test_steps_have_a_papers_numbers_and_rows_of_what_only_it_has(capsys: pytest.CaptureFixture[str]) -> None:
    view = gathered(by_units(SUM), PAPER)
    table = steps_table(view)
    assert table.columns[3:] == ("loss", "paper", "accuracy", "paper", "smallest angle", "paper", "where")
    assert table.rows == (
        ("sum", 12, *[None] * 6, "20.00°", "Section 2"),
        (
            *("sum", 10, 3, "1.500 ± 0.248", "1.620", "60.0 ± 24.8%", "34.5%", "12.00 ± 0.00°", None),
            "Figure 3",
        ),
        ("sum", 9, 3, "2.500 ± 0.248", *[None] * 6),
        ("theirs", 9, None, None, "2.000", *[None] * 5),
    )
    found = rows(flat(view))
    assert [row["runs"] for row in found] == [0, 3, 3, 0]
    assert [row["paper_loss"] for row in found] == [None, 1.62, None, 2]
    assert (found[1]["paper_accuracy"], found[1]["paper_accuracy_where"]) == (0.345, "Figure 3")
    records = to_records(view)
    assert records[1]["paper"] == [
        {"measure": "loss", "value": 1.62, "where": "Figure 3"},
        {"measure": "accuracy", "value": 0.345, "where": "Figure 3"},
    ]
    assert (records[3]["runs"], records[3]["loss"]) == (0, None)
    output.show([table])
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 100
