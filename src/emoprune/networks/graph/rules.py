"""RULES: what each operation of a network does to the channels of its inputs."""

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
from emoprune.networks.graph.layer_rules import MAP_DIM, convolving, multiplying, normalizing

if TYPE_CHECKING:
    from emoprune.networks.graph.tracing import Tracing

Rule = Callable[["Tracing", fx.Node, list[Channels]], Channels | None]

ELEMENTWISE: tuple[Any, ...] = (
    *(nn.Sigmoid, nn.ReLU, nn.Tanh, nn.ReLU6, nn.GELU, nn.SiLU, nn.Hardswish, nn.Hardsigmoid),
    *(torch.sigmoid, torch.relu, torch.tanh, F.relu, F.gelu, F.silu),
)
ACTIVATIONS: dict[object, str] = {
    **{operation: operation.__name__.lower() for operation in ELEMENTWISE},
    **{method: method for method in ("relu", "sigmoid", "tanh")},
}


def passing(trace: Tracing, node: fx.Node, given: list[Channels]) -> Channels | None:
    """Each element, or each channel, by itself."""
    return replace(given[0], shape=trace.shape(node))


def activating(trace: Tracing, node: fx.Node, given: list[Channels]) -> Channels | None:
    """An element-wise function, noted because the centers of angles depend on it."""
    return replace(given[0], activation=ACTIVATIONS[trace.kind(node)])


def pooling(trace: Tracing, node: fx.Node, given: list[Channels]) -> Channels | None:
    """Each map by itself."""
    if given[0].dim != MAP_DIM or len(given[0].shape) != 4 or given[0].spread != 1:
        return trace.freeze(node, given)
    return passing(trace, node, given)


def averaging(trace: Tracing, node: fx.Node, given: list[Channels]) -> Channels | None:
    """tensor.mean(dims): the channels move forward by the dimensions before them that vanish."""
    (value,) = given
    dims = trace.argument(node, 1, "dim")
    keep = trace.argument(node, 2, "keepdim")
    sides = len(value.shape)
    gone = {dim % sides for dim in (dims if isinstance(dims, list | tuple) else [dims]) if dim is not None}
    if not gone or value.dim in gone or value.spread != 1:
        return trace.freeze(node, given)
    moved = 0 if keep else sum(dim < value.dim for dim in gone)
    return replace(value, dim=value.dim - moved, shape=trace.shape(node))


def combining(trace: Tracing, node: fx.Node, given: list[Channels]) -> Channels | None:
    """Addition or product: a number changes nothing, a tensor ties channels pair by pair."""
    operands = [*node.args, *node.kwargs.values()]
    known = [value for operand in operands if (value := trace.value(operand)) is not None]
    numbers = [operand for operand in operands if isinstance(operand, int | float)]
    if (len(known), len(numbers)) == (1, 1):
        return replace(known[0], activation="identity")
    if len(known) != 2:
        return trace.freeze(node, given)
    left, right = known
    alike = (left.dim, left.spread, len(left.ids)) == (right.dim, right.spread, len(right.ids))
    if not alike or len(left.shape) != len(right.shape):
        return trace.freeze(node, given)
    trace.pool.tie(left.ids, right.ids)
    return Channels(left.ids, left.dim, trace.shape(node), left.spread)


def joining(trace: Tracing, node: fx.Node, given: list[Channels]) -> Channels | None:
    """Concatenation of channels."""
    parts = trace.argument(node, 0, "tensors")
    dim = trace.argument(node, 1, "dim") or 0
    shape = trace.shape(node)
    known = [value for part in parts if (value := trace.value(part)) is not None]
    if len(known) < len(parts) or any(v.spread != 1 or v.dim != dim % len(shape) for v in known):
        return trace.freeze(node, given)
    (activation, *others) = {value.activation for value in known}
    ids = np.concatenate([value.ids for value in known])
    return Channels(ids, known[0].dim, shape, activation="identity" if others else activation)


def flattening(trace: Tracing, node: fx.Node, given: list[Channels]) -> Channels | None:
    """Flatten, or a view that flattens: neighboring indices belong to one channel."""
    (value, *_) = given
    shape = trace.shape(node)
    if shape == value.shape:
        return value
    flat = len(shape) == 2 and value.dim == 1 and math.prod(value.shape[1:]) == shape[1]
    # a size fixed in the code would be wrong once channels are removed
    fixed = trace.kind(node) in ("view", "reshape") and node.args[-1] != -1
    if not flat or fixed or value.spread != 1:
        return trace.freeze(node, given)
    return replace(value, shape=shape, spread=shape[1] // len(value.ids))


def permuting(trace: Tracing, node: fx.Node, given: list[Channels]) -> Channels | None:
    """Another order of dimensions."""
    (value,) = given
    order = trace.argument(node, 1, "dims")
    order = order if isinstance(order, list | tuple) else node.args[1:]
    dims = [dim % len(value.shape) for dim in order if isinstance(dim, int)]
    if len(dims) != len(value.shape):
        return trace.freeze(node, given)
    return replace(value, dim=dims.index(value.dim), shape=trace.shape(node))


OPERATIONS: dict[Rule, tuple[object, ...]] = {
    activating: tuple(ACTIVATIONS),
    passing: (nn.Dropout, nn.Dropout2d, nn.Identity, F.dropout, "stochastic_depth", "contiguous"),
    pooling: (
        *(nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d),
        *(F.max_pool2d, F.avg_pool2d, F.adaptive_avg_pool2d),
    ),
    convolving: (nn.Conv2d,),
    multiplying: (nn.Linear,),
    normalizing: (nn.BatchNorm1d, nn.BatchNorm2d),
    flattening: (nn.Flatten, torch.flatten, "flatten", "view", "reshape"),
    permuting: (torch.permute, "permute"),
    averaging: ("mean",),
    joining: (torch.cat,),
    combining: (operator.add, operator.iadd, torch.add, operator.mul, operator.imul, torch.mul),
}
RULES = {operation: rule for rule, operations in OPERATIONS.items() for operation in operations}
