"""Lists of pictures: on each line a path and a label, and where there is one the part."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from emoprune import events
from emoprune.data.formats.columns import NUMBER, Columns, is_picture, plain_numbers
from emoprune.data.formats.image_folders import Folder, image_set
from emoprune.data.formats.parts import note_spelling, part_named, part_of, spelled_parts
from emoprune.errors import BadData
from emoprune.io.csv_text import Row, is_missing
from emoprune.io.files import STANDARD, shown
from emoprune.io.pictures.image_files import readable


def joined(place: str, rows: Sequence[Row]) -> list[Row]:
    """Rows of words, with the spaces in paths as in that of the first picture, which lies on the disk."""
    pictures = ((row, last) for _, row in rows for last in reversed(range(len(row))) if is_picture(row[last]))
    row, last = next(pictures, ([], 0))
    if not row:
        return list(rows)
    behind = len(row) - last - 1
    ways = (start for start in range(last + 1) if _lies(place, " ".join(row[start : last + 1])))
    before = next(ways, 0 if behind else last)
    found = []
    for line, words in rows:
        end = len(words) - behind
        long = before < end - 1
        found.append((line, [*words[:before], " ".join(words[before:end]), *words[end:]] if long else words))
    return found


def read(place: str, rows: Sequence[Row], columns: Columns) -> Folder:
    """The pictures on these rows of a list, in their order.

    Paths count from the folder of the list. Names are paths from the folder that holds all pictures, after
    their part if the list has parts. Raises BadData for a line without a label, and for missing pictures.
    """
    samples = rows[1:] if columns.titled else rows
    texts, labels, parts = [], [], []
    for line, row in samples:
        label = row[columns.label].strip()
        if is_missing(label):
            raise BadData(f"line {line} has no label", "write one, or remove the line")
        labels.append(label)
        texts.append(row[columns.picture[0]].strip())
        if columns.part is not None:
            parts.append(part_named(row[columns.part].strip(), f"line {line}"))
    if not labels:
        raise BadData("lists no pictures", "copy it again")
    paths = _found(place, texts)
    names = _names(paths)
    if parts:
        note_spelling(shown(place), spelled_parts({row[columns.part or 0].strip() for _, row in samples}))
        names = [f"{part}/{name}" for part, name in zip(parts, names, strict=True)]
    elif all(part_of(name.partition("/")[0]) for name in names):
        note_spelling(shown(place), spelled_parts({name.partition("/")[0] for name in names}))
    columns.note_unused(shown(place))
    with readable():
        return image_set(shown(place), names, named_labels(shown(place), labels), list(map(Path, paths)))


def named_labels(place: str, labels: list[str]) -> list[str]:
    """Labels as class names; a note says where they are numbers."""
    if all(map(NUMBER.fullmatch, labels)):
        labels = plain_numbers(labels)
        ways = ", ".join(sorted(set(labels), key=int))
        events.note(f"{place}: classes are named by their numbers {ways}; write words to name them")
    return labels


def _folder(place: str) -> str:
    return "" if place == STANDARD else os.path.dirname(place)


def _lies(place: str, text: str) -> bool:
    """Whether a list may mean a picture on the disk by this text, as one from Windows writes it or not."""
    return any(os.path.lexists(os.path.join(_folder(place), way)) for way in (text, text.replace("\\", "/")))


def _found(place: str, texts: Sequence[str]) -> list[str]:
    """The path of each picture from here; BadData where some are not there."""
    folder, lacking = _folder(place), list[str]()
    # the second way is for lists from Windows
    for way in (texts, [text.replace("\\", "/") for text in texts]):
        paths = [os.path.normpath(os.path.join(folder, text)) for text in way]
        gone = [text for text, path in zip(way, paths, strict=True) if not os.path.lexists(path)]
        if not gone:
            return paths
        lacking = lacking or gone
    fact = f"{len(lacking):,} of its {len(texts):,} pictures are not there, {lacking[0]} the first"
    raise BadData(fact, f"paths count from {folder or 'this folder'}: correct them, or move the list")


def _names(paths: Sequence[str]) -> list[str]:
    """Paths from the folder that holds all of them, with forward slashes."""
    whole = [os.path.abspath(path) for path in paths]
    top = os.path.commonpath([os.path.dirname(path) for path in whole])
    return [os.path.relpath(path, top).replace(os.sep, "/") for path in whole]
