from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from emoprune import events
from emoprune.choices import Center, Merge, MethodName, Price, Scope
from emoprune.events import Advance, Work
from emoprune.networks.costs.profiling import Footprint
from emoprune.networks.types import HiddenLayer
from emoprune.pruning.context import PruningContext, RemovalStep, Schedule
from emoprune.pruning.selection import schedules
from emoprune.pruning.selection.distinctiveness import distinct, smallest_angle_first
from emoprune.pruning.selection.reconstruction_cost import RIDGE, Elimination
from emoprune.pruning.selection.schedules import SAVING_POWER, SCHEDULES, WITHIN_ANGLE
from emoprune.pruning.types import Plan, PruneConfig, Removal
from tests.support import reference_pruning as literal
from tests.support.checkpoints import MERGE_NAMES, OF_UNITS, ONE_BY_ONE
from tests.support.layers import Array, context_of_net, context_with, sigmoid_layer, statistics_of
from tests.support.wiring import conv, head


@dataclass(frozen=True)
class Maps:
    """A small convolutional network with dense layers after it."""

    net: nn.Module
    context: PruningContext

    def schedule(self, name: MethodName, **settings: Any) -> Schedule:
        footprint = Footprint(self.context.graph, self.net)
        return SCHEDULES[name](self.context, footprint, PruneConfig(method=name, **settings))


@pytest.fixture(scope="module")
def maps() -> Maps:
    torch.manual_seed(0)
    net = nn.Sequential(
        conv(3, 10, bias=False), nn.BatchNorm2d(10), nn.ReLU(),
        conv(10, 12), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(108, 9), nn.Sigmoid(), nn.Linear(9, 3),
    ).eval()  # fmt: skip
    return Maps(net, context_of_net(net, [torch.randn(60, 3, 6, 6)]))


def gone(plan: Plan) -> dict[str, set[int]]:
    return {removal.layer: set(removal.removed) for removal in plan.removals}


def nested(first: Plan, second: Plan) -> bool:
    return all(units <= gone(second)[layer] for layer, units in gone(first).items())


@pytest.mark.parametrize("scope", ["global", "layer"])
@pytest.mark.parametrize("name", ONE_BY_ONE)
def test_each_plan_removes_one_unit_more_than_the_one_before(
    maps: Maps, name: MethodName, scope: Scope
) -> None:
    schedule = maps.schedule(name, scope=scope)
    plans = [schedule.plan(step) for step in range(schedule.length + 1)]
    for step, plan in enumerate(plans):
        assert sum(len(units) for units in gone(plan).values()) == step
        assert [removal.layer for removal in plan.removals] == list(maps.context.graph.spans)
        assert step == 0 or nested(plans[step - 1], plan)
    assert [len(removal.kept) for removal in plans[-1].removals] == [1, 1, 1]


@pytest.mark.parametrize("name", OF_UNITS)
def test_the_same_config_makes_the_same_plans(maps: Maps, name: MethodName) -> None:
    first, second = (maps.schedule(name) for _ in range(2))
    assert first.length == second.length > 0
    for step in range(0, first.length + 1, max(1, first.length // 7)):
        assert first.plan(step) == second.plan(step)


@pytest.mark.parametrize("name", ONE_BY_ONE)
@pytest.mark.parametrize("round_to", [2, 4, 5, 11])
def test_rounded_plans_keep_a_multiple_of_units_or_all(maps: Maps, name: MethodName, round_to: int) -> None:
    schedule, exact = (maps.schedule(name, round_to=number) for number in (round_to, 1))
    plans = [schedule.plan(step) for step in range(schedule.length + 1)]
    for step, plan in enumerate(plans):
        assert nested(plan, exact.plan(step))
        assert step == 0 or nested(plans[step - 1], plan)
        for removal, whole in zip(plan.removals, exact.plan(step).removals, strict=True):
            kept = len(removal.kept)
            assert kept % round_to == 0 or kept == removal.units
            # and no more of them stay than it takes
            assert kept - len(whole.kept) < round_to


@pytest.mark.parametrize("name", ONE_BY_ONE)
def test_layers_that_were_not_chosen_are_in_no_plan(maps: Maps, name: MethodName) -> None:
    alone = replace(maps, context=replace(maps.context, layers=(maps.context.layers[1],)))
    schedule = alone.schedule(name)
    assert schedule.length == 11
    assert [removal.layer for removal in schedule.plan(schedule.length).removals] == ["3"]


@pytest.mark.parametrize("name", ONE_BY_ONE)
def test_a_schedule_of_units_shows_its_progress(maps: Maps, name: MethodName) -> None:
    shown: list[tuple[str, int | None]] = []

    @contextmanager
    def hook(work: Work) -> Iterator[Advance]:
        yield lambda steps=1, text=None: shown.append((work.label, work.total))

    with events.showing(hook):
        schedule = maps.schedule(name)
    assert shown == [("select", schedule.length)] * schedule.length


def test_units_removed_for_no_angle_are_listed_as_chosen_and_never_merged(maps: Maps) -> None:
    names: tuple[MethodName, ...] = ("reconstruct", "importance", "random-units")
    for name in names:
        schedule = maps.schedule(name)
        for removal in schedule.plan(schedule.length // 2).removals:
            assert removal.removed == tuple(sorted(removal.chosen))
            assert removal.merges == {}


def test_importance_removes_the_shortest_kernels_first(maps: Maps) -> None:
    schedule = maps.schedule("importance", scope="layer")
    for layer, tensor in (("0", "0.weight"), ("3", "3.weight"), ("7", "7.weight")):
        weight = maps.net.get_parameter(tensor).detach().double().numpy()
        norms = literal.kernel_norms(weight)
        for step in range(schedule.length + 1):
            taken = gone(schedule.plan(step))[layer]
            expected = sorted(range(len(norms)), key=lambda unit: norms[unit])[: len(taken)]
            assert taken == set(expected)


def test_importance_of_units_that_own_several_kernels_is_that_of_all_of_them() -> None:
    torch.manual_seed(3)
    net = nn.Sequential(conv(3, 8), nn.ReLU(), conv(8, 8, groups=4), nn.ReLU(), head(8)).eval()
    context = context_of_net(net, [torch.randn(10, 3, 6, 6)])
    schedule = SCHEDULES["importance"](context, Footprint(context.graph, net), PruneConfig(scope="layer"))
    weight = net.get_parameter("0.weight").detach().double().numpy()
    norms = literal.kernel_norms(weight.reshape(4, -1))
    taken = [gone(schedule.plan(step))["0"] for step in range(4)]
    assert taken[1] == {int(np.argmin(norms))}
    assert taken[3] == set(range(4)) - {int(np.argmax(norms))}


@pytest.mark.parametrize(("round_to", "multiple"), [(1, 1), (2, 1), (3, 3), (4, 2), (6, 3)])
def test_units_of_several_channels_are_rounded_by_their_channels(round_to: int, multiple: int) -> None:
    net = nn.Sequential(conv(3, 8), nn.ReLU(), conv(8, 8, groups=4), nn.ReLU(), head(8)).eval()
    context = context_of_net(net, [torch.randn(10, 3, 6, 6)])
    config = PruneConfig(scope="layer", units=1, method="importance", round_to=round_to)
    schedule = SCHEDULES["importance"](context, Footprint(context.graph, net), config)
    # a group has two channels before and after it
    kept = {len(removal.kept) for step in range(4) for removal in schedule.plan(step).removals[:1]}
    assert kept == {left for left in range(1, 5) if left % multiple == 0} | {4}


def test_random_units_follow_the_seed(maps: Maps) -> None:
    for scope in ("global", "layer"):
        first, again, other = (maps.schedule("random-units", seed=seed, scope=scope) for seed in (7, 7, 8))
        assert all(first.plan(step) == again.plan(step) for step in range(first.length + 1))
        assert any(first.plan(step) != other.plan(step) for step in range(first.length + 1))


LAYER = HiddenLayer("hidden", "sigmoid", ("0.0",))


def context_from(activations: Array) -> PruningContext:
    units = activations.shape[1]
    weight = np.random.default_rng(0).normal(size=(3, units))
    seen = literal.Seen(activations[:, :, None], tuple(range(units)), (literal.dense(weight),))
    context = context_with([seen])
    return replace(context, layers=(LAYER,))


@settings(max_examples=20)
@given(seed=st.integers(0, 10_000), center=st.sampled_from(["half", "range", "mean", "none", None]))
def test_smallest_angle_first_is_the_literal_rule(seed: int, center: Center | None) -> None:
    h = sigmoid_layer(seed, units=8)
    found = smallest_angle_first(LAYER, statistics_of(h), center=center)
    expected = literal.smallest_first(h, center or "half")
    assert [(step.unit, step.into) for step in found] == [step[:2] for step in expected]
    assert [step.angle_deg for step in found] == pytest.approx([step[2] for step in expected], abs=1e-4)


@pytest.mark.parametrize(
    "silent", [(2,), (0, 5), (7, 3, 1), tuple(range(7)), tuple(range(1, 8)), tuple(range(8))]
)
def test_smallest_angle_first_removes_units_without_length_first(silent: tuple[int, ...]) -> None:
    h = sigmoid_layer(0, units=8)
    h[:, silent] = 0.5
    found = smallest_angle_first(LAYER, statistics_of(h))
    expected = literal.smallest_first(h, "half")
    assert [(step.unit, step.into) for step in found] == [step[:2] for step in expected]
    assert len(found) == 7


@settings(max_examples=15)
@given(seed=st.integers(0, 10_000), near=st.integers(1, 6), by=st.sampled_from([-0.01, 0.01]))
def test_progressive_within_removes_the_steps_under_the_angle(seed: int, near: int, by: float) -> None:
    h = sigmoid_layer(seed, units=8)
    h[:, 3] = 0.5
    angle = literal.smallest_first(h, "half")[near][2] + by
    (removal,) = schedules.progressive_within(context_from(h), PruneConfig(), angle).removals
    steps = [step for step in literal.smallest_first(h, "half") if step[2] < angle - 1e-4]
    unsure = [step for step in literal.smallest_first(h, "half") if abs(step[2] - angle) <= 1e-4]
    if not unsure:
        check_merges(removal, steps)
        assert removal.insignificant == tuple(unit for unit, into, _ in steps if into is None)


def check_merges(removal: Removal, steps: list[tuple[int, int | None, float]]) -> None:
    assert set(removal.removed) == {unit for unit, _, _ in steps}
    into = {unit: survivor for unit, survivor, _ in steps if survivor is not None}
    assert set(removal.merges) == set(into)
    for unit, survivor in removal.merges.items():
        while unit in into:
            unit = into[unit]
        assert survivor == unit


@pytest.mark.parametrize("step", [0, 1, 4, 7])
def test_progressive_schedule_is_the_literal_one_and_merges_into_survivors(step: int) -> None:
    h = sigmoid_layer(4, units=8)
    context = context_from(h)
    weight = nn.Sequential(nn.Linear(3, 8), nn.Sigmoid(), nn.Linear(8, 3))
    schedule = schedules.progressive_schedule(
        context, Footprint(context.graph, weight), PruneConfig(scope="layer")
    )
    check_merges(schedule.plan(step).removals[0], literal.smallest_first(h, "half")[:step])


@pytest.mark.parametrize("merge", MERGE_NAMES)
def test_distinct_schedule_has_a_plan_for_every_hundredth_of_a_degree(maps: Maps, merge: Merge) -> None:
    schedule = maps.schedule("distinct", merge=merge)
    assert schedule.length == 9000
    for step in (0, 1500, 4567, 9000):
        plan = schedule.plan(step)
        assert plan == WITHIN_ANGLE["distinct"](maps.context, PruneConfig(merge=merge), step / 100)
        for removal, layer in zip(plan.removals, maps.context.layers, strict=True):
            assert removal == distinct(
                layer, maps.context.statistics[layer.name], angle_deg=step / 100, merge=merge
            )
            assert len(removal.kept) >= 1


def dulled(net: nn.Module) -> nn.Module:
    """The same network with dead units and some that never vary."""
    changed = copy.deepcopy(net)
    with torch.no_grad():
        for name in ("0.weight", "3.weight", "7.weight"):
            changed.get_parameter(name)[:4] = 0
        for name in ("1.bias", "3.bias", "7.bias"):
            changed.get_parameter(name)[:4] = torch.tensor([-1.0, 0.7, 0.3, -0.5])
    return changed


@pytest.mark.parametrize("count", [2, 60])
@pytest.mark.parametrize("name", OF_UNITS)
def test_dead_units_and_few_patterns_stop_no_method(maps: Maps, name: MethodName, count: int) -> None:
    net = dulled(maps.net)
    batch = torch.randn(count, 3, 6, 6, generator=torch.Generator().manual_seed(0))
    schedule = Maps(net, context_of_net(net, [batch])).schedule(name)
    for step in (0, schedule.length // 2, schedule.length):
        assert all(len(removal.kept) >= 1 for removal in schedule.plan(step).removals)


WIDTHS = (30, 7, 9, 3)


@dataclass(frozen=True)
class Dense:
    """A network of two hidden layers with all that its output layers read."""

    net: nn.Module
    context: PruningContext
    layer_inputs: list[literal.Seen]

    @property
    def footprint(self) -> Footprint:
        return Footprint(self.context.graph, self.net)


@pytest.fixture(scope="module")
def dense() -> Dense:
    torch.manual_seed(0)
    inputs, first, second, classes = WIDTHS
    net = nn.Sequential(
        nn.Linear(inputs, first),
        nn.Sigmoid(),
        nn.Linear(first, second),
        nn.ReLU(),
        nn.Linear(second, classes),
    ).eval()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.mul_(3)
    batch = torch.randn(300, inputs)
    with torch.no_grad():
        seen = [net[:2](batch), net[:4](batch)]
    layer_inputs = []
    start = 0
    for h, name in zip(seen, ("2", "4"), strict=True):
        weight = net.get_parameter(f"{name}.weight").detach().double().numpy()
        units = tuple(range(start, start + h.shape[1]))
        layer_inputs.append(literal.Seen(h.double().numpy()[:, :, None], units, (literal.dense(weight),)))
        start += h.shape[1]
    return Dense(net, context_of_net(net, [batch]), layer_inputs)


def price_of(first: int, second: int, price: Price) -> int:
    """What the dense network costs at these widths."""
    inputs, _, _, classes = WIDTHS
    weights = inputs * first + first * second + second * classes
    return {"macs": weights, "parameters": weights + first + second, "units": first + second}[price]


def greedy(
    dense: Dense, scope: Scope, price: Price, orders: list[list[int]] | None = None
) -> list[RemovalStep]:
    """Every step worked out from the stored activations alone."""
    whole = list(WIDTHS[1:3])
    spans = [(0, whole[0]), (whole[0], sum(whole))]
    gone: set[int] = set()
    steps = []
    while len(gone) < sum(whole) - 2:
        left = [
            n - sum(start <= unit < stop for unit in gone)
            for n, (start, stop) in zip(whole, spans, strict=True)
        ]
        costs = np.full(sum(whole), np.inf)
        for seen in dense.layer_inputs:
            ridge = max(RIDGE, len(seen.owner) / len(seen.h))
            found = literal.removal_costs([seen], sum(whole), gone, ridge)
            costs[list(seen.owner)] = found[list(seen.owner)]
        candidates = []
        for layer, (start, stop) in enumerate(spans):
            if left[layer] == 1:
                continue
            if orders is None:
                unit = start + int(np.argmin(costs[start:stop]))
            else:
                unit = start + next(each for each in orders[layer] if start + each not in gone)
            less = [n - (number == layer) for number, n in enumerate(left)]
            saved = price_of(left[0], left[1], price) - price_of(less[0], less[1], price)
            score = 1 - left[layer] / whole[layer] if scope == "layer" else costs[unit] / saved**SAVING_POWER
            candidates.append((score, layer, unit))
        _, layer, unit = min(candidates)
        gone.add(unit)
        steps.append(RemovalStep(layer, unit))
    return steps


@pytest.mark.parametrize("price", ["macs", "parameters", "units"])
@pytest.mark.parametrize("scope", ["global", "layer"])
def test_removal_steps_take_the_unit_that_the_activations_miss_least(
    dense: Dense, scope: Scope, price: Price
) -> None:
    steps = list(schedules.removal_steps(dense.context, dense.footprint, scope=scope, price=price))
    assert steps == greedy(dense, scope, price)


@pytest.mark.parametrize("price", ["macs", "units"])
@pytest.mark.parametrize("scope", ["global", "layer"])
def test_removal_steps_keep_the_order_and_compare_layers_by_cost(
    dense: Dense, scope: Scope, price: Price
) -> None:
    generator = np.random.default_rng(3)
    orders = [[int(unit) for unit in generator.permutation(width)] for width in WIDTHS[1:3]]
    named = dict(zip(dense.context.graph.spans, orders, strict=True))
    steps = list(schedules.removal_steps(dense.context, dense.footprint, named, scope=scope, price=price))
    assert steps == greedy(dense, scope, price, orders)


@dataclass(frozen=True)
class Network:
    """A convolutional network with a residual connection and batch norms."""

    net: nn.Module
    context: PruningContext

    @property
    def footprint(self) -> Footprint:
        return Footprint(self.context.graph, self.net)


@pytest.fixture(scope="module")
def maps_path() -> Network:
    torch.manual_seed(1)
    net = nn.Sequential(
        conv(3, 9, bias=False), nn.BatchNorm2d(9), nn.ReLU(),
        conv(9, 9, groups=9), nn.ReLU(),
        conv(9, 12), nn.ReLU(),
        conv(12, 5, 1), nn.ReLU(),
        head(5),
    ).eval()  # fmt: skip
    return Network(net, context_of_net(net, [torch.randn(20, 3, 6, 6)]))


def walks(
    maps_path: Network, scope: Scope, context: PruningContext | None = None
) -> Iterable[Iterable[RemovalStep]]:
    context = context or maps_path.context
    orders = {
        name: list(reversed(range(stop - start)))
        for name, (start, stop) in maps_path.context.graph.spans.items()
    }
    yield schedules.removal_steps(context, maps_path.footprint, scope=scope, price="macs")
    yield schedules.removal_steps(context, maps_path.footprint, orders, scope=scope, price="macs")


@pytest.mark.parametrize("scope", ["global", "layer"])
def test_removal_steps_remove_every_unit_once_until_each_layer_has_one(
    maps_path: Network, scope: Scope
) -> None:
    spans = list(maps_path.context.graph.spans.values())
    for steps in walks(maps_path, scope):
        taken = list(steps)
        assert len({step.unit for step in taken}) == len(taken)
        for number, (start, stop) in enumerate(spans):
            units = [step.unit for step in taken if step.layer == number]
            assert len(units) == stop - start - 1
            assert all(start <= unit < stop for unit in units)


def test_scope_layer_removes_the_same_fraction_of_every_layer(maps_path: Network) -> None:
    whole = [stop - start for start, stop in maps_path.context.graph.spans.values()]
    for steps in walks(maps_path, "layer"):
        left = list(whole)
        for step in steps:
            shares = {number: 1 - left[number] / n for number, n in enumerate(whole) if left[number] > 1}
            assert shares[step.layer] == min(shares.values())
            left[step.layer] -= 1


@pytest.mark.parametrize("scope", ["global", "layer"])
def test_layers_that_were_not_chosen_keep_all_their_units(maps_path: Network, scope: Scope) -> None:
    names = list(maps_path.context.graph.spans)
    chosen = tuple(layer for layer in maps_path.context.layers if layer.name in (names[0], names[2]))
    for steps in walks(maps_path, scope, dataclasses.replace(maps_path.context, layers=chosen)):
        assert {step.layer for step in steps} == {0, 2}


def test_removal_steps_keep_the_footprint_up_to_date(maps_path: Network) -> None:
    spans = maps_path.context.graph.spans.items()
    for orders in (None, {name: list(range(stop - start)) for name, (start, stop) in spans}):
        footprint = maps_path.footprint
        steps = schedules.removal_steps(maps_path.context, footprint, orders, scope="global", price="macs")
        expected = copy.deepcopy(footprint)
        for step in steps:
            expected.take(step.layer)
            assert (footprint.macs, footprint.left.tolist()) == (expected.macs, expected.left.tolist())


def test_removal_steps_remove_a_dead_unit_first() -> None:
    torch.manual_seed(2)
    net = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 7), nn.ReLU(), nn.Linear(7, 3)).eval()
    with torch.no_grad():
        for name, unit in (("0", 3), ("2", 5)):
            # no other is dead by chance
            net.get_parameter(f"{name}.bias").fill_(0.7)
            net.get_parameter(f"{name}.weight")[unit] = 0
            net.get_parameter(f"{name}.bias")[unit] = -1
    context = context_of_net(net, [torch.randn(40, 6)])
    steps = list(
        schedules.removal_steps(context, Footprint(context.graph, net), scope="global", price="units")
    )
    assert {step.unit for step in steps[:2]} == {3, 8 + 5}


def test_scope_layer_starts_with_the_cheapest_unit_of_the_first_layer(
    maps_path: Network,
) -> None:
    first = next(
        iter(schedules.removal_steps(maps_path.context, maps_path.footprint, scope="layer", price="macs"))
    )
    _, stop = next(iter(maps_path.context.graph.spans.values()))
    costs = Elimination(maps_path.context, torch.arange(maps_path.context.graph.units)).costs
    assert first == RemovalStep(0, int(costs[:stop].argmin()))
