"""Feature tables as .csv or, smaller, as .st (safetensors): name, label, then one column per feature.

Reads .xlsx too, and the spreadsheet of SFEW in either format.
"""

from __future__ import annotations

import hashlib
import io
import json
import warnings
import zipfile
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import safetensors.torch
import torch
from numpy.typing import NDArray

from emoprune import events
from emoprune.data.formats import sfew
from emoprune.data.formats.columns import INDICES, PARTS, listed, means, plain_numbers
from emoprune.data.formats.copies import warn_of_copies
from emoprune.data.types import Catalog, Table
from emoprune.errors import BadCheckpoint, BadData
from emoprune.io import csv_text, safetensors_files
from emoprune.io.csv_text import LABEL, NAME, Row, is_missing, number
from emoprune.io.json_records import decode, loads
from emoprune.io.safetensors_files import METADATA_KEY

SCHEMA = "emoprune.features/1"
SUFFIXES = (".csv", ".st")
"""Formats that tables are written in."""

HOW = "make tables with emoprune features"
Texts = Sequence[str]


def to_bytes(table: Table, *, suffix: str) -> bytes:
    """The table as CSV or safetensors bytes; numbers in CSV keep every digit of float32."""
    catalog = table.catalog
    labels = [catalog.classes[label] for label in catalog.labels]
    if suffix == ".csv":
        rows = zip(catalog.names, labels, table.values.tolist(), strict=True)
        cells = ((name, label, *(f"{x:.9g}" for x in row)) for name, label, row in rows)
        return csv_text.to_bytes([(NAME, LABEL, *table.columns), *cells])
    card = {"schema": SCHEMA, "names": catalog.names, "labels": labels, "columns": table.columns}
    text = json.dumps(card, sort_keys=True, separators=(",", ":"))
    return safetensors.torch.save({"features": table.values.contiguous()}, {METADATA_KEY: text})


def as_table(rows: list[Row]) -> list[Row] | None:
    """Rows of a feature table with name, label and features in this order, None for rows of another kind.

    An index column before them is left out. SFEW's rows get its names, labels and titles.
    """
    header = [title.strip().lower() for title in rows[0][1]]
    if header.count(NAME) == header.count(LABEL) == 1:
        index = means(header[0], INDICES)
        first = [header.index(NAME), header.index(LABEL)]
        order = [*first, *(place for place in range(index, len(header)) if place not in first)]
        if not all(means(header[place], PARTS) for place in order[2:]):
            rows = [(line, [row[place] for place in order]) for line, row in rows]
            return sfew.as_table(rows) if sfew.is_one(rows) else rows
    if len(header) > 2 and header[1] == LABEL and (not header[0] or sfew.has_labels(rows)):
        return sfew.as_table(rows)
    return None


def from_rows(place: str, rows: list[Row]) -> Table:
    """The table of rows of one length, as `as_table` makes them; BadData that names the line at fault."""
    (_, header), *samples = rows
    for position, title in enumerate(header, 1):
        if not title.strip():
            raise BadData(f"column {position} has no title", "write one over it in the first line")
    columns = tuple(header[2:])
    values = [
        [number(cell, line=line, column=column) for cell, column in zip(row[2:], columns, strict=True)]
        for line, row in samples
    ]
    # spreadsheets leave spaces behind words
    names, labels = [row[0] for _, row in samples], plain_numbers([row[1].strip() for _, row in samples])
    for (line, _), label in zip(samples, labels, strict=True):
        if is_missing(label):
            raise BadData(f"line {line} has no label", "write one, or remove the line")
    warn_of_copies(place, [(row[0], *row[2:]) for _, row in samples], labels, kind="row")
    return table_of(place, names, labels, columns, torch.tensor(values, dtype=torch.float32))


def from_safetensors(place: str, data: bytes) -> Table:
    """The table in the bytes of a .st file; BadData for other bytes."""
    try:
        tensors, metadata = safetensors_files.load(data)
        card = loads(metadata.get(METADATA_KEY, "null"))
    except BadCheckpoint as error:
        raise BadData(error.fact, error.remedy) from error
    except (ValueError, RecursionError):
        # json raises these for other text
        card = None
    if not isinstance(card, dict) or card.get("schema") != SCHEMA or set(tensors) != {"features"}:
        made = "a checkpoint, " if isinstance(card, dict) and "spec" in card else ""
        raise BadData(f"{made}not a feature table", HOW)
    keys = ("names", "labels", "columns")
    names, labels, columns = (decode(tuple[str, ...], card.get(key), path=key) for key in keys)
    values = tensors["features"].float()
    if not bool(torch.isfinite(values).all()):
        raise BadData("has features that are not finite", HOW)
    return table_of(place, names, labels, columns, values)


def table_of(
    place: str, names: Texts, labels: Texts, columns: tuple[str, ...], values: torch.Tensor
) -> Table:
    """The table of these rows, with the fingerprint of a file that holds them; BadData for none."""
    if not names or not columns:
        raise BadData("has no rows or no columns", HOW)
    shape = f"{len(names)}x{len(columns)}"
    try:
        text = "\0".join([shape, *names, *labels, *columns]).encode(csv_text.ENCODING, csv_text.ERRORS)
    except UnicodeEncodeError:
        raise BadData("has a name that is not text", HOW) from None
    digest = hashlib.sha256(text)
    rows = values.contiguous().numpy()
    digest.update(rows.tobytes())
    contents = _contents(names, rows) if rows.shape == (len(names), len(columns)) else []
    return Table(Catalog.of(place, names, labels, digest.hexdigest(), contents), columns, values)


def _contents(names: Texts, rows: NDArray[np.float32]) -> list[str]:
    # rows of few columns may be the same by chance, and folders may have moved
    files = (name.rpartition("/")[2].encode(csv_text.ENCODING, csv_text.ERRORS) for name in names)
    return [
        hashlib.sha256(file + b"\0" + row.tobytes()).hexdigest()
        for file, row in zip(files, rows, strict=True)
    ]


LARGEST, PACKED = 2**28, 50
"""Bytes of an unpacked workbook, and how many times its packed size they may be if it is not small."""

SMALL = 2**24
MOST_ROWS, MOST_COLUMNS, MOST_CELLS = 2**20, 2**14, 2**24
"""Of a sheet: as many rows and columns as the format allows, and cells, empty ones among them."""

SAVE_AGAIN = "save it again as .xlsx, or as .csv"


def parse(data: bytes, *, place: str = "the workbook") -> list[Row]:
    """Rows of the first sheet that are not empty, with their line numbers, padded to the usual length.

    That is the header's where it is longer. Cells left out at the end of a row are empty, as is all of a
    merged cell but its first. A note names other sheets of the file at `place`. Raises BadData for bytes that
    are not a workbook, or one without a sheet.
    """
    rows = [
        (line, ["" if value is None else str(value) for value in row]) for line, row in _values(data, place)
    ]
    # cells up to the last that is not empty
    lengths = [max((place for place, cell in enumerate(row, 1) if cell), default=0) for _, row in rows]
    # a header may span more columns than it has cells; a stray cell in one row is not a column
    counts = Counter(length for length in lengths[1:] if length)
    most = max(counts, key=lambda length: (counts[length], length), default=0)
    usual = max([most, *lengths[:1]])
    return [
        (line, [*row[:length], *[""] * (usual - length)])
        for (line, row), length in zip(rows, lengths, strict=True)
    ]


def _values(data: bytes, place: str) -> list[tuple[int, tuple[object, ...]]]:
    # takes a tenth of a second to import, and only workbooks need it
    import openpyxl

    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            size = sum(entry.file_size for entry in archive.infolist())
    except zipfile.BadZipFile:
        raise BadData("not an .xlsx workbook", SAVE_AGAIN) from None
    if size > min(LARGEST, max(SMALL, PACKED * len(data))):
        raise BadData(f"a workbook of {size / 2**20:,.0f} MB unpacked, more than is safe to read", SAVE_AGAIN)
    try:
        with warnings.catch_warnings(action="ignore"):
            workbook = openpyxl.load_workbook(io.BytesIO(data), read_only=True, data_only=True)
            sheets = workbook.worksheets
            if sheets:
                if len(sheets) > 1:
                    others = listed([sheet.title for sheet in sheets[1:]])
                    events.note(f"{place}: reads its first sheet, {sheets[0].title}, and not {others}")
                # the size in the file may be wrong, and rows would be lost
                sheets[0].reset_dimensions()
                return _bounded(sheets[0])
    except BadData:
        raise
    except Exception as error:
        # openpyxl raises anything for damaged bytes
        raise BadData("a damaged .xlsx workbook", SAVE_AGAIN) from error
    raise BadData("a workbook without a sheet", SAVE_AGAIN)


def _bounded(sheet: Any) -> list[tuple[int, tuple[object, ...]]]:
    """Rows of a sheet of openpyxl's that are not empty, with their numbers.

    BadData where a cell far out stands for many that are empty.
    """
    remedy = f"remove what is far below or right of the table, or {SAVE_AGAIN}"
    filled = sheet._get_row

    def row_of(cells: list[dict[str, int]], *how: object) -> tuple[object, ...]:
        if cells and cells[-1]["column"] > MOST_COLUMNS:
            raise BadData(f"a cell in column {cells[-1]['column']:,}", remedy)
        row: tuple[object, ...] = filled(cells, *how)
        return row

    # openpyxl fills up rows itself, before anyone sees them
    sheet._get_row = row_of
    rows, count = [], 0
    for line, row in enumerate(sheet.iter_rows(values_only=True), 1):
        # a row that is left out has no cells
        if any(value is not None for value in row):
            rows.append((line, row))
        count += len(row)
        if line > MOST_ROWS:
            raise BadData(f"a cell below row {MOST_ROWS:,}", remedy)
        if count > MOST_CELLS:
            raise BadData(f"more than {MOST_CELLS:,} cells, empty ones among them", remedy)
    return rows
