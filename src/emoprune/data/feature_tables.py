"""Feature tables: .csv for people, .st (safetensors) for size; name, label, then one column per feature.

Spreadsheets are read too, and the sheet that SFEW was published with, from .csv as from .xlsx.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import safetensors.torch
import torch

from emoprune.data import sfew, workbooks
from emoprune.data.types import Catalogue, Table
from emoprune.errors import BadCheckpoint, BadData, at
from emoprune.io import csv_text, safetensors_files
from emoprune.io.cells import LABEL, NAME, Row, is_missing, number
from emoprune.io.files import read_bytes, shown
from emoprune.io.json_records import decode, loads
from emoprune.networks.checkpoint import METADATA_KEY

SCHEMA = "emoprune.features/1"
SUFFIXES = (".csv", ".st")
"""What tables are written as."""

READABLE = (*SUFFIXES, ".xlsx")
HOW = "make tables with emoprune features"


def to_bytes(table: Table, *, suffix: str) -> bytes:
    """The table as CSV or safetensors bytes; numbers in CSV keep every digit of float32."""
    return _to_csv(table) if suffix == ".csv" else _to_safetensors(table)


def read(place: str) -> Table:
    """The table in a .csv, .st or .xlsx file, or CSV on standard input for "-"; BadData for anything else."""
    return from_bytes(place, read_bytes(place))


def from_bytes(place: str, data: bytes) -> Table:
    """The table in the bytes of the file at `place`; see `read`."""
    name, suffix = shown(place), Path(place).suffix
    with at(name):
        if suffix == ".st":
            return _from_safetensors(name, data)
        return _from_rows(name, workbooks.parse(data) if suffix == ".xlsx" else list(csv_text.parse(data)))


def _to_csv(table: Table) -> bytes:
    catalogue = table.catalogue
    rows = zip(catalogue.names, catalogue.labels, table.values.tolist(), strict=True)
    return csv_text.to_bytes(
        [
            (NAME, LABEL, *table.columns),
            *((name, catalogue.classes[label], *(f"{x:.9g}" for x in row)) for name, label, row in rows),
        ]
    )


def _from_rows(place: str, rows: list[Row]) -> Table:
    # what spreadsheets write below their last row and between others
    rows = [(line, row) for line, row in rows if any(cell.strip() for cell in row)]
    header = rows[0][1] if rows else []
    width = len(header)
    if width < 3 or header[1].strip().lower() != LABEL:
        raise BadData("not a table whose first line is name,label and columns", HOW)
    for line, row in rows:
        if len(row) != width:
            raise BadData(f"line {line} has {len(row)} cells, not {width}", "mend the line")
    if sfew.is_one(rows):
        rows = sfew.as_table(rows)
    (_, header), *samples = rows
    columns = _columns(header)
    values = [
        [number(cell, line=line, column=column) for cell, column in zip(row[2:], columns, strict=True)]
        for line, row in samples
    ]
    # a space behind a word, as spreadsheets have it, makes no other class
    names, labels = [row[0] for _, row in samples], [row[1].strip() for _, row in samples]
    for (line, _), label in zip(samples, labels, strict=True):
        if is_missing(label):
            raise BadData(f"line {line} has no label", "write one, or remove the line")
    return _table(place, names, labels, columns, torch.tensor(values, dtype=torch.float32))


def _columns(header: list[str]) -> tuple[str, ...]:
    for place, title in enumerate(header, 1):
        if not title.strip():
            raise BadData(f"column {place} has no title", "write one over it in the first line")
    return tuple(header[2:])


def _to_safetensors(table: Table) -> bytes:
    catalogue = table.catalogue
    card = {
        "schema": SCHEMA,
        "names": catalogue.names,
        "labels": [catalogue.classes[label] for label in catalogue.labels],
        "columns": table.columns,
    }
    text = json.dumps(card, sort_keys=True, separators=(",", ":"))
    return safetensors.torch.save({"features": table.values.contiguous()}, {METADATA_KEY: text})


def _from_safetensors(place: str, data: bytes) -> Table:
    try:
        tensors, metadata = safetensors_files.load(data)
        card = loads(metadata.get(METADATA_KEY, "null"))
    except BadCheckpoint as error:
        raise BadData(error.fact, error.remedy) from error
    except (ValueError, RecursionError):
        # what json raises for text that is none
        card = None
    if not isinstance(card, dict) or card.get("schema") != SCHEMA or set(tensors) != {"features"}:
        made = "a checkpoint, " if isinstance(card, dict) and "spec" in card else ""
        raise BadData(f"{made}not a feature table", HOW)
    texts = {key: decode(tuple[str, ...], card.get(key), path=key) for key in ("names", "labels", "columns")}
    values = tensors["features"].float()
    if not bool(torch.isfinite(values).all()):
        raise BadData("has features that are not finite", HOW)
    return _table(place, list(texts["names"]), list(texts["labels"]), texts["columns"], values)


def _table(
    place: str, names: list[str], labels: list[str], columns: tuple[str, ...], values: torch.Tensor
) -> Table:
    if not names or not columns:
        raise BadData("has no rows or no columns", HOW)
    classes = sorted(set(labels))
    shape = f"{len(names)}x{len(columns)}"
    try:
        text = "\0".join([shape, *names, *labels, *columns]).encode(csv_text.ENCODING, csv_text.ERRORS)
    except UnicodeEncodeError:
        raise BadData("has a name that is no text", HOW) from None
    digest = hashlib.sha256(text)
    digest.update(values.contiguous().numpy().tobytes())
    catalogue = Catalogue(
        place=place,
        names=tuple(names),
        labels=tuple(classes.index(label) for label in labels),
        classes=tuple(classes),
        fingerprint=digest.hexdigest(),
    )
    return Table(catalogue, columns, values)
