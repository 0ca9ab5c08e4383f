import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emoprune.errors import InvalidRecord
from emoprune.faces.types import Box

FINITE = st.floats(-1e6, 1e6)


@given(FINITE, FINITE, FINITE, FINITE)
@settings(max_examples=60, deadline=None)
def test_box_refuses_an_empty_area(x1: float, y1: float, x2: float, y2: float) -> None:
    if x1 < x2 and y1 < y2:
        box = Box(x1, y1, x2, y2)
        assert box.area == (x2 - x1) * (y2 - y1)
        assert box.center == ((x1 + x2) / 2, (y1 + y2) / 2)
    else:
        with pytest.raises(InvalidRecord, match="has no area"):
            Box(x1, y1, x2, y2)


@pytest.mark.parametrize("place", range(4))
def test_box_refuses_nan(place: int) -> None:
    sides = [0.0, 0.0, 1.0, 1.0]
    sides[place] = math.nan
    with pytest.raises(InvalidRecord):
        Box(*sides)
