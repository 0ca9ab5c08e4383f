"""Means and names as cells."""

from __future__ import annotations

from emoprune.reporting.tables import SHARE, Unit, bounds, from_rows, told_apart
from emoprune.reporting.types import Estimate


def test_a_mean_is_written_with_the_reach_of_its_interval_and_alone_without_one() -> None:
    several = Estimate(3, 0.6, 0.352, 0.848)
    assert SHARE.estimate(several) == "60.0 ± 24.8%"
    assert Unit(".2f", sign="°").estimate(Estimate(2, 12.5, 12.0, 13.0)) == "12.50 ± 0.50°"
    assert SHARE.estimate(Estimate(1, 0.6)) == "60.0%"
    assert SHARE.estimate(None) is None
    assert bounds("loss", several) == {"loss_low": 0.352, "loss_high": 0.848}
    assert bounds("loss", Estimate(1, 0.6)) == bounds("loss", None) == {"loss_low": None, "loss_high": None}


def test_only_names_that_come_again_are_numbered() -> None:
    assert told_apart(["a", "b", "a"]) == ["a #1", "b", "a #2"]
    assert told_apart([]) == []


def test_flat_rows_have_every_column_that_some_row_has() -> None:
    sheet = from_rows("x", [{"a": 1}, {"a": 2, "b": 3}])
    assert (sheet.columns, sheet.rows) == (("a", "b"), ((1, None), (2, 3)))
