from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import nn

from emoprune.choices import Price, Scope
from emoprune.networks.profiling import Footprint
from emoprune.pruning import schedules
from emoprune.pruning.context import Step, Subject
from emoprune.pruning.reconstruction_cost import RIDGE, Elimination
from emoprune.pruning.schedules import SAVING_POWER
from tests.support import reference_pruning as literal
from tests.support.layers import subject_of_net
from tests.support.wiring import conv, head

WIDTHS = (30, 7, 9, 3)


@dataclass(frozen=True)
class Dense:
    """A network of two hidden layers with all that its output layers read."""

    net: nn.Module
    subject: Subject
    readings: list[literal.Seen]

    @property
    def footprint(self) -> Footprint:
        return Footprint(self.subject.graph, self.net)


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
    readings = []
    start = 0
    for h, name in zip(seen, ("2", "4"), strict=True):
        weight = net.get_parameter(f"{name}.weight").detach().double().numpy()
        units = tuple(range(start, start + h.shape[1]))
        readings.append(literal.Seen(h.double().numpy()[:, :, None], units, (literal.dense(weight),)))
        start += h.shape[1]
    return Dense(net, subject_of_net(net, [batch]), readings)


def price_of(first: int, second: int, price: Price) -> int:
    """What the dense network costs at these widths."""
    inputs, _, _, classes = WIDTHS
    weights = inputs * first + first * second + second * classes
    return {"macs": weights, "parameters": weights + first + second, "units": first + second}[price]


def greedy(dense: Dense, scope: Scope, price: Price, orders: list[list[int]] | None = None) -> list[Step]:
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
        for seen in dense.readings:
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
        steps.append(Step(layer, unit))
    return steps


@pytest.mark.parametrize("price", ["macs", "parameters", "units"])
@pytest.mark.parametrize("scope", ["global", "layer"])
def test_the_unit_that_costs_least_goes_as_the_activations_have_it(
    dense: Dense, scope: Scope, price: Price
) -> None:
    steps = list(schedules.by_cost(dense.subject, dense.footprint, scope=scope, price=price))
    assert steps == greedy(dense, scope, price)


@pytest.mark.parametrize("price", ["macs", "units"])
@pytest.mark.parametrize("scope", ["global", "layer"])
def test_a_given_order_is_kept_and_layers_compete_by_the_same_costs(
    dense: Dense, scope: Scope, price: Price
) -> None:
    generator = np.random.default_rng(3)
    orders = [[int(unit) for unit in generator.permutation(width)] for width in WIDTHS[1:3]]
    named = dict(zip(dense.subject.graph.spans, orders, strict=True))
    steps = list(schedules.by_order(dense.subject, dense.footprint, named, scope=scope, price=price))
    assert steps == greedy(dense, scope, price, orders)


@dataclass(frozen=True)
class Maps:
    """A convolutional network with a residual connection and batch norms."""

    net: nn.Module
    subject: Subject

    @property
    def footprint(self) -> Footprint:
        return Footprint(self.subject.graph, self.net)


@pytest.fixture(scope="module")
def maps() -> Maps:
    torch.manual_seed(1)
    net = nn.Sequential(
        conv(3, 9, bias=False), nn.BatchNorm2d(9), nn.ReLU(),
        conv(9, 9, groups=9), nn.ReLU(),
        conv(9, 12), nn.ReLU(),
        conv(12, 5, 1), nn.ReLU(),
        head(5),
    ).eval()  # fmt: skip
    return Maps(net, subject_of_net(net, [torch.randn(20, 3, 6, 6)]))


def walks(maps: Maps, scope: Scope, subject: Subject | None = None) -> Iterable[Iterable[Step]]:
    subject = subject or maps.subject
    orders = {
        name: list(reversed(range(stop - start))) for name, (start, stop) in maps.subject.graph.spans.items()
    }
    yield schedules.by_cost(subject, maps.footprint, scope=scope, price="macs")
    yield schedules.by_order(subject, maps.footprint, orders, scope=scope, price="macs")


@pytest.mark.parametrize("scope", ["global", "layer"])
def test_every_unit_goes_once_until_each_layer_has_one_left(maps: Maps, scope: Scope) -> None:
    spans = list(maps.subject.graph.spans.values())
    for steps in walks(maps, scope):
        taken = list(steps)
        assert len({step.unit for step in taken}) == len(taken)
        for number, (start, stop) in enumerate(spans):
            units = [step.unit for step in taken if step.layer == number]
            assert len(units) == stop - start - 1
            assert all(start <= unit < stop for unit in units)


def test_scope_layer_takes_the_same_share_of_every_layer(maps: Maps) -> None:
    whole = [stop - start for start, stop in maps.subject.graph.spans.values()]
    for steps in walks(maps, "layer"):
        left = list(whole)
        for step in steps:
            shares = {number: 1 - left[number] / n for number, n in enumerate(whole) if left[number] > 1}
            assert shares[step.layer] == min(shares.values())
            left[step.layer] -= 1


@pytest.mark.parametrize("scope", ["global", "layer"])
def test_layers_that_were_not_chosen_keep_all_their_units(maps: Maps, scope: Scope) -> None:
    names = list(maps.subject.graph.spans)
    chosen = tuple(layer for layer in maps.subject.layers if layer.name in (names[0], names[2]))
    for steps in walks(maps, scope, dataclasses.replace(maps.subject, layers=chosen)):
        assert {step.layer for step in steps} == {0, 2}


def test_the_footprint_is_kept_up_to_date(maps: Maps) -> None:
    for walk in (0, 1):
        footprint = maps.footprint
        orders = {name: list(range(stop - start)) for name, (start, stop) in maps.subject.graph.spans.items()}
        steps = (
            schedules.by_cost(maps.subject, footprint, scope="global", price="macs")
            if walk == 0
            else schedules.by_order(maps.subject, footprint, orders, scope="global", price="macs")
        )
        expected = copy.deepcopy(footprint)
        for step in steps:
            expected.take(step.layer)
            assert (footprint.macs, footprint.left.tolist()) == (expected.macs, expected.left.tolist())


def test_a_dead_unit_goes_before_all_that_say_something() -> None:
    torch.manual_seed(2)
    net = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 7), nn.ReLU(), nn.Linear(7, 3)).eval()
    with torch.no_grad():
        for name, unit in (("0", 3), ("2", 5)):
            # no other is dead by chance
            net.get_parameter(f"{name}.bias").fill_(0.7)
            net.get_parameter(f"{name}.weight")[unit] = 0
            net.get_parameter(f"{name}.bias")[unit] = -1
    subject = subject_of_net(net, [torch.randn(40, 6)])
    steps = list(schedules.by_cost(subject, Footprint(subject.graph, net), scope="global", price="units"))
    assert {step.unit for step in steps[:2]} == {3, 8 + 5}


def test_the_first_step_of_scope_layer_is_the_cheapest_unit_of_the_first_layer(maps: Maps) -> None:
    first = next(iter(schedules.by_cost(maps.subject, maps.footprint, scope="layer", price="macs")))
    _, stop = next(iter(maps.subject.graph.spans.values()))
    costs = Elimination(maps.subject, torch.arange(maps.subject.graph.units)).costs
    assert first == Step(0, int(costs[:stop].argmin()))
