"""Files that say which part each sample of a data set is in: CSV titled name,part."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from itertools import groupby

from emoprune import events
from emoprune.choices import PARTS
from emoprune.data.formats.columns import listed
from emoprune.data.formats.parts import Parts, part_named
from emoprune.data.types import Catalog
from emoprune.errors import BadData, InvalidRecord, at
from emoprune.io import csv_text
from emoprune.io.csv_text import NAME
from emoprune.io.file_kinds import check_kind
from emoprune.io.files import read_bytes, shown

PART = "part"
HOW = f"give a CSV titled {NAME},{PART}, with a line for each sample"
LETTERS = dict(zip(PARTS, "tve", strict=True))
"""Of train, val and eval, in which a checkpoint keeps parts."""


def to_bytes(catalog: Catalog, parts: Parts) -> bytes:
    """The part of every sample as CSV, in the order of the data; BadData for names that are there twice."""
    check_names(catalog)
    part_of = {index: part for part, indices in parts.items() for index in indices}
    rows = ((name, part_of[index]) for index, name in enumerate(catalog.names))
    return csv_text.to_bytes([(NAME, PART), *rows])


def read(path: str, catalog: Catalog) -> Parts:
    """The parts that a file gives the samples of a data set, each by its name there.

    Raises BadData for another file, for names that are unknown, missing or there twice, and without train.
    """
    data = read_bytes(path)
    check_names(catalog)
    with at(shown(path)):
        check_kind(data, "a split file", remedy=HOW)
        part_of = _part_of(data)
        places = {name: index for index, name in enumerate(catalog.names)}
        unknown = [name for name in part_of if name not in places]
        if unknown:
            fact = (
                f"names {_counted(unknown)} that {_not(unknown)} in {catalog.place}, {unknown[0]} the first"
            )
            raise BadData(fact, "remove them, or give the data that it is of")
        missing = [name for name in catalog.names if name not in part_of]
        if missing:
            fact = f"lacks {len(missing):,} of the {len(places):,} samples of {catalog.place}"
            raise BadData(f"{fact}, {missing[0]} the first", HOW)
        parts = [part_of[name] for name in catalog.names]
        found = {part: tuple(i for i, each in enumerate(parts) if each == part) for part in PARTS}
        if not found["train"]:
            raise BadData("has no train part", "name the part of some samples train")
        return {part: indices for part, indices in found.items() if indices}


def check_names(catalog: Catalog) -> None:
    """Raise BadData for samples of one name, which a split file cannot tell apart."""
    twice = [name for name, count in Counter(catalog.names).items() if count > 1]
    if twice:
        fact = f"holds {_counted(twice)} more than once, {twice[0]} the first"
        raise BadData(fact, "give each its own: a split file says parts by name", place=catalog.place)


def _part_of(data: bytes) -> dict[str, str]:
    """The part of each name in a file; BadData for one without titles, and for names that are there twice."""
    first = data.partition(b"\n")[0].decode(csv_text.ENCODING, csv_text.ERRORS)
    rows = [
        row
        for row in csv_text.parse(data, csv_text.delimiter_of(first) or ",")
        if any(map(str.strip, row[1]))
    ]
    titles = [title.strip().lower() for title in rows[0][1]] if rows else []
    if titles.count(NAME) != 1 or titles.count(PART) != 1:
        raise BadData(f"its first line is {listed(titles) or 'empty'}, not {NAME},{PART}", HOW)
    name_at, part_at = titles.index(NAME), titles.index(PART)
    found, twice = dict[str, str](), list[str]()
    for line, row in rows[1:]:
        if len(row) != len(titles):
            raise BadData(f"line {line} has {len(row)} cells, not {len(titles)}", "correct the line")
        name = row[name_at]
        if name in found:
            twice.append(name)
        found[name] = part_named(row[part_at].strip(), f"line {line}")
    if twice:
        fact = f"names {events.counted(len(set(twice)), 'sample')} more than once, {twice[0]} the first"
        raise BadData(fact, "keep one line of each")
    return found


def _counted(names: Sequence[str]) -> str:
    return events.counted(len(names), "name")


def _not(names: Sequence[str]) -> str:
    return "is not" if len(names) == 1 else "are not"


def packed(parts: Parts) -> str:
    """The part of each sample as a letter, with a number for several in a row: t12v3et."""
    letters = {index: LETTERS[part] for part, indices in parts.items() for index in indices}
    runs = ((letter, sum(1 for _ in run)) for letter, run in groupby(letters[i] for i in sorted(letters)))
    return "".join(letter + (str(length) if length > 1 else "") for letter, length in runs)


def unpacked(text: str, count: int) -> Parts:
    """The parts of `count` samples; InvalidRecord for a text of another number of them."""
    runs = [(letter, int(length or 1)) for letter, length in re.findall(r"([tve])(\d*)", text)]
    # compared before anything of that size is made
    if sum(length for _, length in runs) != count:
        raise InvalidRecord(f"its split is not of the {count:,} samples that there are", "train again")
    parts: dict[str, list[int]] = {part: [] for part in PARTS}
    names, start = {letter: part for part, letter in LETTERS.items()}, 0
    for letter, length in runs:
        parts[names[letter]] += range(start, start + length)
        start += length
    return {part: tuple(indices) for part, indices in parts.items() if indices}
