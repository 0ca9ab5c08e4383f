"""Charts of letters: where a value is, and what it means."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from emoprune.evaluation.confidence import Estimate
from emoprune.reporting.text_charts import HEIGHT, WIDTH, to_lines
from emoprune.reporting.types import Line, LineChart, Panel


def drawn(*, fraction: bool = True, **lines: Mapping[float, float]) -> list[str]:
    found = tuple(
        Line("", {x: Estimate(1, y) for x, y in points.items()}, part) for part, points in lines.items()
    )
    return list(to_lines(LineChart("curves", "epoch", (Panel("accuracy", found, fraction=fraction),))))


def area(lines: list[str]) -> list[str]:
    return [line.partition("|")[2].ljust(WIDTH) for line in lines[1 : 1 + HEIGHT]]


def test_each_value_is_at_its_place_between_the_ends_of_the_axes() -> None:
    title, *rest = drawn(train={1: 0.25, 30.5: 0.75, 60: 0.5}, val={60: 0.25})
    assert title == "accuracy by epoch: t train, v val, * both"
    rows = area([title, *rest])
    marks = {(x, y): mark for y, row in enumerate(rows) for x, mark in enumerate(row) if mark != " "}
    # Python rounds halves to even
    assert marks == {(0, 9): "t", (30, 0): "t", (59, 5): "t", (59, 9): "v"}
    assert (rest[0].split()[0], rest[HEIGHT - 1].split()[0]) == ("75.0%", "25.0%")
    assert rest[-1].split() == ["1", "60"]


def test_two_lines_at_one_place_have_a_mark_of_their_own() -> None:
    rows = area(drawn(train={1: 0.0, 2: 0.5}, val={1: 1.0, 2: 0.5}))
    assert sorted("".join(rows).replace(" ", "")) == ["*", "t", "v"]


@pytest.mark.parametrize("epochs", [5, 60, 61, 1000])
def test_it_fits_on_a_terminal_however_many_values_there_are(epochs: int) -> None:
    lines = drawn(train={epoch: epoch / epochs for epoch in range(1, epochs + 1)})
    assert max(map(len, lines)) <= 80
    assert len("".join(area(lines)).replace(" ", "")) == min(epochs, WIDTH)


def test_a_line_without_change_is_drawn_too() -> None:
    lines = drawn(fraction=False, loss={1: 0.5, 2: 0.5})
    assert "".join(area(lines)).count("l") == 2
    assert lines[1].split()[0] == "0.5"
