import pytest

from emoprune.errors import InvalidRecord
from emoprune.reporting.types import BarChart


def test_bar_chart_needs_a_bar_per_series_and_category() -> None:
    for bars in (((None,),), ((None, None),) * 3, ()):
        with pytest.raises(InvalidRecord):
            BarChart("x", "", "accuracy", ("a", "b"), ("u", "v"), bars)
