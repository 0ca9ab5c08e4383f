"""The Pareto front, against its definition, and which networks a figure shows."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from emoprune.evaluation.types import Metrics
from emoprune.reporting.aggregate import Group
from emoprune.reporting.fronts import foremost, left_out, on_front
from tests.support.runs import run

SMALL = st.integers(0, 6).map(float)


@given(st.lists(st.tuples(SMALL, SMALL), max_size=12))
def test_on_front_is_what_no_other_beats(points: list[tuple[float, float]]) -> None:
    def beaten(cost: float, worth: float) -> bool:
        return any(x <= cost and y >= worth and (x, y) != (cost, worth) for x, y in points)

    assert on_front(points) == [not beaten(*point) for point in points]


def group(label: str, accuracy: float, macs: int) -> Group[Metrics]:
    return Group(label, (replace(run(label, accuracy), macs=macs),))


def test_foremost_are_the_first_the_front_and_the_most_accurate_in_their_order() -> None:
    groups = [
        *(group("whole", 0.5, 100), group("bad", 0.1, 90), group("good", 0.6, 90)),
        *(group("fair", 0.4, 80), group("small", 0.3, 10), group("best", 0.7, 95)),
    ]
    for most, shown in ((1, "whole"), (3, "whole good best"), (5, "whole good fair small best")):
        assert [each.label for each in foremost(groups, most)] == shown.split()
    assert foremost(groups, 9) == groups
    assert foremost([], 3) == []


def test_left_out_says_how_many_and_by_which_rule() -> None:
    assert left_out(0, "network") == left_out(-2, "network") == ""
    assert left_out(1, "network").startswith("left out: 1 network off the front")
    assert left_out(4, "line", "with fewer points") == "left out: 4 lines with fewer points"
