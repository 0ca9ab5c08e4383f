import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emoprune.errors import BadData
from emoprune.io import csv_text
from emoprune.io.csv_text import is_missing, number


@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_number_rounds_to_float32(value: float) -> None:
    assert number(repr(value), line=2, column="x") == float(np.float32(value))


@pytest.mark.parametrize("cell", ["", "  ", "nan", "NaN", "NAN", " nan "])
def test_number_is_nan_for_a_missing_cell(cell: str) -> None:
    assert is_missing(cell)
    assert math.isnan(number(cell, line=2, column="x"))


@pytest.mark.parametrize("cell", ["high", "inf", "-Infinity", "1e39", "1,5", "NA", "-", "-nan", "#DIV/0!"])
def test_number_refuses_text_by_line_and_column(cell: str) -> None:
    assert not is_missing(cell)
    with pytest.raises(BadData) as caught:
        number(cell, line=7, column="lpq_2")
    assert caught.value.fact == f"line 7: lpq_2 is {cell!r}, not a number"


@pytest.mark.parametrize(
    ("line", "delimiter"),
    [("a,b", ","), ("a;b;c", ";"), ("a\tb", "\t"), ("a|b", "|"), ("a b", ""), ('3;"1,2,3"', ";"), ("", "")],
)
def test_delimiter_of_is_the_one_that_stands_outside_of_quotes(line: str, delimiter: str) -> None:
    assert csv_text.delimiter_of(line) == delimiter


def test_words_splits_lines_at_spaces() -> None:
    assert csv_text.words(b"a.jpg happy\n\nb.jpg   sad\r\n") == [
        (1, ["a.jpg", "happy"]),
        (2, []),
        (3, ["b.jpg", "sad"]),
    ]
