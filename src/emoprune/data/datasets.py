"""Data sets from disk: folders and lists of pictures, CSVs of pixels, and feature tables."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import IO

from emoprune.choices import SplitBy
from emoprune.data.config import SplitConfig
from emoprune.data.formats import columns, feature_tables, fer2013, image_lists
from emoprune.data.formats.fer2013 import Pixels
from emoprune.data.formats.image_folders import Folder, open_folder
from emoprune.data.formats.parts import declared_parts, located, part_of
from emoprune.data.types import Catalog, PartOf, Table
from emoprune.errors import BadData, at
from emoprune.io import csv_text
from emoprune.io.content_hash import fingerprint
from emoprune.io.csv_text import Row
from emoprune.io.file_kinds import check_kind
from emoprune.io.files import STANDARD, read_bytes, read_stream, reading, shown

NEITHER = "give a folder, or a table headed name,label,... or path,label or emotion,pixels"

MOST_TITLES = 2**20
"""Bytes of a header that goes on over several lines."""

Faces = Folder | Pixels
Data = Faces | Table


def open_data(
    path: str | Path,
    *,
    split: str | None = None,
    group_by: str | None = None,
    split_by: SplitBy | None = None,
    split_file: str | None = None,
) -> Data:
    """The data set at `path`; "-" reads text from standard input.

    A folder of pictures by class, a list of their paths and labels, pictures as FER-2013's CSV has them, or a
    feature table (.csv, .st, .xlsx). Of data that come in parts `faces/:val` is one part alone. The result
    remembers `split` ("75/10/15", or counts), `split_file`, `group_by` and `split_by` for training.
    """
    place, part = located(str(path))
    data = _open(place)
    if part is not None:
        data = _part(data, part, place=place)
    asked = SplitConfig(split=split, group_by=group_by, split_by=split_by, split_file=split_file)
    return replace(data, split=asked)


def _part(data: Data, asked: str, *, place: str) -> Data:
    """One part of data that come in parts, as data that are not split; BadData where it is not there."""
    catalog, name = data.catalog, part_of(asked)
    parts = declared_parts(catalog.names)
    if parts is None:
        fact = f"is not split into parts, and {asked} is asked for"
        raise BadData(fact, f"leave out :{asked}", place=catalog.place)
    if name is None or name not in parts:
        known = ", ".join(f"{place}:{part}" for part in parts)
        raise BadData(f"has no part {asked or repr(asked)}", f"its parts are {known}", place=catalog.place)
    indices, place = parts[name], f"{catalog.place}:{asked}"
    names = [catalog.names[index].partition("/")[2] for index in indices]
    labels = [catalog.classes[catalog.labels[index]] for index in indices]
    part = PartOf(name, catalog, indices)
    if isinstance(data, Table):
        made = feature_tables.table_of(place, names, labels, data.columns, data.values[list(indices)])
        return replace(made, part=part)
    contents = [catalog.contents[index] for index in indices]
    print_ = fingerprint(zip(names, labels, contents, strict=True))
    alone = Catalog.of(place, names, labels, print_, contents)
    if isinstance(data, Folder):
        return replace(data, catalog=alone, paths=tuple(data.paths[index] for index in indices), part=part)
    return replace(data, catalog=alone, values=data.values[list(indices)], part=part)


def _open(place: str) -> Data:
    if os.path.isdir(place):
        return open_folder(place)
    suffix = Path(place).suffix.lower()
    if place != STANDARD and not os.path.exists(place):
        raise BadData("no such folder or file", "check the name", place=place)
    with at(shown(place)):
        if suffix == ".st":
            data = read_bytes(place)
            check_kind(data, "a feature table", remedy=NEITHER, takes=["a safetensors file"])
            return feature_tables.from_safetensors(place, data)
        if suffix == ".xlsx":
            data = read_bytes(place)
            check_kind(data, "an .xlsx workbook", remedy=NEITHER, takes=["a zip archive"])
            return _from_rows(place, feature_tables.parse(data, place=shown(place)))
        # pixels are read line by line to save memory, and standard input is read once
        with reading(place) as stream:
            return _from_text(place, stream)


def _from_text(place: str, stream: IO[bytes]) -> Data:
    """The data set in lines of text, told by the first of them."""
    lines = enumerate(iter(partial(stream.readline, fer2013.LONGEST), b""), 1)
    number, first = next(((number, line) for number, line in lines if line.strip()), (0, b""))
    if not first:
        raise BadData("the file is empty", "copy it again")
    if first.count(b'"') % 2:
        # a title in quotes goes on in the next lines
        first += b"".join(_until_quote(line for _, line in lines))
    start = [(number, first), *islice(lines, 1)]
    check_kind(b"".join(line for _, line in start), "a table or a list of pictures", remedy=NEITHER)
    if b"\0" in first:
        raise BadData("not text (it has zero bytes)", NEITHER)
    if b"\r" in re.sub(rb'"[^"]*"', b"", first).rstrip():
        raise BadData("its lines end with carriage returns alone", "save it with line feeds")
    text = first.decode(csv_text.ENCODING, csv_text.ERRORS).removeprefix("\ufeff")
    delimiter = csv_text.delimiter_of(text)
    if found := fer2013.columns(*(fer2013.cells(line, delimiter or ",") for _, line in (start * 2)[:2])):
        return fer2013.read(shown(place), chain(start, lines), delimiter or ",", found)
    data = b"\n" * (number - 1) + b"".join(line for _, line in start) + read_stream(stream, place)
    if delimiter:
        return _from_rows(place, list(csv_text.parse(data, delimiter)))
    return _from_rows(place, image_lists.joined(place, csv_text.words(data)))


def _until_quote(lines: Iterable[bytes]) -> Iterator[bytes]:
    """Lines up to the one that closes a quoted cell, but no more than titles take."""
    size = 0
    for line in lines:
        yield line
        size += len(line)
        if line.count(b'"') % 2 or size > MOST_TITLES:
            return


def _from_rows(place: str, rows: list[Row]) -> Data:
    # spreadsheets write empty rows
    rows = [(line, row) for line, row in rows if any(cell.strip() for cell in row)]
    if not rows:
        raise BadData("has no rows", "copy it again")
    header = rows[0][1]
    for line, row in rows:
        if len(row) != len(header):
            raise BadData(f"line {line} has {len(row)} cells, not {len(header)}", "correct the line")
    if table := feature_tables.as_table(rows):
        return feature_tables.from_rows(shown(place), table)
    if found := columns.of_pictures(header):
        return image_lists.read(place, rows, found)
    raise BadData(f"its first line is {columns.listed(header)}: not titles", NEITHER)
