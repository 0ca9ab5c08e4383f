"""Rows of a table as text, and their cells as numbers."""

from __future__ import annotations

import math
import struct

from emoprune.errors import BadData

NAME, LABEL = "name", "label"
"""What the first two columns of a table are headed."""

Row = tuple[int, list[str]]
"""The number of the line in its file, and the cells."""


def is_missing(cell: str) -> bool:
    """Whether the cell holds no value: nothing, or "nan" however it is written."""
    return cell.strip().lower() in ("", "nan")


def number(cell: str, *, line: int, column: str) -> float:
    """The cell as float32 keeps it, NaN where it is missing; BadData for text and what is not finite."""
    if is_missing(cell):
        return math.nan
    try:
        # through float32, which is what the table keeps
        (value,) = struct.unpack("f", struct.pack("f", float(cell)))
    except (ValueError, OverflowError):
        value = math.nan
    if not math.isfinite(value):
        raise BadData(f"line {line}: {column} is {cell!r}, not a number", "mend or remove the line")
    return float(value)
