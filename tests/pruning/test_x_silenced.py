from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from emoprune.networks.activation_statistics import collect
from emoprune.networks.graph import channel_graph
from emoprune.pruning.magnitude import silenced
from emoprune.pruning.types import Plan
from tests.support.silencing import randomise
from tests.support.wiring import Wired, conv, head, smaller

Planting = Callable[[Wired], dict[str, set[int]]]


def chained() -> Wired:
    """Three convolutions one after the other, then dense layers."""

    def wire(net: Wired, x: Tensor) -> Tensor:
        h = torch.relu(net.third(torch.relu(net.second(torch.relu(net.first(x))))))
        found: Tensor = net.last(torch.relu(net.dense(torch.flatten(h, 1))))
        return found

    return Wired(
        wire,
        first=conv(3, 8),
        second=conv(8, 7),
        third=conv(7, 6, stride=3),
        dense=nn.Linear(24, 9),
        last=nn.Linear(9, 2),
    )


def residual() -> Wired:
    """Two convolutions add to one map; a depthwise one and a batch norm stand between others."""

    def wire(net: Wired, x: Tensor) -> Tensor:
        h = torch.relu(net.stem(x))
        h = torch.relu(net.inner(torch.relu(net.norm(net.depthwise(h)))) + net.side(h))
        found: Tensor = net.head(h)
        return found

    return Wired(
        wire,
        stem=conv(3, 8),
        depthwise=conv(8, 8, groups=8, bias=False),
        norm=nn.BatchNorm2d(8),
        inner=conv(8, 6),
        side=conv(8, 6, 1),
        head=head(6),
    )


def filled(make: Callable[[], Wired]) -> Wired:
    torch.manual_seed(0)
    net = make()
    randomise(net)
    return net.eval()


def silenced_in(net: Wired, seed: int = 0) -> Plan:
    graph = channel_graph(net, (3, 6, 6))
    noise = torch.randn(2, 3, 6, 6, generator=torch.Generator().manual_seed(seed))
    return silenced(graph, net.state_dict(), collect(net, graph, graph.layers, [noise]))


def check_the_same(net: Wired, plan: Plan) -> None:
    graph = channel_graph(net, (3, 6, 6))
    alive = torch.ones(graph.units, dtype=torch.bool)
    for removal in plan.removals:
        start, _ = graph.spans[removal.layer]
        alive[[start + unit for unit in removal.removed]] = False
    net = copy.deepcopy(net).double()
    batch = torch.randn(30, 3, 6, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(9)) * 3
    with torch.no_grad():
        whole, small = net(batch), smaller(net, graph, alive)(batch)
    assert torch.allclose(whole, small, rtol=1e-12, atol=1e-12)


def taken(plan: Plan) -> dict[str, set[int]]:
    return {removal.layer: set(removal.removed) for removal in plan.removals}


def unread(net: Wired) -> dict[str, set[int]]:
    net.second.weight[:, [1, 4]] = 0
    # the four positions of channel 2
    net.dense.weight[:, 8:12] = 0
    return {"first": {1, 4}, "third": {2}}


def unwritten(net: Wired) -> dict[str, set[int]]:
    net.second.weight[[0, 3]] = 0
    net.second.bias[[0, 3]] = torch.tensor([0.0, -0.4])
    net.dense.weight[5], net.dense.bias[5] = 0, 0
    return {"second": {0, 3}, "dense": {5}}


def in_chains(net: Wired) -> dict[str, set[int]]:
    net.last.weight[:, [0, 1, 2]] = 0
    # only those three read channel 4 of the third, only that reads channel 6 of the second
    net.dense.weight[3:, 16:20] = 0
    keep = torch.arange(6) != 4
    net.third.weight[keep, 6] = 0
    # what only a silent unit writes is silent
    net.first.weight[2], net.first.bias[2] = 0, 0
    others = torch.arange(8) != 2
    net.second.weight[1, others] = 0
    net.second.bias[1] = 0
    return {"first": {2}, "second": {1, 6}, "third": {4}, "dense": {0, 1, 2}}


def constant(net: Wired) -> dict[str, set[int]]:
    net.first.weight[[0, 5]] = 0
    net.first.bias[[0, 5]] = torch.tensor([0.8, 0.0])
    net.dense.weight[4], net.dense.bias[4] = 0, 0.3
    return {"first": {5}}


@pytest.mark.parametrize("plant", [unread, unwritten, in_chains, constant])
def test_planted_silent_units_are_found_and_no_others(plant: Planting) -> None:
    net = filled(chained)
    with torch.no_grad():
        expected = plant(net)
    plan = silenced_in(net)
    assert taken(plan) == expected
    assert all(removal.insignificant == removal.removed for removal in plan.removals)
    check_the_same(net, plan)


def in_one_branch(net: Wired) -> dict[str, set[int]]:
    net.inner.weight[2], net.inner.bias[2] = 0, 0
    net.inner.weight[:, 3] = 0
    return {}


def in_both_branches(net: Wired) -> dict[str, set[int]]:
    for branch in (net.inner, net.side):
        branch.weight[2], branch.bias[2] = 0, 0
        branch.weight[:, 3] = 0
    return {"stem": {3}, "inner": {2}}


def shifted_by_its_norm(net: Wired) -> dict[str, set[int]]:
    net.stem.weight[4], net.stem.bias[4] = 0, 0
    net.norm.weight[4], net.norm.bias[4], net.norm.running_mean[4] = 1, 0.7, 0
    net.stem.weight[5], net.stem.bias[5] = 0, 0
    net.norm.weight[5], net.norm.bias[5], net.norm.running_mean[5] = 1, -0.7, 0
    return {"stem": {5}}


@pytest.mark.parametrize("plant", [in_one_branch, in_both_branches, shifted_by_its_norm])
def test_a_unit_is_silent_only_if_it_is_so_everywhere(plant: Planting) -> None:
    net = filled(residual)
    with torch.no_grad():
        expected = plant(net)
    plan = silenced_in(net)
    assert taken(plan) == expected
    check_the_same(net, plan)


@pytest.mark.parametrize("share", [0.5, 0.8, 0.95, 1.0])
@pytest.mark.parametrize("make", [chained, residual])
@pytest.mark.parametrize("seed", range(4))
def test_masked_networks_compute_the_same_without_their_silent_units(
    make: Callable[[], Wired], share: float, seed: int
) -> None:
    net = filled(make)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in net.named_parameters():
            if parameter.ndim > 1:
                # whole kernels and whole columns, else hardly any unit falls silent
                for dim in (0, 1):
                    sides = [1] * parameter.ndim
                    sides[dim] = -1
                    kept = torch.rand(parameter.shape[dim], generator=generator) >= share / 2
                    parameter.mul_(kept.reshape(sides) & torch.tensor(share < 1))
            elif name.endswith("bias"):
                parameter.mul_(torch.rand(parameter.shape, generator=generator) < 0.5)
    plan = silenced_in(net, seed)
    for removal in plan.removals:
        assert len(removal.kept) >= 1
    assert share < 1 or plan.removals
    check_the_same(net, plan)


def test_a_dense_network_has_no_silent_units() -> None:
    for make in (chained, residual):
        assert silenced_in(filled(make)) == Plan(())


def test_units_that_are_asleep_by_chance_are_not_silent() -> None:
    net = filled(chained)
    with torch.no_grad():
        # noise hardly ever wakes them, an input may
        net.first.bias[:3] = -50
    assert silenced_in(net) == Plan(())
