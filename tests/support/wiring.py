"""Small networks whose graph can be worked out by hand, and what is written down of a graph."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from emoprune.networks import build
from emoprune.networks.graph import channel_graph
from emoprune.networks.graph.types import ChannelGraph, LayerInput, Obstacle
from emoprune.pruning import surgery
from emoprune.pruning.context import stays
from tests.support.silencing import apart, randomize, silent

IMAGE = (3, 6, 6)


class Wired(nn.Module):
    """A network whose forward pass is a function of itself and its input."""

    def __init__(self, wire: Callable[[Any, Any], Any], **parts: nn.Module | nn.Parameter) -> None:
        super().__init__()
        for name, part in parts.items():
            setattr(self, name, part)
        self._wire = wire

    if TYPE_CHECKING:  # parts are named by each test for itself

        def __getattr__(self, name: str) -> Any: ...
        def __setattr__(self, name: str, value: Any) -> None: ...

    def forward(self, x: Tensor) -> Any:
        return self._wire(self, x)


def conv(inputs: int, outputs: int, kernel: int = 3, **others: Any) -> nn.Conv2d:
    """A convolution that leaves the map's size alone, unless told otherwise."""
    return nn.Conv2d(inputs, outputs, kernel, **{"padding": kernel // 2, **others})


def head(channels: int) -> nn.Sequential:
    """What reads the channels of a map and cannot be pruned itself."""
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 2))


def graph_of(net: nn.Module, shape: tuple[int, ...] = IMAGE) -> ChannelGraph:
    """The graph of `net`, after a check that what it takes for removable can be removed without a trace."""
    graph = channel_graph(net, shape)
    check_removable(net, graph, shape)
    return graph


def check_removable(net: nn.Module, graph: ChannelGraph, shape: tuple[int, ...]) -> None:
    """Without any one unit, and without all but one of each layer, the network computes what it should."""
    torch.manual_seed(0)
    net = copy.deepcopy(net).double().eval()
    randomize(net)
    batch = torch.randn(16, *shape, dtype=torch.float64)
    removals = [[unit for start, stop in graph.spans.values() for unit in range(start + 1, stop)]]
    removals += [[unit] for start, stop in graph.spans.values() for unit in range(start, stop)]
    whole = outputs(net, batch)
    for removed in removals:
        alive = torch.ones(graph.units, dtype=torch.bool)
        alive[removed] = False
        if any(not bool(stays(place.owner, alive).any()) for place in graph.cuts):
            continue
        with silent(net, graph, alive):
            silenced = outputs(net, batch)
        # a single unit may be dead, but not all
        assert len(removed) < 2 or apart(whole, silenced) > 0
        assert apart(silenced, outputs(smaller(net, graph, alive), batch)) < 1e-12


def outputs(net: nn.Module, batch: Tensor) -> Tensor:
    """All that a network returns, in a row."""
    with torch.no_grad():
        found = net(batch)
    parts = found if isinstance(found, tuple) else (found,)
    return torch.cat([part.flatten() for part in parts])


def smaller(net: nn.Module, graph: ChannelGraph, alive: Tensor) -> nn.Module:
    """`net` without the units that are not alive."""
    left = surgery.cut(net.state_dict(), graph, alive)
    return build.narrowed(net, surgery.widths(graph, left, alive), left)


def cuts(graph: ChannelGraph) -> dict[tuple[str, int], list[int]]:
    """Whose each index of each cut dimension is."""
    assert len({(place.tensor, place.dim) for place in graph.cuts}) == len(graph.cuts)
    return {(place.tensor, place.dim): place.owner.tolist() for place in graph.cuts}


def layer_input(graph: ChannelGraph, name: str) -> LayerInput:
    """The layer input of that name."""
    (found,) = (layer_input for layer_input in graph.layer_inputs if layer_input.name == name)
    return found


def owner(graph: ChannelGraph, name: str) -> list[int]:
    """Whose the channels of a layer input are."""
    return layer_input(graph, name).owner.tolist()


def check_frozen(net: nn.Module, *obstacles: Obstacle, shape: tuple[int, ...] = IMAGE) -> None:
    """Nothing of `net` can be removed, for the reasons given."""
    graph = graph_of(net, shape)
    assert graph.layers == ()
    assert graph.cuts == ()
    assert graph.layer_inputs == ()
    assert graph.obstacles == obstacles
