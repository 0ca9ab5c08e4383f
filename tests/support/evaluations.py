"""Evaluations of two models and of three labels, a paper's numbers, and how to read tables of them."""

from __future__ import annotations

import dataclasses
from typing import Any

from emoprune.evaluation.types import ClassScore
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


def cells(table: Table, first: str) -> tuple[object, ...]:
    [row] = [row for row in table.rows if row[0] == first]
    return row[1:]


def rows(table: Table) -> list[dict[str, Any]]:
    return [dict(zip(table.columns, row, strict=True)) for row in table.rows]
