"""Steps of prunings, by themselves and by label."""

from __future__ import annotations

from typing import Any

import pytest

from emoprune.cli import output
from emoprune.evaluation.confidence import FRACTION, estimate
from emoprune.pruning.types import PruningCurve, PruningStep
from emoprune.reporting.aggregate import by_units
from emoprune.reporting.pruning_tables import (
    Steps,
    flat,
    gathered,
    one_by_one,
    steps_table,
    to_records,
)
from emoprune.reporting.tables import Table
from emoprune.reporting.types import PaperValue
from tests.support.runs import pruning

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
    assert table.title == "Steps by label (with 95% interval over runs)"
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
        *(vars(estimate([1.4, 1.5, 1.6])), vars(estimate([0.5, 0.6, 0.7], limits=FRACTION))),
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
