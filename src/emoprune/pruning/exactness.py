"""Whether removing units computes what silencing them does: tried before a module is pruned."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from emoprune.errors import UsageFault, first_line
from emoprune.networks import build
from emoprune.networks.graph.types import ChannelGraph
from emoprune.pruning import surgery
from emoprune.pruning.context import stays

LARGEST = 1e-3
"""Relative difference beyond which it is not rounding."""

SAMPLES = 2


def check_removal(net: nn.Module, graph: ChannelGraph, inputs: Tensor) -> None:
    """Raise UsageFault where removing a third of the units differs from silencing them."""
    alive = torch.ones(graph.units, dtype=torch.bool)
    for start, stop in graph.spans.values():
        alive[start + 1 : stop : 3] = False
    batch = inputs[:SAMPLES]
    if bool((batch == batch.flatten()[0]).all()):
        # of a picture of one color nothing would be seen
        generator = torch.Generator().manual_seed(0)
        batch = torch.randn(SAMPLES, *inputs.shape[1:], generator=generator).to(inputs.dtype)
    name, remedy = type(net).__name__, "prune a part of it, and report this network"
    precise = copy.deepcopy(net).double()
    try:
        with torch.inference_mode():
            precise(batch.double())
    except Exception:  # a forward that insists on a precision
        precise = net
    else:
        # in single precision attention may amplify rounding without bound
        batch = batch.double()
    try:
        found = difference(precise, graph, alive, batch)
    except Exception as error:  # whatever the user's own forward raises
        fact = f"{name} does not run with fewer units ({first_line(error)})"
        raise UsageFault(fact, remedy) from error
    if not found <= LARGEST:
        fact = f"{name} without some units differs by {found:.1e} from what it computes with them silenced"
        raise UsageFault(fact, remedy)


def difference(net: nn.Module, graph: ChannelGraph, alive: Tensor, batch: Tensor) -> float:
    """How far outputs without units that are not `alive` are from those with them silenced, relatively."""
    tensors = surgery.cut(net.state_dict(), graph, alive)
    small = build.narrowed(net, surgery.widths(graph, tensors, alive), tensors)
    with torch.inference_mode():
        expected, found = outputs(silenced(net, graph, alive), batch), outputs(small, batch)
    return float((found - expected).norm() / expected.norm().clamp(min=torch.finfo(expected.dtype).tiny))


def silenced(net: nn.Module, graph: ChannelGraph, alive: Tensor) -> nn.Module:
    """A copy of `net` in which all weights that read a unit that is not alive are zero."""
    shared = {id(tensor): tensor for tensor in (*net.parameters(), *net.buffers())}
    found = copy.deepcopy(net, shared).eval()
    for layer_input in graph.layer_inputs:
        gone = ~stays(layer_input.owner, alive)
        for consumer in layer_input.consumers:
            layer = found.get_submodule(consumer.layer)
            weight = layer.get_parameter("weight").detach().clone()
            weight.view(len(weight), len(layer_input.owner), -1)[:, gone] = 0
            layer.weight = nn.Parameter(weight)
    return found


def outputs(net: nn.Module, batch: Tensor) -> Tensor:
    """All that a network returns for a batch, which stays as it is, in a row; the same at every call."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        found = pytree.tree_leaves(net(batch.clone()))
    parts = [part.flatten().double() for part in found if isinstance(part, Tensor)]
    if not parts:
        raise ValueError("it returns no tensor")
    return torch.cat(parts)
