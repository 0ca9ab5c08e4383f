"""crops.csv and failures.csv: the face or the failure of every photo, and boxes by hand."""

from __future__ import annotations

import codecs
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath

from emoprune.errors import BadData, InvalidRecord, at
from emoprune.faces.types import Box, CropRow
from emoprune.io import csv_text
from emoprune.io.files import read_bytes

LANDMARKS = ("left_eye", "right_eye", "nose", "mouth_left", "mouth_right")
BOX = ("x1", "y1", "x2", "y2")
POINTS = tuple(f"{landmark}_{axis}" for landmark in LANDMARKS for axis in "xy")
COLUMNS = ("source", "output", "status", *BOX, "probability", *POINTS, "turned", "phash", "sha256", "reason")
TEXTS = ("source", "output", "status", "phash", "sha256", "reason")
MANIFEST, FAILURES, SHEET = "crops.csv", "failures.csv", "contact-sheet.jpg"
DELIMITERS = ",;\t"
HASH = re.compile("[0-9a-f]{16}")
DECIMALS = 3
"""Digits after the point of a number of pixels."""

FACE, RESCUED, BOXED, WHOLE = "face", "rescued", "box", "whole"
NO_FACE, UNREADABLE = "no-face", "unreadable"
STATUSES = (FACE, RESCUED, BOXED, WHOLE, NO_FACE, UNREADABLE)


def to_bytes(rows: Iterable[CropRow]) -> bytes:
    """Rows as CSV with a header line; values that a row lacks stay empty."""
    cells = map(to_cells, rows)
    return csv_text.to_bytes([COLUMNS, *([row.get(column) for column in COLUMNS] for row in cells)])


def to_cells(row: CropRow) -> dict[str, str]:
    """The values of a row by column, without those it lacks."""
    cells = {name: text for name in TEXTS if (text := getattr(row, name))}
    if row.turned:
        cells["turned"] = str(row.turned)
    if row.box is not None:
        cells |= {name: f"{getattr(row.box, name):.{DECIMALS}f}" for name in BOX}
    if row.probability is not None:
        cells["probability"] = f"{row.probability:.6f}"
    for landmark, (x, y) in zip(LANDMARKS, row.landmarks, strict=False):
        cells |= {f"{landmark}_x": f"{x:.{DECIMALS}f}", f"{landmark}_y": f"{y:.{DECIMALS}f}"}
    return cells


def read_boxes(path: str) -> dict[str, Box]:
    """Boxes by source from a failures.csv that a person filled in; empty rows are skipped.

    Raises BadData with the line of an incomplete box, text, a box without area, or a photo's second box.
    """
    boxes: dict[str, Box] = {}
    for line, row in _rows(path, needed=("source", *BOX)):
        given = [(row.get(name) or "").strip() for name in BOX]
        if not any(given):
            continue
        try:
            x1, y1, x2, y2 = (round(float(cell.replace(",", ".")), DECIMALS) for cell in given)
        except ValueError:
            x1 = y1 = x2 = y2 = math.nan
        with at(path):
            if not all(math.isfinite(value) for value in (x1, y1, x2, y2)):
                raise BadData(f"line {line}: {','.join(given)} is not a box", "give x1,y1,x2,y2 in pixels")
            if row["source"] in boxes:
                raise BadData(f"line {line}: a second box for {row['source']}", "keep one of them")
            try:
                boxes[row["source"]] = Box(x1, y1, x2, y2)
            except InvalidRecord as error:
                error.fact = f"line {line}: {error.fact}"
                raise
    return boxes


def read_rows(path: str) -> list[CropRow]:
    """The rows of a manifest that `to_bytes` wrote; BadData names the line of a damaged one."""
    found = []
    for line, row in _rows(path, needed=("source", *BOX)):
        try:
            found.append(from_cells(row))
        except (ValueError, InvalidRecord):
            raise BadData(f"line {line} is damaged", "crop again into another folder", place=path) from None
    return found


def read_hashes(folder: Path) -> dict[str, str]:
    """The perceptual hash of each face, by its file below `folder`; damaged rows are left out.

    Raises nothing: the faces can be used without their manifest, which then gives no hashes.
    """
    try:
        rows = [row for _, row in _rows(str(folder / MANIFEST), needed=("output", "phash"))]
    except BadData:
        return {}
    return {row["output"]: row["phash"] for row in rows if row["output"] and HASH.fullmatch(row["phash"])}


def from_cells(cells: Mapping[str, str]) -> CropRow:
    """The row of `to_cells`, or one that a person made; ValueError or InvalidRecord for a damaged one."""
    row = {**dict.fromkeys(COLUMNS, ""), **cells}
    box = Box(*(float(row[name]) for name in BOX)) if row["x1"] else None
    points = [(row[f"{name}_x"], row[f"{name}_y"]) for name in LANDMARKS]
    output = PurePosixPath(row["output"])
    if output.is_absolute() or ".." in output.parts or row["status"] not in STATUSES:
        raise ValueError(row["output"])
    return CropRow(
        **{name: row[name] for name in TEXTS},
        box=box,
        probability=float(row["probability"]) if row["probability"] else None,
        landmarks=tuple((float(x), float(y)) for x, y in points if x),
        turned=int(row["turned"] or 0),
    )


def _rows(path: str, *, needed: Sequence[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """Cells by column with the number of their line; BadData for a file without the `needed` columns."""
    with at(path):
        data = read_bytes(path)
        if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            data = data.decode("utf-16", "replace").encode(csv_text.ENCODING)
        # spreadsheets of some countries write semicolons or tabs
        first = data.split(b"\n", 1)[0].decode(csv_text.ENCODING, csv_text.ERRORS)
        rows = csv_text.parse(data, max(DELIMITERS, key=first.count))
        _, header = next(rows, (0, []))
        header = [name.strip().lower() for name in header]
        if lacking := sorted(set(needed) - set(header)):
            raise BadData(f"has no column {lacking[0]}", "keep the first line as emoprune crop wrote it")
        for line, row in rows:
            # a person may have cut a row short: what it lacks is empty
            yield line, {**dict.fromkeys(COLUMNS, ""), **dict(zip(header, row, strict=False))}


def is_contact_sheet(path: Path) -> bool:
    """Whether a file is the contact sheet of a folder of faces, by its name and the manifest beside it."""
    return path.name == SHEET and (path.parent / MANIFEST).is_file()
