"""Names of classes, compared as people spell them."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Sequence

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


def compared(name: str) -> str:
    """What two spellings of one class have in common: composed letters, no case, the usual expression."""
    folded = unicodedata.normalize("NFC", unicodedata.normalize("NFC", name.strip()).casefold())
    return SAME.get(folded, folded)


def places(wanted: Sequence[str], known: Sequence[str]) -> tuple[int | None, ...]:
    """Where each of the `wanted` names is among the `known`; None for one that is not there.

    The same text comes first. Other spellings match where only one is left on each side.
    """
    exact = _single(known)
    taken = {exact[name] for name in wanted if name in exact}
    ours = _single([None if name in exact else compared(name) for name in wanted])
    theirs = _single([None if index in taken else compared(name) for index, name in enumerate(known)])
    spelled = {name: theirs.get(name) for name in ours}
    return tuple(exact.get(name, spelled.get(compared(name))) for name in wanted)


def _single(names: Sequence[str | None]) -> dict[str | None, int]:
    """The places of the names that occur once."""
    counts = Counter(names)
    return {name: index for index, name in enumerate(names) if counts[name] == 1}


def respelled(wanted: Sequence[str], known: Sequence[str]) -> str:
    """The pairs that `places` matches though their texts differ, for a message: "anger as angry"."""
    pairs = zip(wanted, places(wanted, known), strict=True)
    return ", ".join(f"{known[i]} as {name}" for name, i in pairs if i is not None and known[i] != name)
