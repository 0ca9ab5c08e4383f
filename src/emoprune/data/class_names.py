"""Names of classes, compared as people spell them."""

from __future__ import annotations

import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence

from emoprune import events
from emoprune.errors import BadData

SPELLINGS: dict[str, tuple[str, ...]] = {
    "angry": ("anger",),
    "contempt": ("contemptuous",),
    "disgust": ("disgusted",),
    "fear": ("fearful", "afraid", "scared"),
    "happy": ("happiness", "joy"),
    "neutral": ("neutrality",),
    "sad": ("sadness",),
    "surprise": ("surprised",),
}
"""Expressions, and what data sets and models also call them."""

SAME = {other: name for name, others in SPELLINGS.items() for other in others}


def class_key(name: str) -> str:
    """What two spellings of one class have in common.

    Accents may be composed or not, letters large or small, and spaces may stand around the name.
    """
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name.strip()).casefold())


def _expression(name: str) -> str:
    """The key of a class, under the usual name of its expression."""
    key = class_key(name)
    return SAME.get(key, key)


def one_spelling(place: str, labels: Iterable[str]) -> Mapping[str, str]:
    """The class of every label: of several spellings the most frequent one, composed; a note tells them.

    Raises BadData for a name that is not UTF-8, as none of the files that we write could hold it.
    """
    counts = Counter(labels)
    spellings = defaultdict[str, list[str]](list)
    for label in sorted(counts):
        if not _is_text(label):
            raise BadData(f"the name of class {label!a} is not UTF-8", "rename it", place=place)
        spellings[class_key(label)].append(label)
    found = {}
    for same in spellings.values():
        name = unicodedata.normalize("NFC", max(same, key=counts.__getitem__).strip())
        found.update(dict.fromkeys(same, name))
        if len(same) > 1:
            events.note(f"{place}: {', '.join(map(ascii, same))} are one class, {name}")
    return found


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def places(wanted: Sequence[str], known: Sequence[str]) -> tuple[int | None, ...]:
    """Where each of the `wanted` names is among the `known`; None for one that is not there.

    The same text comes first. Other spellings match where only one is left on each side.
    """
    exact = _single(known)
    taken = {exact[name] for name in wanted if name in exact}
    ours = _single([None if name in exact else _expression(name) for name in wanted])
    theirs = _single([None if index in taken else _expression(name) for index, name in enumerate(known)])
    spelled = {name: theirs.get(name) for name in ours}
    return tuple(exact.get(name, spelled.get(_expression(name))) for name in wanted)


def _single(names: Sequence[str | None]) -> dict[str | None, int]:
    """The places of the names that occur once."""
    counts = Counter(names)
    return {name: index for index, name in enumerate(names) if counts[name] == 1}


def respelled(wanted: Sequence[str], known: Sequence[str]) -> str:
    """The pairs that `places` matches though their texts differ, for a message: "anger as angry"."""
    pairs = zip(wanted, places(wanted, known), strict=True)
    return ", ".join(f"{known[i]} as {name}" for name, i in pairs if i is not None and known[i] != name)
