"""crops.csv and failures.csv: what became of every photo, and boxes drawn by hand."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

from emoprune.errors import BadData, InvalidRecord, at
from emoprune.records import Box, CropRow
from emoprune.store import csvtext
from emoprune.store.streams import read_bytes

LANDMARKS = ("left_eye", "right_eye", "nose", "mouth_left", "mouth_right")
BOX = ("x1", "y1", "x2", "y2")
COLUMNS = (
    "source",
    "output",
    "status",
    *BOX,
    "probability",
    *(f"{landmark}_{axis}" for landmark in LANDMARKS for axis in "xy"),
    "reason",
)
MANIFEST, FAILURES = "crops.csv", "failures.csv"
NO_FACE, UNREADABLE = "no-face", "unreadable"
STATUSES = ("face", "box", "whole", NO_FACE, UNREADABLE)


def to_bytes(rows: Iterable[CropRow]) -> bytes:
    """Rows as CSV with a header line; what a row does not have stays empty."""
    cells = map(_cells, rows)
    return csvtext.to_bytes([COLUMNS, *([row.get(column) for column in COLUMNS] for row in cells)])


def _cells(row: CropRow) -> dict[str, str]:
    cells = {"source": row.source, "output": row.output, "status": row.status, "reason": row.reason}
    if row.box is not None:
        cells |= {name: f"{getattr(row.box, name):.3f}" for name in BOX}
    if row.probability is not None:
        cells["probability"] = f"{row.probability:.6f}"
    for landmark, (x, y) in zip(LANDMARKS, row.landmarks, strict=False):
        cells |= {f"{landmark}_x": f"{x:.3f}", f"{landmark}_y": f"{y:.3f}"}
    return cells


def read_boxes(path: str) -> dict[str, Box]:
    """Boxes by source from a failures.csv that a person filled in; rows left empty are passed over.

    Raises BadData naming the line for half a box, text, or a box without area.
    """
    boxes = {}
    for line, row in _rows(path):
        given = [(row.get(name) or "").strip() for name in BOX]
        if not any(given):
            continue
        try:
            x1, y1, x2, y2 = (float(cell) for cell in given)
        except ValueError:
            x1 = y1 = x2 = y2 = math.nan
        with at(path):
            if not all(math.isfinite(value) for value in (x1, y1, x2, y2)):
                raise BadData(f"line {line}: {','.join(given)} is no box", "give x1,y1,x2,y2 in pixels")
            try:
                boxes[row["source"]] = Box(x1, y1, x2, y2)
            except InvalidRecord as error:
                error.fact = f"line {line}: {error.fact}"
                raise
    return boxes


def read_rows(path: str) -> list[CropRow]:
    """The rows of a manifest that `to_bytes` wrote."""
    found = []
    for line, row in _rows(path):
        try:
            box = Box(*(float(row[name]) for name in BOX)) if row["x1"] else None
            probability = float(row["probability"]) if row["probability"] else None
            points = [(row[f"{name}_x"], row[f"{name}_y"]) for name in LANDMARKS]
            landmarks = tuple((float(x), float(y)) for x, y in points if x)
            if not _stays_inside(row["output"]):
                raise ValueError(row["output"])
        except (ValueError, InvalidRecord):
            raise BadData(f"line {line} is damaged", "crop anew into another folder", place=path) from None
        found.append(
            CropRow(row["source"], row["output"], row["status"], box, probability, landmarks, row["reason"])
        )
    return found


def _stays_inside(output: str) -> bool:
    return not PurePosixPath(output).is_absolute() and ".." not in PurePosixPath(output).parts


def _rows(path: str) -> Iterator[tuple[int, dict[str, str]]]:
    with at(path):
        rows = csvtext.parse(read_bytes(path))
        _, header = next(rows, (0, []))
        lacking = sorted({"source", *BOX} - set(header))
        if lacking:
            apart = ", its columns are set apart by semicolons" if ";" in "".join(header) else ""
            raise BadData(f"has no column {lacking[0]}{apart}", f"keep {FAILURES} as emoprune crop wrote it")
        for line, row in rows:
            # a row may be cut short by hand; what it lacks is empty
            yield line, {**dict.fromkeys(COLUMNS, ""), **dict(zip(header, row, strict=False))}


def is_ours(folder: Path) -> bool:
    """Whether `folder` was made by a crop that ended."""
    return (folder / MANIFEST).is_file()
