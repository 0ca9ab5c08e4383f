"""Columns of tables by their titles: which holds the picture, its label, its part."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from textwrap import shorten

from emoprune import events
from emoprune.data.formats.parts import part_of
from emoprune.errors import BadData
from emoprune.io.pictures.images import readable_suffixes
from emoprune.io.pictures.picture_formats import unread_suffix

PATHS = r"(image|img|picture|photo|file|face)s?(file)?(name|path)?s?|paths?|names?|pth|subdirectoryfilepath"
LABELS = r"(emotion|expression|class)?labels?|emotions?|expressions?|class(es|names?)?|category|target"
PARTS = r"usage|split|part|subset|set|partition"
PIXELS = r"(image)?pixels?(values?)?"
INDICES = r"(unnamed0|index|row|rowid|id|no|number)?"
"""Titles without spaces and signs, in lower case, as regular expressions."""

NUMBER = re.compile(r"(\d{1,4})(\.0*)?")
"""A label that is a number; some programs write 3 as 3.0."""

LONGEST = 40
"""Characters of a title in a message."""

WRITE_LABELS = "add a column label"


@dataclass(frozen=True)
class Columns:
    """Where in a row the label, its part if any, and the picture are: its path, or the cells of its pixels.

    `titled` says whether the first line holds titles; `label_title` is that of the label, or "label".
    """

    label: int
    part: int | None
    picture: tuple[int, ...]
    titled: bool
    label_title: str = "label"
    unused: tuple[str, ...] = ()

    def note_unused(self, place: str) -> None:
        """Note the columns that nobody reads."""
        if self.unused:
            events.note(
                f"{place}: does not use {events.counted(len(self.unused), 'column')}: {listed(self.unused)}"
            )


def plain(title: str) -> str:
    """A title without what distinguishes Image Name from image_name."""
    return re.sub(r"[\W_]", "", title.lower())


def plain_numbers(labels: list[str]) -> list[str]:
    """Labels with 3 for 3.0, if all of them are numbers."""
    numbers = [NUMBER.fullmatch(label) for label in labels]
    return [str(int(number[1])) for number in numbers if number] if all(numbers) else labels


def listed(titles: Sequence[str]) -> str:
    """The first titles, for a message."""
    # a title may have lines
    shown = [shorten(title, LONGEST, placeholder="...") or "(no title)" for title in titles[:6]]
    return ", ".join(shown) + (", ..." if len(titles) > 6 else "")


def means(title: str, words: str) -> bool:
    """Whether a title is one of these words, such as PATHS."""
    return re.fullmatch(words, plain(title)) is not None


def _first(titles: Sequence[str], words: str) -> int | None:
    return next((place for place, title in enumerate(titles) if means(title, words)), None)


def titled(first: Sequence[str], picture: Sequence[int]) -> Columns:
    """The columns of a table whose first line has titles; BadData where none is a label's."""
    label, part = _first(first, LABELS), _first(first, PARTS)
    if label is None:
        raise BadData(f"has no label column (its columns are {listed(first)})", WRITE_LABELS)
    used = {label, part, *picture}
    unused = [title for place, title in enumerate(first) if place not in used and not means(title, INDICES)]
    return Columns(label, part, tuple(picture), True, first[label].strip(), tuple(unused))


def untitled(first: Sequence[str], picture: Sequence[int]) -> Columns:
    """The columns of a table without titles, by its first line; BadData where the label is not clear."""
    others = [place for place in range(len(first)) if place not in picture]
    part = next((place for place in others if part_of(first[place])), None)
    labels = [place for place in others if place != part]
    if not labels:
        raise BadData("has no label column, and no titles", WRITE_LABELS)
    if len(labels) > 1:
        fact = f"has no titles, and {len(labels)} of its columns may be the label"
        raise BadData(fact, "write titles into a first line, one of them label")
    return Columns(labels[0], part, tuple(picture), False)


def of_pictures(first: Sequence[str]) -> Columns | None:
    """The columns of a list of pictures by its first line, None for another table.

    Raises BadData for paths without labels.
    """
    path = _first(first, PATHS)
    if path is not None and not is_picture(first[path]):
        return titled(first, [path])
    named = next((place for place, cell in enumerate(first) if is_picture(cell)), None)
    return None if named is None else untitled(first, [named])


def is_picture(cell: str) -> bool:
    """Whether a cell ends as the name of a picture."""
    suffix = re.search(r"\.[^./\\]*$", cell.strip().lower())
    return suffix is not None and bool(suffix[0] in readable_suffixes() or unread_suffix(suffix[0]))
