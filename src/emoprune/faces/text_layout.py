"""Captions: on one line, no wider than their picture, without letters that a font lacks."""

from __future__ import annotations

import unicodedata
from functools import cache
from pathlib import Path

import matplotlib
from PIL import ImageFont

ELLIPSIS = "…"
MISSING = "\uffff"
"""No font has this letter."""


def caption(name: str, number: int, font: ImageFont.FreeTypeFont, width: float) -> str:
    """`name` cut in its middle to `width` pixels; letters that `font` lacks become an ellipsis.

    A name that lost letters begins with its `number`, as it may now equal others.
    """
    name = unicodedata.normalize("NFC", _bounded(name, width))
    shown = printable(name, font)
    if shown != name:
        shown = f"#{number} {shown}"
    return shortened(shown, font, width)


def printable(text: str, font: ImageFont.FreeTypeFont) -> str:
    """`text` with an ellipsis for every run that `font` cannot write.

    These are letters that it lacks, control characters, and scripts from right to left, which Pillow's basic
    layout writes backwards.
    """
    missing = bytes(font.getmask(MISSING))
    shown = ""
    for letter in unicodedata.normalize("NFC", text):
        if _is_printable(letter) and (letter.isspace() or bytes(font.getmask(letter)) != missing):
            shown += letter
        elif not shown.endswith(ELLIPSIS):
            shown += ELLIPSIS
    return shown


def _is_printable(letter: str) -> bool:
    other = unicodedata.category(letter) in ("Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp")
    return not other and unicodedata.bidirectional(letter) not in ("R", "AL")


def shortened(text: str, font: ImageFont.FreeTypeFont, width: float) -> str:
    """`text`, or as much of its beginning and end as fit into `width` pixels around an ellipsis."""
    if font.getlength(text) <= width:
        return text
    for kept in range(len(text) - 1, 0, -1):
        # two thirds for the end, in which names of one folder differ
        tail = -(-2 * kept // 3)
        shown = text[: kept - tail] + ELLIPSIS + text[-tail:]
        if font.getlength(shown) <= width:
            return shown
    return ELLIPSIS


def _bounded(text: str, width: float) -> str:
    """`text`, or what of its beginning and end could be seen on `width` pixels: no letter is narrower."""
    most = int(width)
    return text if len(text) <= most else text[: most // 3] + ELLIPSIS + text[most // 3 - most :]


def lines(text: str, font: ImageFont.FreeTypeFont, width: float, *, most: int) -> list[str]:
    """`text` in at most `most` lines of at most `width` pixels, broken between words; the last is cut."""
    words, found = printable(_bounded(text, most * width), font).split(), [""]
    for index, word in enumerate(words):
        longer = f"{found[-1]} {word}".strip()
        if not found[-1] or font.getlength(longer) <= width:
            found[-1] = longer
        elif len(found) < most:
            found.append(word)
        else:
            found[-1] = " ".join([found[-1], *words[index:]])
            break
    return [shortened(line, font, width) for line in found]


@cache
def font_of(height: int) -> ImageFont.FreeTypeFont:
    """DejaVu Sans at `height` pixels: Latin, Greek, Cyrillic and their neighbors; Pillow's own has ASCII."""
    path = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
    # the other engine needs libraries that a machine may lack; the sheet must be the same everywhere
    return ImageFont.truetype(str(path), height, layout_engine=ImageFont.Layout.BASIC)
