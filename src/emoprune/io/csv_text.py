"""CSV text that every reader takes apart as it was put together."""

from __future__ import annotations

import csv
import io
import math
import struct
from collections.abc import Iterable, Iterator, Sequence

from emoprune.errors import BadData

ENCODING, ERRORS = "utf-8", "surrogateescape"
"""Names on disk need not be UTF-8; they go out and come back as they are."""


def to_text(rows: Iterable[Sequence[object]]) -> str:
    """Rows as lines; what is None stays empty."""
    rows = list(rows)
    # csv leaves a carriage return unquoted where lines end without one, and readers then break the line there
    bare = any("\r" in cell for row in rows for cell in row if isinstance(cell, str))
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\n", quoting=csv.QUOTE_ALL if bare else csv.QUOTE_MINIMAL).writerows(
        rows
    )
    return stream.getvalue()


def to_bytes(rows: Iterable[Sequence[object]]) -> bytes:
    """Rows as lines of UTF-8."""
    return to_text(rows).encode(ENCODING, ERRORS)


def parse(data: bytes, delimiter: str = ",") -> Iterator[tuple[int, list[str]]]:
    """Rows with the number of the line they end on, a byte order mark skipped; BadData for what is no CSV."""
    if b"\0" in data:
        raise BadData("not a CSV table (it has zero bytes)", "give a text file")
    text = data.decode(ENCODING, ERRORS).removeprefix("\ufeff")
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        for row in reader:
            yield reader.line_num, row
    except csv.Error as error:
        raise BadData(f"not a CSV table (line {reader.line_num}: {error})", "mend the line") from error


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
