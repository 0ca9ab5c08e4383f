import pytest

from emoprune.errors import InvalidRecord
from emoprune.reporting.types import BarChart, Estimate


@pytest.mark.parametrize(
    ("n", "low", "high"), [(0, None, None), (1, 0.1, 0.2), (2, None, None), (2, 0.1, None)]
)
def test_estimate_has_an_interval_only_for_several_runs(
    n: int, low: float | None, high: float | None
) -> None:
    with pytest.raises(InvalidRecord):
        Estimate(n, 0.15, low, high)


def test_bar_chart_needs_a_bar_per_series_and_category() -> None:
    for bars in (((None,),), ((None, None),) * 3, ()):
        with pytest.raises(InvalidRecord):
            BarChart("x", "", "accuracy", ("a", "b"), ("u", "v"), bars)
