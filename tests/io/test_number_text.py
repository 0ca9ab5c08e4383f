"""Numbers for people to read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emoprune.io.number_text import number_text


@pytest.mark.parametrize(
    ("value", "form", "text"),
    [
        *((-0.0, ".3f", "0.000"), (-0.0004, ".3f", "0.000"), (-0.04, "+.1f", "0.0"), (0.0, "+.1%", "0.0%")),
        *((0.04, "+.1f", "0.0"), (-0.05001, "+.1f", "-0.1"), (0.06, "+.1f", "+0.1"), (-0.0, ".4g", "0")),
        *((-1e-9, ".4g", "-1e-09"), (-0.4, ",.0f", "0"), (-1234.0, ",.0f", "-1,234"), (10.0, "+.0f", "+10")),
    ],
)
def test_number_text_of_zero_has_no_sign(value: float, form: str, text: str) -> None:
    assert number_text(value, form) == text


@given(st.floats(-1e6, 1e6), st.sampled_from([".1f", "+.1f", ".3f", "+.1%", ".4g", ",.0f"]))
def test_number_text_is_the_number_as_python_writes_it(value: float, form: str) -> None:
    text, plain = number_text(value, form), f"{value:{form}}"
    assert text == plain or (text == plain[1:] and not text.strip("0.,%"))
