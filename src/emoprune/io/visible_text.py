"""Foreign text for people to read: names of files, classes, layers and columns, and what libraries say."""

from __future__ import annotations

import re

UNSEEN = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]")
"""Control characters, breaks of lines, changes of direction, and what no encoding or XML file can hold."""

LONGEST = 200
"""Characters of a name."""

PROSE = 1200
"""Characters of a sentence with names in it; the names of all architectures fit."""


def visible(text: str, *, most: int | None = LONGEST) -> str:
    """`text` on one line: unseen characters escaped, as "\\x1b", and of more than `most` the middle cut out.

    A terminal shows it as it is; nothing in it moves the cursor, sets a color or turns the writing round.
    """
    # nearly all is; a search takes several times as long
    shown = text if text.isprintable() else UNSEEN.sub(_escape, text)
    if most is None or len(shown) <= most:
        return shown
    return f"{shown[: most // 2]}…{shown[-(most - most // 2 - 1) :]}"


BEGINS, ENDS = "\u2068", "\u2069"
"""Around a name in a sentence: the direction of its letters changes nothing outside."""


PAUSE = re.compile("[,;:.] ")
"""What parts a sentence, and makes the name it stands in look like more of one."""


def isolated(name: str) -> str:
    """A foreign name inside a sentence, between BEGINS and ENDS; `visible` leaves neither in a name.

    One that would look like more of the sentence stands in quotation marks.
    """
    shown = visible(name)
    return f"{BEGINS}“{shown}”{ENDS}" if PAUSE.search(shown) else f"{BEGINS}{shown}{ENDS}"


def without_isolates(text: str) -> str:
    """A sentence without the marks that `isolated` sets."""
    return text.replace(BEGINS, "").replace(ENDS, "")


def _escape(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode("ascii")
