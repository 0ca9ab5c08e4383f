"""How data sets spell their parts: Training, valid, TEST_SET."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache

from emoprune import events
from emoprune.choices import PARTS
from emoprune.errors import BadData
from emoprune.io.files import STANDARD

Parts = Mapping[str, tuple[int, ...]]
"""Indices of samples by part."""

WORDS = {
    **dict.fromkeys(("train", "training", "trn"), "train"),
    **dict.fromkeys(("val", "valid", "validate", "validation", "dev", "development"), "val"),
    **dict.fromkeys(("test", "testing", "tst", "eval", "evaluation"), "test"),
}
"""As in Hugging Face's data sets, where eval is a test part too."""

FER2013 = {"publictest": "val", "privatetest": "test"}
"""FER-2013's own words: of its two test parts the public one is for validation."""

FILLERS = r"(data)?(set|split|part|folder|dir)?|(image|img|picture|photo|face|crop)s?|cropped|aligned|\d+"
HOW = "name them train, val and test"


@lru_cache(maxsize=1024)
def part_of(name: str) -> str | None:
    """The part that a folder or cell of this name means, None for other names."""
    # TrainSet is two words, and so may be TRAINset
    return _of_words(re.findall(r"[A-Z]?[a-z]+|[^\W\da-z_]+|\d+", name)) or _of_words(
        re.findall(r"[^\W\d_]+|\d+", name)
    )


def _of_words(words: list[str]) -> str | None:
    words = [word.lower() for word in words]
    if part := FER2013.get("".join(words)):
        return part
    found = {part for word in words if (part := _part(word))}
    others = [word for word in words if not _part(word) and not re.fullmatch(FILLERS, word)]
    return found.pop() if len(found) == 1 and not others else None


def _part(word: str) -> str | None:
    return next((part for start, part in WORDS.items() if re.fullmatch(f"{start}({FILLERS})", word)), None)


def part_named(cell: str, where: str) -> str:
    """The part that a cell names; BadData for another word."""
    part = part_of(cell)
    if part is None:
        raise BadData(f"{where}: {cell[:20]!r} is not train, val or test", "correct it, or rename the column")
    return part


def spelled_parts(names: Iterable[str]) -> dict[str, str]:
    """The part of each name that means one; BadData where two names mean the same."""
    found = {name: part for name in names if (part := part_of(name))}
    for part in PARTS:
        same = sorted(name for name in found if found[name] == part)
        if len(same) > 1:
            raise BadData(f"has {same[0]} and {same[1]}, and both mean {part}", f"join them, or {HOW}")
    return found


def declared_parts(names: Sequence[str]) -> Parts | None:
    """Indices by part where every name begins with a folder such as train/, val/ or test/, else None."""
    tops = [part_of(name.split("/", 1)[0]) if "/" in name else None for name in names]
    if not tops or None in tops:
        return None
    return {part: tuple(i for i, top in enumerate(tops) if top == part) for part in PARTS if part in tops}


def located(place: str) -> tuple[str, str | None]:
    """The path in `faces/:val`, and the part that is asked for; a path that exists has none."""
    path, colon, part = place.rpartition(":")
    if not colon or os.path.lexists(place) or not (path == STANDARD or os.path.exists(path)):
        return place, None
    return path, part


def note_spelling(place: str, spelled: dict[str, str]) -> None:
    """Note what is read as which part, where it is not its own name."""
    foreign = sorted((PARTS.index(part), name) for name, part in spelled.items() if name != part)
    if foreign:
        events.note(f"{place}: reads {', '.join(f'{name} as {PARTS[part]}' for part, name in foreign)}")
