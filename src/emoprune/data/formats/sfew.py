"""The spreadsheet of SFEW: names of frames, labels from 1 to 7, titles over many columns."""

from __future__ import annotations

import re
from collections import Counter

from emoprune.errors import BadData
from emoprune.io.csv_text import LABEL, NAME, Row, is_missing

CLASSES = ("angry", "disgust", "fear", "happy", "neutral", "sad", "surprise")
"""What its labels 1 to 7 stand for."""

FEATURES = ("lpq", "phog")
"""Kinds of feature that its titles name among other words."""


def is_one(rows: list[Row]) -> bool:
    """Whether rows of even length are SFEW's spreadsheet and not a table of ours.

    If the first column is headed `name`, as in ours, some title must span columns and all labels be 1 to 7.
    """
    header = rows[0][1]
    if header[0].strip().lower() != NAME:
        return True
    spanning = len(header) > 3 and bool(header[2].strip()) and not all(cell.strip() for cell in header[3:])
    return spanning and has_labels(rows)


def has_labels(rows: list[Row]) -> bool:
    """Whether the second cells of all rows but the first are labels of SFEW's, 1 to 7."""
    return all(_class(row[1]) for _, row in rows[1:])


def as_table(rows: list[Row]) -> list[Row]:
    """The spreadsheet's rows as rows of a table of ours: name, label, then columns such as lpq_1.

    Raises BadData for a label that is not 1 to 7, and for columns without a title or without values.
    """
    (line, header), *samples = rows
    columns = _columns(header[2:])
    for column, place in zip(columns, range(2, len(header)), strict=True):
        if samples and all(is_missing(row[place]) for _, row in samples):
            raise BadData(f"column {column} has no values", "fill or remove it")
    table = [(line, [NAME, LABEL, *columns])]
    for number, (name, label, *values) in samples:
        found = _class(label)
        if found is None:
            fact = f"line {number}: label is {label!r}, not a whole number from 1 to {len(CLASSES)}"
            raise BadData(fact, f"correct it, or head the first column {NAME} if labels are words")
        table.append((number, [name.strip().removesuffix(".mat"), found, *values]))
    return table


def _columns(titles: list[str]) -> list[str]:
    """A name for every column: the title over it, or the last one before it, numbered."""
    kind, numbers, columns = "", Counter[str](), []
    for place, title in enumerate(titles, 3):
        if title.strip():
            words = re.findall(r"[^\W_]+", title.lower())
            kind = next((kind for kind in FEATURES if kind in words), "_".join(words))
        if not kind:
            fact = f"has the title {title!r}, which names no feature" if title.strip() else "has no title"
            raise BadData(f"column {place} {fact}", "write one over it in the first line")
        numbers[kind] += 1
        columns.append(f"{kind}_{numbers[kind]}")
    return columns


def _class(cell: str) -> str | None:
    """The class of the label in a cell; spreadsheets also write 3 as 3.0."""
    match = re.fullmatch(r"([1-7])(\.0*)?", cell.strip())
    return CLASSES[int(match[1]) - 1] if match else None
