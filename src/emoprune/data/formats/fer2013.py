"""Pictures as FER-2013 was published: a CSV of emotion, pixels and, where it is split, Usage.

Others are read too: square pictures of any side, words or other numbers for labels, more columns, other
titles or none.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from PIL import Image

from emoprune import events
from emoprune.data.config import SplitConfig
from emoprune.data.formats.columns import NUMBER, PIXELS, Columns, means, plain, titled, untitled
from emoprune.data.formats.copies import warn_of_copies
from emoprune.data.formats.parts import note_spelling, part_named, spelled_parts
from emoprune.data.types import Catalog, PartOf
from emoprune.errors import BadData
from emoprune.io.content_hash import fingerprint
from emoprune.io.csv_text import ENCODING, ERRORS, LABEL, NAME

CLASSES = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
"""What its emotions 0 to 6 stand for."""

USAGES = ("Training", "PublicTest", "PrivateTest")
"""Its own words for parts, of which no note is made."""

LONGEST = 2**24
"""Bytes of a line, so that a file without line ends fits in memory."""

FEWEST = 16
"""Numbers in a cell without a title that are taken for pixels."""

BRIGHTNESS = {str(value): value for value in range(256)}
SEPARATORS = str.maketrans(",;[]()", "      ")
CORRECT = "correct or remove the line"


@dataclass(frozen=True, eq=False)
class Pixels:
    """Gray pictures in memory, `values` (samples, side, side) uint8, in the order of the catalog's names.

    `part` says what they are a part of, if they were opened as one.
    """

    catalog: Catalog
    values: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]
    split: SplitConfig = field(default_factory=SplitConfig)
    part: PartOf | None = None

    def picture(self, index: int) -> Image.Image:
        """The picture at an index, as RGB."""
        return self.gray(index).convert("RGB")

    def gray(self, index: int) -> Image.Image:
        """The same in gray."""
        return Image.fromarray(self.values[index])


def columns(first: Sequence[str], second: Sequence[str]) -> Columns | None:
    """The columns of such a CSV by the cells of its first two lines, None for another table.

    Raises BadData for pixels without labels.
    """
    named = [place for place, title in enumerate(first) if means(title, PIXELS)]
    single = [place for place, title in enumerate(first) if means(title, r"pixels?\d+")]
    # a feature may be called pixels too
    features = [plain(title) for title in first[:2]] == [NAME, LABEL]
    if (named or len(single) >= FEWEST) and not (features and not any(map(_are_pixels, second))):
        return titled(first, named[:1] or single)
    place = next((place for place, cell in enumerate(first) if _are_pixels(cell)), None)
    return None if place is None else untitled(first, [place])


def _are_pixels(cell: str) -> bool:
    numbers = cell.translate(SEPARATORS).split()
    return len(numbers) >= FEWEST and all(map(str.isdecimal, numbers))


def cells(line: bytes, delimiter: str) -> list[str]:
    """The cells of a line; a delimiter within quotes becomes a space."""
    # several times as fast as the csv module, which also limits the length of a cell
    pieces = line.decode(ENCODING, ERRORS).removeprefix("\ufeff").split('"')
    pieces[1::2] = [piece.replace(delimiter, " ") for piece in pieces[1::2]]
    return [cell.strip() for cell in "".join(pieces).split(delimiter)]


def read(place: str, lines: Iterable[tuple[int, bytes]], delimiter: str, found: Columns) -> Pixels:
    """The pictures on numbered lines, of which the first may hold titles, read one by one to save memory.

    They are named by part and row, such as train/00000, which gives their split; without parts by row.
    Raises BadData that names the line at fault.
    """
    names: list[str] = []
    usages, contents, values = set[str](), list[str](), bytearray()
    labels: dict[int, str] = {}
    width = count = 0
    for line, text in lines:
        row = cells(text, delimiter)
        width = width or len(row)
        if not any(row):
            continue
        if len(row) != width:
            raise BadData(f"line {line} has {len(row)} cells, not {width}", CORRECT)
        if found.titled and not labels and row[found.label] == found.label_title:
            continue
        part = ""
        if found.part is not None:
            usages.add(row[found.part])
            part = part_named(row[found.part], f"line {line}") + "/"
        names.append(f"{part}{len(names):05d}")
        labels[line] = row[found.label]
        picture = _picture(" ".join(row[cell] for cell in found.picture), line, count)
        count = len(picture)
        contents.append(hashlib.sha256(picture).hexdigest())
        values += picture
    if not labels:
        raise BadData("has no rows", "copy it again")
    spelled = spelled_parts(usages)
    note_spelling(place, {usage: part for usage, part in spelled.items() if usage not in USAGES})
    found.note_unused(place)
    classes = _classes(place, labels, found)
    warn_of_copies(place, contents, classes, kind="picture")
    print_ = fingerprint(zip(names, classes, contents, strict=True))
    catalog = Catalog.of(place, names, classes, print_, contents)
    side = math.isqrt(count)
    return Pixels(catalog, np.frombuffer(values, np.uint8).reshape(-1, side, side))


def _classes(place: str, labels: Mapping[int, str], found: Columns) -> list[str]:
    """Class names for labels by line: words as they are, 0 to 6 as in FER-2013, other numbers as numbers."""
    title = found.label_title
    numbers = {line: int(match[1]) for line, label in labels.items() if (match := NUMBER.fullmatch(label))}
    for line, label in labels.items():
        if line not in numbers and (numbers or not re.search(r"[^\W\d_]", label)):
            kind = "a number, as others are" if numbers else "a number or a word"
            raise BadData(f"line {line}: {title} is {_shown(label)}, not {kind}", CORRECT)
    if not numbers:
        return list(labels.values())
    unknown = next((line for line, number in numbers.items() if number >= len(CLASSES)), None)
    if unknown is not None:
        fact = f"line {unknown}: {title} is {numbers[unknown]}, and FER-2013 has 0 to {len(CLASSES) - 1}"
        remedy = "so classes are named by their numbers; words in their place name them"
        events.warn(f"{place}: {fact}, {remedy}")
        return [str(number) for number in numbers.values()]
    # with all seven under its own title, nothing is assumed
    if plain(title) != "emotion" or len(set(numbers.values())) < len(CLASSES):
        known = ", ".join(f"{number} {CLASSES[number]}" for number in sorted(set(numbers.values())))
        events.note(f"{place}: labels are read as FER-2013's: {known}")
    return [CLASSES[number] for number in numbers.values()]


def _picture(text: str, line: int, count: int) -> bytes:
    """The pixels of a picture, as many as `count`, if that is not 0; BadData for others."""
    found = text.translate(SEPARATORS).split()
    if not found or len(found) != (count or math.isqrt(len(found)) ** 2):
        wanted = str(count) if count else "a square number such as 2304"
        raise BadData(f"line {line} has {len(found)} pixels, not {wanted}", CORRECT)
    try:
        # by table: several times as fast as by int(), and strict
        return bytes(map(BRIGHTNESS.__getitem__, found))
    except KeyError as error:
        (wrong,) = error.args
        fact = f"line {line}: pixel {found.index(wrong) + 1} is {_shown(wrong)}"
        raise BadData(f"{fact}, not a whole number from 0 to 255", CORRECT) from None


def _shown(text: str) -> str:
    return repr(text if len(text) <= 20 else f"{text[:17]}...")
