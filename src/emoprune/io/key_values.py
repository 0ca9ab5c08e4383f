"""Words of the command line as numbers, texts, or keys with values."""

from __future__ import annotations

import re
from collections.abc import Iterable

from emoprune.errors import UsageFault


def number_or_text(text: str) -> int | float | str:
    """The number that the text writes in decimal notation, or the text."""
    if re.fullmatch(r"[+-]?[0-9]{1,18}", text):
        return int(text)
    if re.fullmatch(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?", text):
        return float(text)
    return text


def keyed(option: str, texts: Iterable[str], *, empty: bool = False) -> dict[str, str]:
    """Values by key from `texts`, each KEY=VALUE after an `option` that may be repeated.

    Raises UsageFault for a key given twice, and for a text without a value unless `empty` allows it.
    """
    found: dict[str, str] = {}
    for text in texts:
        key, given, value = text.partition("=")
        if not given or not (value or empty):
            raise UsageFault(f"{option} {text} has no value", "give KEY=VALUE")
        if key in found:
            raise UsageFault(f"{option} {key} is given twice", "give it once")
        found[key] = value
    return found
