from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from emoprune.core.budget import after, first_step
from emoprune.core.courses import Request
from emoprune.core.footprint import Footprint
from emoprune.core.methods import METHODS
from emoprune.records import Plan, Removal
from tests.core.graph.wiring import conv, head
from tests.core.layers import subject_of_net


@dataclass(frozen=True)
class Counting:
    """A course whose plan number n takes n of its units."""

    length: int

    def plan(self, step: int) -> Plan:
        assert 0 <= step <= self.length
        return Plan((Removal("hidden", self.length + 1, chosen=tuple(range(step))),))


def taken(plan: Plan) -> int:
    return len(plan.removals[0].removed)


@given(length=st.integers(0, 200), wanted=st.integers(0, 200))
def test_the_first_step_that_is_enough_is_found(length: int, wanted: int) -> None:
    found = first_step(Counting(length), lambda plan: taken(plan) >= wanted)
    assert found == (wanted if wanted <= length else None)


def test_few_plans_are_looked_at() -> None:
    looked: list[int] = []

    def enough(plan: Plan) -> bool:
        looked.append(taken(plan))
        return taken(plan) >= 700

    assert first_step(Counting(1000), enough) == 700
    assert len(looked) <= 12


def test_what_is_never_enough_has_no_step() -> None:
    assert first_step(Counting(10), lambda plan: False) is None
    assert first_step(Counting(10), lambda plan: True) == 0


@pytest.mark.parametrize("method", ["reconstruct", "random-units"])
def test_a_budget_is_met_and_one_unit_less_would_not_meet_it(method: str) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(conv(3, 12), nn.ReLU(), conv(12, 14), nn.ReLU(), head(14)).eval()
    subject = subject_of_net(net, [torch.randn(20, 3, 6, 6)])
    whole = Footprint(subject.graph, net)
    course = METHODS[method].plans(subject, Footprint(subject.graph, net), Request())
    for share in (0.9, 0.5, 0.1):
        wanted = share * whole.macs
        step = first_step(course, lambda plan: after(plan, subject, whole).macs <= wanted)  # noqa: B023
        assert step is not None
        assert after(course.plan(step), subject, whole).macs <= wanted
        assert after(course.plan(step - 1), subject, whole).macs > wanted


def test_the_footprint_after_a_plan_is_that_of_a_copy() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(conv(3, 5), nn.ReLU(), conv(5, 4), nn.ReLU(), head(4)).eval()
    subject = subject_of_net(net, [torch.randn(4, 3, 6, 6)])
    whole = Footprint(subject.graph, net)
    before = whole.macs, whole.left.tolist()
    # layers may come in any order, and not all of them
    left = after(Plan((Removal("2", 4, chosen=(0, 3)), Removal("0", 5, chosen=(1,)))), subject, whole)
    assert left.left.tolist() == [4, 2]
    assert left.macs == 36 * 9 * (3 * 4 + 4 * 2) + 2 * 2
    assert after(Plan((Removal("2", 4, chosen=(0,)),)), subject, whole).left.tolist() == [5, 3]
    assert (whole.macs, whole.left.tolist()) == before
