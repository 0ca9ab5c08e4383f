"""Numbers that papers print, from CSV tables: label, measure, value, where."""

from __future__ import annotations

import math
from typing import get_args

from emoprune.choices import ClassMeasure, Measured, StepMeasure
from emoprune.errors import BadData, at
from emoprune.io import csv_text
from emoprune.io.files import read_bytes, shown
from emoprune.reporting.types import PaperValue

COLUMNS = ["label", "measure", "value", "where"]
WHOLE: dict[str, Measured] = {name.lower(): name for name in get_args(Measured)}
OF_STEPS: dict[str, StepMeasure] = {name: name for name in get_args(StepMeasure) if name not in WHOLE}
OF_ALL: dict[str, Measured | StepMeasure] = {**WHOLE, **OF_STEPS}
BY_CLASS: dict[str, ClassMeasure] = {name.lower(): name for name in get_args(ClassMeasure)}
MOST = 2**26
"""Bytes of a table that a person has written."""

FRACTIONS = {"accuracy", "macro F1", *get_args(ClassMeasure)}


def read(place: str) -> list[PaperValue]:
    """The numbers in a CSV file, or on standard input for "-"; BadData for anything else.

    A measure is one of Measured, one of StepMeasure with a label as "sum, 9 units", or one of ClassMeasure
    and the name of a class. Fractions are written 34.5% or 0.345, smallest angles in degrees.
    """
    data = read_bytes(place, most=MOST)
    with at(shown(place)):
        rows = csv_text.parse(data)
        _, header = next(rows, (0, []))
        if [cell.strip().lower() for cell in header] != COLUMNS:
            raise BadData(f"line 1 is not {','.join(COLUMNS)}", "begin the file with that line")
        found: dict[tuple[str, str, str | None], PaperValue] = {}
        for line, row in rows:
            if not row:
                continue
            entry = _printed(row, line)
            key = (entry.label, entry.measure, entry.of_class)
            if key in found:
                raise BadData(f"line {line}: {row[1]} of {entry.label!r} again", "keep one of the two lines")
            found[key] = entry
        if not found:
            raise BadData("has no rows", f"give lines of {','.join(COLUMNS)}")
        return list(found.values())


def _printed(row: list[str], line: int) -> PaperValue:
    if len(row) != len(COLUMNS):
        raise BadData(f"line {line} has {len(row)} cells, not {len(COLUMNS)}", "put commas in quotes")
    label, text, value, where = (cell.strip() for cell in row)
    if not label:
        raise BadData(f"line {line} has no label", "write what the number is of")
    first, _, of_class = text.partition(" ")
    measure: Measured | ClassMeasure | StepMeasure
    if text.lower() in OF_ALL:
        measure, of_class = OF_ALL[text.lower()], ""
    elif first.lower() in BY_CLASS and of_class.strip():
        measure = BY_CLASS[first.lower()]
    else:
        known = [*OF_ALL.values(), *(f"{name} CLASS" for name in BY_CLASS.values())]
        raise BadData(f"line {line}: measure {text!r} is unknown", f"choose from {', '.join(known)}")
    entry = PaperValue(label, measure, _number(value, measure, line), where, of_class.strip() or None)
    if measure in OF_STEPS.values() and entry.step is None:
        raise BadData(
            f"line {line}: {measure} of {label!r}, a label without a number of units",
            "write the label of a step as LABEL, N units",
        )
    return entry


def _number(text: str, measure: str, line: int) -> float:
    percent, fraction = text.endswith("%"), measure in FRACTIONS
    try:
        value = float(text.removesuffix("%")) / (100 if percent else 1)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value >= 0):
        remedy = "give a number"
    elif fraction and value > 1:
        remedy = "write fractions as 34.5% or 0.345"
    elif percent and not fraction:
        remedy = "give a number without %"
    else:
        return value
    raise BadData(f"line {line}: {measure} cannot be {text!r}", remedy)
