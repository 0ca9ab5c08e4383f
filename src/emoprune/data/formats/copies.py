"""Samples that a data set holds more than once."""

from __future__ import annotations

from collections.abc import Hashable, Iterable

from emoprune import events
from emoprune.data.class_names import class_key


def warn_of_copies(place: str, contents: Iterable[Hashable], labels: Iterable[str], *, kind: str) -> None:
    """Warn of samples of a `kind` whose content others have too, and of those that have another label."""
    first: dict[Hashable, str] = {}
    copies = others = 0
    for content, label in zip(contents, labels, strict=True):
        key = class_key(label)
        copies += content in first
        others += first.setdefault(content, key) != key
    if copies:
        classes = f", {others:,} of them in another class" if others else ""
        events.warn(f"{place}: holds {events.counted(copies, kind)} more than once{classes}")
