"""Values as cells, tables as Markdown and CSV."""

from __future__ import annotations

import pytest

from emoprune.reporting.tables import (
    PERCENT,
    Format,
    Table,
    cell,
    flat_estimate,
    from_rows,
    to_csv,
    to_markdown,
)
from emoprune.reporting.types import Estimate


def test_estimate_writes_a_mean_with_half_its_interval_where_it_has_one() -> None:
    several = Estimate(3, 0.6, 0.352, 0.848)
    assert PERCENT.estimate(several) == "60.0 ± 24.8%"
    assert Format(".2f", suffix="°").estimate(Estimate(2, 12.5, 12.0, 13.0)) == "12.50 ± 0.50°"
    assert PERCENT.estimate(Estimate(1, 0.6)) == "60.0%"
    assert PERCENT.estimate(None) is None
    assert flat_estimate("loss", several) == {"loss": 0.6, "loss_low": 0.352, "loss_high": 0.848}
    assert flat_estimate("loss", Estimate(1, 0.6)) == {"loss": 0.6, "loss_low": None, "loss_high": None}
    assert set(flat_estimate("loss", None).values()) == {None}


def test_from_rows_has_every_column_that_some_row_has() -> None:
    made = from_rows("x", [{"a": 1}, {"a": 2, "b": 3}])
    assert (made.columns, made.rows) == (("a", "b"), ((1, None), (2, 3)))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        *((None, "-"), (True, "True"), (0, "0"), (1234567, "1,234,567"), (-1234, "-1,234"), ("a", "a")),
        *((0.0, "0"), (0.123456, "0.1235"), (12345.678, "1.235e+04"), (1e-9, "1e-09")),
    ],
)
def test_cell_writes_values_for_people(value: object, text: str) -> None:
    assert cell(value) == text


def test_to_csv_leaves_a_cell_empty_without_a_value() -> None:
    assert to_csv(Table("t", ("a", "b"), (("x,y", None), ('"', 0.1)))) == 'a,b\n"x,y",\n"""",0.1\n'


def test_to_markdown_escapes_what_would_break_a_row() -> None:
    made = to_markdown(Table("t", ("a", "b"), (("x|y\nz", 1234),)))
    assert made == "### t\n\n| a | b |\n| :-- | --: |\n| x\\|y z | 1,234 |\n"
