"""Networks drawn at random: whatever ends up tied to whatever, what the graph gives can be removed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from emoprune.networks.graph.types import ChannelGraph
from tests.support.wiring import conv, cuts, graph_of

SHAPE = (2, 4, 4)
WIDTHS = (2, 4, 6)
Draw = Callable[[st.SearchStrategy[Any]], Any]


@dataclass
class Plan:
    """Modules and, for each step, what it computes from the tensors so far; `widths` are their channels."""

    modules: list[nn.Module] = field(default_factory=list)
    steps: list[Callable[[list[nn.Module], list[Any]], Any]] = field(default_factory=list)
    widths: list[int] = field(default_factory=lambda: [SHAPE[0]])

    def add(self, step: Callable[[list[nn.Module], list[Any]], Any], width: int) -> int:
        """One more tensor, of `width` channels; returns its place."""
        self.steps.append(step)
        self.widths.append(width)
        return len(self.widths) - 1

    def run(self, module: nn.Module, source: int, width: int) -> int:
        """One more tensor, by a module from the tensor at `source`."""
        place = len(self.modules)
        self.modules.append(module)
        return self.add(lambda modules, tensors: modules[place](tensors[source]), width)


class Drawn(nn.Module):
    """A network that takes a plan's steps, and reads the last tensor with a dense layer."""

    def __init__(self, plan: Plan) -> None:
        super().__init__()
        self.parts = nn.ModuleList(plan.modules)
        self.steps = plan.steps
        self.output = nn.Linear(plan.widths[-1], 2)

    def forward(self, x: Tensor) -> Any:
        tensors = [x]
        for step in self.steps:
            tensors.append(step(list(self.parts), tensors))
        return self.output(tensors[-1].mean([2, 3]))


def convolved(draw: Draw, plan: Plan, source: int) -> int:
    width = draw(st.sampled_from(WIDTHS))
    return plan.run(conv(plan.widths[source], width, draw(st.sampled_from((1, 3)))), source, width)


def grouped(draw: Draw, plan: Plan, source: int) -> int:
    inputs = plan.widths[source]
    groups = draw(st.sampled_from([n for n in (2, 3, 4, inputs) if inputs % n == 0]))
    width = groups * draw(st.integers(1, 2))
    return plan.run(conv(inputs, width, groups=groups), source, width)


def normed(draw: Draw, plan: Plan, source: int) -> int:
    return plan.run(nn.BatchNorm2d(plan.widths[source]), source, plan.widths[source])


def activated(draw: Draw, plan: Plan, source: int) -> int:
    return plan.run(draw(st.sampled_from((nn.SiLU, nn.Tanh)))(), source, plan.widths[source])


def joined(draw: Draw, plan: Plan, source: int) -> int:
    other = draw(st.integers(0, len(plan.widths) - 1))
    width = plan.widths[source] + plan.widths[other]
    return plan.add(lambda _, tensors: torch.cat([tensors[source], tensors[other]], 1), width)


def added(draw: Draw, plan: Plan, source: int) -> int:
    width = plan.widths[source]
    other = draw(st.sampled_from([n for n, other in enumerate(plan.widths) if other == width]))
    return plan.add(lambda _, tensors: tensors[source] + tensors[other], width)


def squeezed(draw: Draw, plan: Plan, source: int) -> int:
    width, place = plan.widths[source], len(plan.modules)
    layers = [conv(width, 2, 1), nn.SiLU(), conv(2, width, 1), nn.Sigmoid()]
    plan.modules.append(nn.Sequential(nn.AdaptiveAvgPool2d(1), *layers))
    return plan.add(lambda modules, tensors: tensors[source] * modules[place](tensors[source]), width)


KINDS = (convolved, convolved, grouped, normed, activated, joined, added, squeezed)


@st.composite
def networks(draw: Draw) -> Drawn:
    plan = Plan()
    last = convolved(draw, plan, 0)
    for kind in draw(st.lists(st.sampled_from(KINDS), min_size=2, max_size=8)):
        last = kind(draw, plan, last)
    convolved(draw, plan, last)
    return Drawn(plan)


def check_counted(graph: ChannelGraph) -> None:
    """Units are numbered without gaps, and each has its places."""
    stops = [stop for _, stop in graph.spans.values()]
    assert [start for start, _ in graph.spans.values()] == [0, *stops][: len(stops)]
    written = {unit for (_, dim), owner in cuts(graph).items() if dim == 0 for unit in owner}
    read = {unit for found in graph.readings for unit in found.owner.tolist()}
    assert written - {-1} == read - {-1} == set(range(graph.units))


@settings(max_examples=60)
@given(networks())
def test_what_the_graph_gives_for_removable_can_be_removed_without_a_trace(net: Drawn) -> None:
    graph = graph_of(net, SHAPE)
    assert graph.layers
    check_counted(graph)
