"""CSV text that every reader takes apart as it was put together."""

from __future__ import annotations

import csv
import io
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
