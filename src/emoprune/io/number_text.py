"""Numbers for people to read."""

from __future__ import annotations

NOT_ZERO = frozenset("123456789")


def number_text(value: float, form: str) -> str:
    """A finite number in a format as ".1f" or "+.1%"; one that is rounded to zero has no sign."""
    text = f"{value:{form}}"
    return text if NOT_ZERO.intersection(text) else text.lstrip("+-")
