from __future__ import annotations

import math
from dataclasses import dataclass

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from emoprune.errors import UsageFault
from emoprune.networks import build, profiling
from emoprune.networks.profiling import Footprint
from emoprune.networks.types import Cost
from emoprune.pruning.budget import Amount, after, first_step, is_met, is_too_much, step_for
from emoprune.pruning.context import Request
from emoprune.pruning.methods import METHODS
from emoprune.pruning.pruning import Pruning
from emoprune.pruning.types import Plan, Removal
from tests.support.layers import subject_of_net, table_pruning
from tests.support.wiring import conv, head


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


def cost_at(found: Pruning, step: int) -> tuple[int, Cost]:
    """The units and the cost of the network that is really built at a step."""
    after = found.carried_out(found.course().plan(step))
    units = sum(statistics.units for statistics in after.statistics.values())
    return units, profiling.cost(build.restore(after.spec, after.tensors), after.spec)


@pytest.mark.parametrize("option", ["--units", "--amount", "--macs", "--params"])
@pytest.mark.parametrize("share", [0.2, 0.5, 0.8])
def test_an_amount_is_met_at_the_first_step_whose_network_comes_down_to_it(option: str, share: float) -> None:
    found = table_pruning()
    amount = Amount(option, 14 * share if option == "--units" else share)
    step = step_for(found, found.course(), amount)
    for at, met in ((step, True), (step - 1, False)):
        units, cost = cost_at(found, at)
        enough = {
            "--units": units <= amount.value,
            "--amount": 14 - units >= round(14 * share),
            "--macs": cost.macs <= share * found.cost.macs,
            "--params": cost.parameters <= share * found.cost.parameters,
        }[option]
        assert enough == is_met(found, amount, found.course().plan(at)) == met


@pytest.mark.parametrize(
    ("option", "value", "says"),
    [
        ("--units", 1, "--units 1 cannot be met: 2 units have to stay; give --units 2"),
        ("--amount", 1, "at most 85.71% can go; give --amount 0.8571 or less"),
        # one unit a layer: 5 + 1 + 3 of 40 + 48 + 18
        ("--macs", 0.01, "the least that can stay is 8.50% of the multiply-accumulates; give --macs 0.085"),
    ],
)
def test_what_is_out_of_reach_is_answered_with_the_nearest(option: str, value: float, says: str) -> None:
    found = table_pruning()
    with pytest.raises(UsageFault) as caught:
        step_for(found, found.course(), Amount(option, value))
    assert says in str(caught.value)


def test_single_weights_are_counted_one_by_one_and_one_stays() -> None:
    found = table_pruning("magnitude")
    assert step_for(found, found.course(), Amount("--amount", 0.5)) == 24
    with pytest.raises(UsageFault, match="would leave no weight"):
        step_for(found, found.course(), Amount("--amount", 1))


def test_a_drop_is_of_points_and_an_increase_of_the_loss() -> None:
    drop, increase = Amount("--max-drop", 2), Amount("--max-loss-increase", 0.5)
    for now, lost in (((9.0, 0.78), False), ((0.0, 0.77), True)):
        assert is_too_much(drop, (1.0, 0.8), now) == lost
    for loss, lost in ((1.5, False), (1.6, True), (math.nan, True)):
        assert is_too_much(increase, (1.0, None), (loss, None)) == lost
