"""What every operation of a network does to the channels that go through it."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import fx, nn
from torch.nn import functional as F

from emoprune.networks.graph.channel_ids import Channels

if TYPE_CHECKING:
    from emoprune.networks.graph.tracing import Tracing

Rule = Callable[["Tracing", fx.Node, list[Channels]], Channels | None]

ACTIVATIONS: dict[object, str] = {
    nn.Sigmoid: "sigmoid",
    nn.ReLU: "relu",
    nn.Tanh: "tanh",
    nn.ReLU6: "relu6",
    nn.GELU: "gelu",
    nn.SiLU: "silu",
    nn.Hardswish: "hardswish",
    nn.Hardsigmoid: "hardsigmoid",
    torch.sigmoid: "sigmoid",
    torch.relu: "relu",
    torch.tanh: "tanh",
    F.relu: "relu",
    F.gelu: "gelu",
    F.silu: "silu",
    "relu": "relu",
    "sigmoid": "sigmoid",
    "tanh": "tanh",
}
PASSING: tuple[object, ...] = (
    nn.Dropout,
    nn.Dropout2d,
    nn.Identity,
    F.dropout,
    "stochastic_depth",
    "contiguous",
)
POOLING: tuple[object, ...] = (
    nn.MaxPool2d,
    nn.AvgPool2d,
    nn.AdaptiveAvgPool2d,
    nn.AdaptiveMaxPool2d,
    F.max_pool2d,
    F.avg_pool2d,
    F.adaptive_avg_pool2d,
)
MAP_DIM = 1
LAST_GROUP = "last_group"
"""Attribute of a grouped convolution of which pruning has left one group: its channels still go together."""


def passing(trace: Tracing, node: fx.Node, given: list[Channels]) -> Channels | None:
    """Every element by itself, or within its channel."""
    return replace(given[0], shape=trace.shape(node))


def activating(trace: Tracing, node: fx.Node, given: list[Channels]) -> Channels | None:
    """Element by element, through a function that angles want to know of."""
    return replace(given[0], activation=ACTIVATIONS[trace.kind(node)])


def pooling(trace: Tracing, node: fx.Node, given: list[Channels]) -> Channels | None:
    """Within each map."""
    if given[0].dim != MAP_DIM or len(given[0].shape) != 4 or given[0].spread != 1:
        return unknown(trace, node, given)
    return passing(trace, node, given)


def averaging(trace: Tracing, node: fx.Node, given: list[Channels]) -> Channels | None:
    """tensor.mean(dims): the channels' dimension moves forward by those that vanish before it."""
    (value,) = given
    dims = trace.argument(node, 1, "dim")
    keep = trace.argument(node, 2, "keepdim")
    sides = len(value.shape)
    gone = {dim % sides for dim in (dims if isinstance(dims, list | tuple) else [dims]) if dim is not None}
    if not gone or value.dim in gone or value.spread != 1:
        return unknown(trace, node, given)
    moved = 0 if keep else sum(dim < value.dim for dim in gone)
    return replace(value, dim=value.dim - moved, shape=trace.shape(node))


def normalizing(trace: Tracing, node: fx.Node, given: list[Channels]) -> Channels | None:
    """Batch norm: each channel by numbers of its own."""
    (value,) = given
    if value.dim != 1 or value.spread != 1 or trace.called_again(node):
        return unknown(trace, node, given)
    for name in ("weight", "bias", "running_mean", "running_var"):
        trace.cut(f"{node.target}.{name}", 0, value.ids)
    return replace(value, activation="identity")


def convolving(trace: Tracing, node: fx.Node, given: list[Channels]) -> Channels | None:
    """A convolution reads all channels and writes new ones; a grouped one ties those of each group."""
    (value,) = given
    layer: Any = trace.modules[str(node.target)]
    shape = trace.shape(node)
    plain = value.dim == MAP_DIM and value.spread == 1 and not isinstance(layer.padding, str)
    if not plain or layer.padding_mode != "zeros" or trace.called_again(node):
        return unknown(trace, node, given)
    ids = trace.write(node, layer.out_channels)
    trace.work(node, shape[2] * shape[3], groups=layer.groups)
    if layer.groups == 1 and not getattr(layer, LAST_GROUP, False):
        trace.read(node, value, inside_shares(layer, value.shape[2:], shape[2:]))
    else:
        # a group is one unit: what it reads and writes goes together
        layer_input, writing = value.ids.reshape(layer.groups, -1), ids.reshape(layer.groups, -1)
        for group in np.concatenate([layer_input, writing], 1):
            trace.pool.tie_all(group)
    return Channels(ids, MAP_DIM, shape)


def inside_shares(layer: nn.Conv2d, before: tuple[int, ...], after: tuple[int, ...]) -> torch.Tensor:
    """Share of output positions at which each tap, row by row, reads the map and not its padding."""
    shares = []
    for axis in (0, 1):
        size, stride, pad, step = (
            side[axis] for side in (layer.kernel_size, layer.stride, layer.padding, layer.dilation)
        )
        start = torch.arange(after[axis]) * int(stride) - int(pad)
        read = start[None] + torch.arange(int(size))[:, None] * int(step)
        shares.append(((read >= 0) & (read < before[axis])).double().mean(1))
    return torch.outer(*shares).flatten()


def multiplying(trace: Tracing, node: fx.Node, given: list[Channels]) -> Channels | None:
    """A dense layer reads the last dimension and writes new units in its place."""
    (value,) = given
    if value.dim != len(value.shape) - 1 or trace.called_again(node):
        return unknown(trace, node, given)
    layer: Any = trace.modules[str(node.target)]
    ids = trace.write(node, layer.out_features)
    shape = trace.shape(node)
    trace.work(node, math.prod(shape[1:-1]))
    trace.read(node, value, torch.ones(1, dtype=torch.float64))
    return Channels(ids, value.dim, shape)


def combining(trace: Tracing, node: fx.Node, given: list[Channels]) -> Channels | None:
    """Addition or product: with a number nothing changes, with a tensor channels are tied pair by pair."""
    operands = [*node.args, *node.kwargs.values()]
    known = [value for operand in operands if (value := trace.value(operand)) is not None]
    numbers = [operand for operand in operands if isinstance(operand, int | float)]
    if (len(known), len(numbers)) == (1, 1):
        return replace(known[0], activation="identity")
    if len(known) != 2:
        return unknown(trace, node, given)
    left, right = known
    alike = (left.dim, left.spread, len(left.ids)) == (right.dim, right.spread, len(right.ids))
    if not alike or len(left.shape) != len(right.shape):
        return unknown(trace, node, given)
    trace.pool.tie(left.ids, right.ids)
    return Channels(left.ids, left.dim, trace.shape(node), left.spread)


def joining(trace: Tracing, node: fx.Node, given: list[Channels]) -> Channels | None:
    """Concatenation of channels."""
    parts = [trace.value(part) for part in trace.argument(node, 0, "tensors")]
    dim = trace.argument(node, 1, "dim") or 0
    shape = trace.shape(node)
    known = [value for value in parts if value is not None]
    if len(known) < len(parts) or any(v.spread != 1 or v.dim != dim % len(shape) for v in known):
        return unknown(trace, node, given)
    (activation, *others) = {value.activation for value in known}
    ids = np.concatenate([value.ids for value in known])
    return Channels(ids, known[0].dim, shape, activation="identity" if others else activation)


def flattening(trace: Tracing, node: fx.Node, given: list[Channels]) -> Channels | None:
    """Flatten, or a view that does the same: neighboring indices belong to one channel."""
    (value, *_) = given
    shape = trace.shape(node)
    if shape == value.shape:
        return value
    flat = len(shape) == 2 and value.dim == 1 and math.prod(value.shape[1:]) == shape[1]
    # a size that the program text fixes would be wrong once channels have gone
    fixed = trace.kind(node) in ("view", "reshape") and node.args[-1] != -1
    if not flat or fixed or value.spread != 1:
        return unknown(trace, node, given)
    return replace(value, shape=shape, spread=shape[1] // len(value.ids))


def permuting(trace: Tracing, node: fx.Node, given: list[Channels]) -> Channels | None:
    """Another order of dimensions."""
    (value,) = given
    order = trace.argument(node, 1, "dims")
    order = order if isinstance(order, list | tuple) else node.args[1:]
    dims = [dim % len(value.shape) for dim in order if isinstance(dim, int)]
    if len(dims) != len(value.shape):
        return unknown(trace, node, given)
    return replace(value, dim=dims.index(value.dim), shape=trace.shape(node))


def unknown(trace: Tracing, node: fx.Node, given: list[Channels]) -> Channels | None:
    """What may do anything: all channels that go in stay as they are."""
    for value in given:
        trace.pool.freeze(value.ids, trace.name(node))
    return None


RULES: dict[object, Rule] = {
    **dict.fromkeys(ACTIVATIONS, activating),
    **dict.fromkeys(PASSING, passing),
    **dict.fromkeys(POOLING, pooling),
    nn.Conv2d: convolving,
    nn.Linear: multiplying,
    nn.BatchNorm1d: normalizing,
    nn.BatchNorm2d: normalizing,
    nn.Flatten: flattening,
    torch.flatten: flattening,
    "flatten": flattening,
    "view": flattening,
    "reshape": flattening,
    torch.permute: permuting,
    "permute": permuting,
    "mean": averaging,
    torch.cat: joining,
    **dict.fromkeys(
        (operator.add, operator.iadd, torch.add, operator.mul, operator.imul, torch.mul), combining
    ),
}
