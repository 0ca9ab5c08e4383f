"""Which dense layers are hidden: written by one linear layer, read by linear layers only."""

from __future__ import annotations

import torch
from torch import fx, nn

from emoprune.records import HiddenLayer

# modules and functions that work on each unit by itself
ELEMENTWISE: dict[object, str] = {
    nn.Sigmoid: "sigmoid",
    nn.ReLU: "relu",
    nn.Tanh: "tanh",
    nn.ReLU6: "relu6",
    nn.GELU: "gelu",
    nn.SiLU: "silu",
    nn.Hardswish: "hardswish",
    torch.sigmoid: "sigmoid",
    torch.relu: "relu",
    torch.tanh: "tanh",
    nn.functional.relu: "relu",
    nn.functional.gelu: "gelu",
    nn.functional.silu: "silu",
}
PASSING: tuple[object, ...] = (nn.Dropout, nn.Identity, nn.functional.dropout)


def dense_hidden_layers(net: nn.Module) -> tuple[HiddenLayer, ...]:
    """Every linear layer of `net` whose outputs reach linear layers and nothing else, in network order.

    Between a layer and its readers only element-wise activations, dropout and identity may stand; a layer
    that is called more than once is left out. The network is traced symbolically, never run.
    """
    traced = fx.symbolic_trace(net)
    modules = dict(traced.named_modules())
    calls: dict[object, int] = {}
    for node in traced.graph.nodes:
        if node.op == "call_module":
            calls[node.target] = calls.get(node.target, 0) + 1
    found = []
    for node in traced.graph.nodes:
        if node.op == "call_module" and isinstance(modules[node.target], nn.Linear):
            reading = _readers(node, modules)
            if reading is not None and all(calls[name] == 1 for name in (node.target, *reading[1])):
                found.append(HiddenLayer(node.target, *reading))
    return tuple(found)


def _readers(node: fx.Node, modules: dict[str, nn.Module]) -> tuple[str, tuple[str, ...]] | None:
    """The activation after `node` and the linear layers that read it.

    None if anything else reads it, or if its readers see it through different activations.
    """
    seen: dict[str, str] = {}
    frontier = [(user, "identity") for user in node.users]
    while frontier:
        user, activation = frontier.pop(0)
        kind = _kind(user, modules)
        if kind is nn.Linear:
            seen[str(user.target)] = activation
        elif kind in ELEMENTWISE or kind in PASSING:
            frontier += [(further, ELEMENTWISE.get(kind, activation)) for further in user.users]
        else:
            return None
    if len(set(seen.values())) != 1:
        return None
    return next(iter(seen.values())), tuple(seen)


def _kind(node: fx.Node, modules: dict[str, nn.Module]) -> object:
    if node.op == "call_module":
        return type(modules[str(node.target)])
    if node.op == "call_function":
        return node.target
    return node.op
