"""Class names that are written in several ways."""

from __future__ import annotations

import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping

from emoprune import events
from emoprune.errors import BadData


def class_key(name: str) -> str:
    """What two spellings of one class have in common.

    Accents may be composed or not, letters large or small, and spaces may stand around the name.
    """
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name.strip()).casefold())


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
