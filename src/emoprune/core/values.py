"""What a word of the command line stands for where it may be a number."""

from __future__ import annotations

import re


def number_or_text(text: str) -> int | float | str:
    """A number where the text is one in decimal notation, else the text."""
    if re.fullmatch(r"[+-]?[0-9]{1,18}", text):
        return int(text)
    if re.fullmatch(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?", text):
        return float(text)
    return text
