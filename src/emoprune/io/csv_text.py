"""CSV text that every reader splits into the same cells."""

from __future__ import annotations

import csv
import ctypes
import io
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress

from emoprune.errors import BadData

DELIMITERS = ",;\t|"
ENCODING, ERRORS = "utf-8", "surrogateescape"
"""Names on disk need not be UTF-8; they are kept as they are."""


Row = tuple[int, list[str]]
"""Line number in the file, and cells."""


def to_text(rows: Iterable[Sequence[object]]) -> str:
    """Rows as lines; None is an empty cell."""
    rows = list(rows)
    # csv does not quote a carriage return if lines end without one, and readers break the line there
    bare = any("\r" in cell for row in rows for cell in row if isinstance(cell, str))
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n", quoting=csv.QUOTE_ALL if bare else csv.QUOTE_MINIMAL)
    writer.writerows(rows)
    return stream.getvalue()


def to_bytes(rows: Iterable[Sequence[object]]) -> bytes:
    """Rows as lines of UTF-8."""
    text = to_text(rows)
    try:
        return text.encode(ENCODING, ERRORS)
    except UnicodeEncodeError:
        # half of a pair, which JSON can hold and a name on disk cannot
        return text.encode(ENCODING, "backslashreplace")


def parse(data: bytes, delimiter: str = ",") -> Iterator[tuple[int, list[str]]]:
    """Rows with the number of their last line, without a byte order mark; BadData for other bytes."""
    if b"\0" in data:
        raise BadData("not a CSV table (it has zero bytes)", "give a text file")
    text = data.decode(ENCODING, ERRORS).removeprefix("\ufeff")
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        for row in reader:
            yield reader.line_num, row
    except csv.Error as error:
        raise BadData(f"not a CSV table (line {reader.line_num}: {error})", "correct the line") from error


def words(data: bytes) -> list[Row]:
    """Rows of cells that spaces separate."""
    lines = enumerate(data.decode(ENCODING, ERRORS).removeprefix("\ufeff").splitlines(), 1)
    return [(number, line.split()) for number, line in lines]


def delimiter_of(line: str) -> str:
    """The delimiter that a line of a table has most often outside of quotes; empty where it has none."""
    bare = re.sub(r'"[^"]*"', "", line)
    best = max(DELIMITERS, key=bare.count)
    return best if best in bare else ""


NAME, LABEL = "name", "label"
"""Titles of the first two columns of a table."""


def is_missing(cell: str) -> bool:
    """Whether the cell is empty or "nan" in any case."""
    return cell.strip().lower() in ("", "nan")


def number(cell: str, *, line: int, column: str) -> float:
    """The cell rounded to float32, NaN if missing; BadData for text and infinite numbers."""
    if is_missing(cell):
        return math.nan
    with suppress(ValueError):
        # tables keep float32
        value = ctypes.c_float(float(cell)).value
        if math.isfinite(value):
            return value
    raise BadData(f"line {line}: {column} is {cell!r}, not a number", "correct or remove the line")
