"""Words that are numbers, and words that only look like it."""

import pytest

from emoprune.core.values import number_or_text


@pytest.mark.parametrize(
    ("text", "value"), [("20", 20), ("-3", -3), ("1e-3", 0.001), (".5", 0.5), ("2.", 2.0), ("+1.5E2", 150.0)]
)
def test_decimal_notation_is_a_number(text: str, value: float) -> None:
    assert number_or_text(text) == value
    assert type(number_or_text(text)) is type(value)


@pytest.mark.parametrize("text", ["", "nan", "inf", "1_000", "0x10", "1e", "e1", "1 ", "20+20", "٣"])
def test_anything_else_stays_text(text: str) -> None:
    assert number_or_text(text) == text
