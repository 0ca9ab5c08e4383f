"""Feature tables: .csv for people, .st (safetensors) for size; name, label, then one column per feature."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import math
from pathlib import Path

import safetensors.torch
import torch

from emoprune.errors import BadData, InvalidRecord
from emoprune.records import Catalogue, Table
from emoprune.store import tensorfiles
from emoprune.store.checkpoints import METADATA_KEY
from emoprune.store.decoding import decode
from emoprune.store.streams import read_bytes

SCHEMA = "emoprune.features/1"
SUFFIXES = (".csv", ".st")
NAME, LABEL = "name", "label"
HOW = "make tables with emoprune features"


def to_bytes(table: Table, *, suffix: str) -> bytes:
    """The table as CSV or safetensors bytes; numbers in CSV keep every digit of float32."""
    return _to_csv(table) if suffix == ".csv" else _to_safetensors(table)


def read(place: str) -> Table:
    """The table in a .csv or .st file, or CSV on standard input for "-"; BadData for anything else."""
    data = read_bytes(place)
    shown = "standard input" if place == "-" else place
    try:
        if Path(place).suffix == ".st":
            return _from_safetensors(shown, data)
        return _from_csv(shown, data)
    except (BadData, InvalidRecord) as error:
        error.place = error.place or shown
        raise


def _to_csv(table: Table) -> bytes:
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow([NAME, LABEL, *table.columns])
    catalogue = table.catalogue
    for name, label, row in zip(catalogue.names, catalogue.labels, table.values.tolist(), strict=True):
        writer.writerow([name, catalogue.classes[label], *(f"{value:.9g}" for value in row)])
    return stream.getvalue().encode()


def _from_csv(place: str, data: bytes) -> Table:
    try:
        rows = list(csv.reader(io.StringIO(data.decode("utf-8-sig"), newline=""), strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise BadData(f"not a CSV table ({error})", HOW) from error
    if not rows or [cell.lower() for cell in rows[0][:2]] != [NAME, LABEL] or len(rows[0]) < 3:
        raise BadData("its first line is not name,label and columns", HOW)
    columns = tuple(rows[0][2:])
    names, labels, values = [], [], []
    for number, row in enumerate(rows[1:], start=2):
        if len(row) != len(rows[0]):
            raise BadData(f"line {number} has {len(row)} cells, not {len(rows[0])}", "mend the line")
        names.append(row[0])
        labels.append(row[1])
        values.append([_number(cell, number, column) for cell, column in zip(row[2:], columns, strict=True)])
    if not names:
        raise BadData("has no rows", HOW)
    return _table(place, names, labels, columns, torch.tensor(values, dtype=torch.float32))


def _number(cell: str, line: int, column: str) -> float:
    try:
        value = float(cell)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise BadData(f"line {line}: {column} is {cell!r}, not a number", "mend or remove the line")
    return value


def _to_safetensors(table: Table) -> bytes:
    catalogue = table.catalogue
    card = {
        "schema": SCHEMA,
        "names": catalogue.names,
        "labels": [catalogue.classes[label] for label in catalogue.labels],
        "columns": table.columns,
    }
    text = json.dumps(card, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return safetensors.torch.save({"features": table.values.contiguous()}, {METADATA_KEY: text})


def _from_safetensors(place: str, data: bytes) -> Table:
    tensors, metadata = tensorfiles.load(data)
    try:
        card = json.loads(metadata.get(METADATA_KEY, "null"))
    except (json.JSONDecodeError, RecursionError):
        card = None
    if not isinstance(card, dict) or card.get("schema") != SCHEMA or set(tensors) != {"features"}:
        raise BadData("not a feature table", HOW)
    texts = {key: decode(tuple[str, ...], card.get(key), path=key) for key in ("names", "labels", "columns")}
    values = tensors["features"].float()
    if not bool(torch.isfinite(values).all()):
        raise BadData("has features that are not finite", HOW)
    return _table(place, list(texts["names"]), list(texts["labels"]), texts["columns"], values)


def _table(
    place: str, names: list[str], labels: list[str], columns: tuple[str, ...], values: torch.Tensor
) -> Table:
    classes = sorted(set(labels))
    digest = hashlib.sha256("\0".join([*names, *labels, *columns]).encode())
    digest.update(values.contiguous().numpy().tobytes())
    catalogue = Catalogue(
        place=place,
        names=tuple(names),
        labels=tuple(classes.index(label) for label in labels),
        classes=tuple(classes),
        fingerprint=digest.hexdigest(),
    )
    return Table(catalogue, columns, values)
