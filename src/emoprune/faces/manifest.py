"""crops.csv and failures.csv: the face or the failure of every photo, and boxes by hand."""

from __future__ import annotations

import codecs
import math
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from emoprune.errors import BadData, InvalidRecord, at
from emoprune.faces.types import Box, CropRow
from emoprune.io import csv_text
from emoprune.io.files import read_bytes

LANDMARKS = ("left_eye", "right_eye", "nose", "mouth_left", "mouth_right")
BOX = ("x1", "y1", "x2", "y2")
POINTS = tuple(f"{landmark}_{axis}" for landmark in LANDMARKS for axis in "xy")
HASHES = ("phash", "sha256", "output_sha256")
COLUMNS = ("source", "output", "status", *BOX, "probability", *POINTS, "turned", *HASHES, "reason")
TEXTS = ("source", "output", "status", *HASHES, "reason")
MANIFEST, FAILURES, SHEET = "crops.csv", "failures.csv", "contact-sheet.jpg"
HASH = re.compile("[0-9a-f]{16}")
SHA256 = re.compile("([0-9a-f]{64})?")
SUFFIX = ".jpg"
"""Of every face picture."""
UNSAFE = re.compile(r"[\\\x00-\x1f\x7f-\x9f]")
"""Letters that no name of a face has: a separator of other systems, and what terminals obey."""
LONGEST, DEEPEST = 255, 4000
"""Bytes of a name, and of a path below the folder, that file systems allow."""
MOST_BYTES = 256 * 2**20
"""Of a manifest: a row takes a third of a kilobyte."""
DECIMALS = 3
"""Digits after the point of a number of pixels."""

FACE, RESCUED, BOXED, WHOLE = "face", "rescued", "box", "whole"
NO_FACE, UNREADABLE = "no-face", "unreadable"
FAILED = (NO_FACE, UNREADABLE)
NOT_ALIGNED = "not aligned"
"""Is in the reason of a face that is upright instead, as its eyes are not known."""
STATUSES = (FACE, RESCUED, BOXED, WHOLE, NO_FACE, UNREADABLE)
ELSEWHERE = "crop again into another folder"


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
    """Boxes by source from a failures.csv that a person filled in, as `boxes_of` gives them."""
    return boxes_of(read_bytes(path, most=MOST_BYTES), path)


def boxes_of(data: bytes, path: str) -> dict[str, Box]:
    """Boxes by source from the bytes of a failures.csv that a person filled in; empty rows are skipped.

    Raises BadData with the line of an incomplete box, text, a box without area, or a photo's second box.
    """
    boxes: dict[str, Box] = {}
    for line, row in _rows(data, path, needed=("source", *BOX)):
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


def rows_of(data: bytes, path: str) -> list[CropRow]:
    """The rows in the bytes of a manifest that `to_bytes` gave; BadData names the line of a damaged one."""
    found = []
    for line, row in _rows(data, path, needed=("source", *BOX)):
        try:
            found.append(from_cells(row))
        except (ValueError, InvalidRecord):
            raise BadData(f"line {line} is damaged", ELSEWHERE, place=path) from None
    return found


def by_source(rows: Iterable[CropRow]) -> dict[str, list[CropRow]]:
    """Rows by their photo; InvalidRecord for two that disagree about a photo, or have one output."""
    found: dict[str, list[CropRow]] = {}
    outputs = set[str]()
    for row in rows:
        group = found.setdefault(row.source, [])
        group.append(row)
        if len(group) > 1 and not (_agree(row, group[0])):
            raise InvalidRecord(f"has two rows for {row.source}", ELSEWHERE)
        # where case is ignored, they are one file
        if row.output and row.output.lower() in outputs:
            raise InvalidRecord(f"has two rows for {row.output}", ELSEWHERE)
        outputs.add(row.output.lower())
    return found


def _agree(one: CropRow, other: CropRow) -> bool:
    """Whether both may be faces of one photo."""
    return one.sha256 == other.sha256 and {one.status, other.status} <= {FACE, RESCUED}


def read_hashes(folder: Path) -> dict[str, str]:
    """The perceptual hash of each face, by its file below `folder`; damaged rows are left out.

    Raises nothing: the faces can be used without their manifest, which then gives no hashes.
    """
    path = str(folder / MANIFEST)
    try:
        data = read_bytes(path, most=MOST_BYTES)
        header, rows = _table(data, path, needed=("output", "phash"))
        output, phash = header.index("output"), header.index("phash")
        # of a hundred thousand rows, cells by column would take a second
        found = [(row[output], row[phash]) for _, row in rows if len(row) > max(output, phash)]
    except (BadData, OSError):
        return {}
    return {name: bits for name, bits in found if name and HASH.fullmatch(bits)}


def from_cells(cells: Mapping[str, str]) -> CropRow:
    """The row of `to_cells`, or one that a person made; ValueError or InvalidRecord for a damaged one."""
    row = {**dict.fromkeys(COLUMNS, ""), **cells}
    box = Box(*(_number(row[name]) for name in BOX)) if row["x1"] else None
    points = [(row[f"{name}_x"], row[f"{name}_y"]) for name in LANDMARKS]
    turned = int(row["turned"] or 0)
    found = CropRow(
        **{name: row[name] for name in TEXTS},
        box=box,
        probability=_number(row["probability"]) if row["probability"] else None,
        landmarks=tuple((_number(x), _number(y)) for x, y in points if x),
        turned=turned,
    )
    if found.status not in STATUSES or turned not in (0, 90, 180, 270):
        raise ValueError(found.status)
    if found.output if found.status in FAILED else not _is_face_name(found.output):
        raise ValueError(found.output)
    _check_texts(row[name] for name in TEXTS)
    if not SHA256.fullmatch(found.output_sha256):
        raise ValueError(found.output_sha256)
    return found


def _check_texts(texts: Iterable[str]) -> None:
    """ValueError for what a manifest cannot hold."""
    for text in texts:
        if "\0" in text:
            raise ValueError(text)
        text.encode(csv_text.ENCODING, csv_text.ERRORS)


def _number(cell: str) -> float:
    value = float(cell)
    if not math.isfinite(value):
        raise ValueError(cell)
    return value


def _is_face_name(name: str) -> bool:
    """Whether a face may have this path: below its folder, and not a file that crop writes beside faces."""
    parts = name.split("/")
    if name.lower() == SHEET or UNSAFE.search(name) or not name.endswith(SUFFIX):
        return False
    # hidden ones are never cropped, and .crop is the folder of an unfinished run
    named = all(part and part[0] != "." and len(os.fsencode(part)) <= LONGEST for part in parts)
    return named and len(os.fsencode(name)) <= DEEPEST


def _rows(data: bytes, path: str, *, needed: Sequence[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """Cells by column with the number of their line; BadData for a file without the `needed` columns."""
    header, rows = _table(data, path, needed=needed)
    with at(path):
        for line, row in rows:
            # a person may have cut a row short: what it lacks is empty
            yield line, {**dict.fromkeys(COLUMNS, ""), **dict(zip(header, row, strict=False))}


def _table(
    data: bytes, path: str, *, needed: Sequence[str]
) -> tuple[list[str], Iterator[tuple[int, list[str]]]]:
    """Titles, and rows with the number of their line; BadData for a file without the `needed` columns."""
    with at(path):
        if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            data = data.decode("utf-16", "replace").encode(csv_text.ENCODING)
        # spreadsheets of some countries write semicolons or tabs
        first = data.partition(b"\n")[0].decode(csv_text.ENCODING, csv_text.ERRORS)
        rows = csv_text.parse(data, csv_text.delimiter_of(first) or ",")
        _, header = next(rows, (0, []))
        header = [name.strip().lower() for name in header]
        if lacking := sorted(set(needed) - set(header)):
            raise BadData(f"has no column {lacking[0]}", "keep the first line as emoprune crop wrote it")
        return header, rows
