"""Spreadsheets (.xlsx) as the rows of text that a CSV of them would have."""

from __future__ import annotations

import io
import warnings
import zipfile
from collections import Counter

from emoprune.errors import BadData
from emoprune.io.cells import Row

LARGEST = 2**30
"""Of a workbook unpacked, in bytes; a damaged or hostile file must not ask for all memory."""

SAVE_AGAIN = "save it again as .xlsx, or as .csv"


def parse(data: bytes) -> list[Row]:
    """Rows of the first sheet with their numbers, all as long as most of them or the header, if not longer.

    Cells that a workbook leaves out at the end of a row are empty ones, so is all of a merged cell but its
    first. Raises BadData for what is no workbook or has no sheet.
    """
    _check(data)
    rows = [(line, [_text(value) for value in row]) for line, row in enumerate(_values(data), 1)]
    lengths = [_length(row) for _, row in rows]
    # a header spans more columns than it has cells, a stray cell in one row makes no column
    counts = Counter(length for length in lengths[1:] if length)
    most = max(counts, key=lambda length: (counts[length], length), default=0)
    usual = max([most, *lengths[:1]])
    return [
        (line, [*row[:length], *[""] * (usual - length)])
        for (line, row), length in zip(rows, lengths, strict=True)
    ]


def _check(data: bytes) -> None:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            size = sum(entry.file_size for entry in archive.infolist())
    except zipfile.BadZipFile:
        raise BadData("not an .xlsx workbook", SAVE_AGAIN) from None
    if size > LARGEST:
        raise BadData(f"a workbook of {size / 2**20:,.0f} MB unpacked, more than is safe to read", SAVE_AGAIN)


def _values(data: bytes) -> list[tuple[object, ...]]:
    # takes a tenth of a second to import, and only workbooks need it
    import openpyxl

    try:
        with warnings.catch_warnings(action="ignore"):
            workbook = openpyxl.load_workbook(io.BytesIO(data), read_only=True, data_only=True)
            sheets = workbook.worksheets
            if sheets:
                # what a file says of its own size may be wrong, and rows would be lost
                sheets[0].reset_dimensions()
                return list(sheets[0].iter_rows(values_only=True))
    except Exception as error:
        # fed damaged bytes, openpyxl raises whatever its code happens to trip over
        raise BadData("a damaged .xlsx workbook", SAVE_AGAIN) from error
    raise BadData("a workbook without a sheet", SAVE_AGAIN)


def _text(value: object) -> str:
    return "" if value is None else str(value)


def _length(row: list[str]) -> int:
    """How many cells a row has up to the last that is not empty."""
    return max((place for place, cell in enumerate(row, 1) if cell), default=0)
