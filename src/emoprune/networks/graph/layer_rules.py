"""What layers do to channels: convolutions and dense layers read and write them, norms follow them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import fx, nn

from emoprune.networks.graph.channel_ids import Channels
from emoprune.networks.narrowing import LAST_GROUP, acts_alone

if TYPE_CHECKING:
    from emoprune.networks.graph.tracing import Tracing

MAP_DIM = 1


def convolving(trace: Tracing, node: fx.Node, given: list[Channels]) -> Channels | None:
    """A convolution reads all channels and writes new ones; a grouped one ties the channels of each group."""
    layer: Any = trace.modules[str(node.target)]
    shape = trace.shape(node)
    value = given[0]
    if trace.called_again(node) or value.shape != trace.shape(node.all_input_nodes[0]):
        return trace.freeze(node, given)
    if value.dim != MAP_DIM or value.spread != 1:
        trace.freeze(node, given)
        value = trace.frozen_input(node, MAP_DIM)
    grouped = layer.groups > 1 or getattr(layer, LAST_GROUP, False)
    if not acts_alone(layer, value.shape):
        return trace.freeze(node, given)
    ids = trace.write(node, layer.out_channels, shape[2] * shape[3], groups=layer.groups)
    if grouped:
        # a group is one unit: its inputs and outputs are removed together
        inputs, outputs = value.line.reshape(layer.groups, -1), ids.reshape(layer.groups, -1)
        for group in np.concatenate([inputs, outputs], 1):
            trace.pool.tie_all(group)
    elif acts_alone(layer, value.shape, reads=True):
        trace.read(node, value, inside_fractions(layer, value.shape[2:], shape[2:]))
    else:
        trace.freeze(node, given)
    return Channels.along(ids, MAP_DIM, shape)


def inside_fractions(layer: nn.Conv2d, before: tuple[int, ...], after: tuple[int, ...]) -> torch.Tensor:
    """Fraction of output positions at which each tap, row by row, reads the map and not zeros around it."""
    fractions = []
    for axis in (0, 1):
        size, stride, step = (sides[axis] for sides in (layer.kernel_size, layer.stride, layer.dilation))
        if layer.padding_mode != "zeros":
            fractions.append(torch.ones(int(size), dtype=torch.float64))
            continue
        whole = step * (size - 1) // 2 if layer.padding == "same" else 0
        pad = whole if isinstance(layer.padding, str) else layer.padding[axis]
        start = torch.arange(after[axis]) * int(stride) - int(pad)
        read = start[None] + torch.arange(int(size))[:, None] * int(step)
        fractions.append(((read >= 0) & (read < before[axis])).double().mean(1))
    return torch.outer(*fractions).flatten()


def multiplying(trace: Tracing, node: fx.Node, given: list[Channels]) -> Channels | None:
    """A dense layer reads the last dimension and writes new units in its place."""
    layer: Any = trace.modules[str(node.target)]
    value = given[0]
    if trace.called_again(node):
        return trace.freeze(node, given)
    if value.dim != len(value.shape) - 1:
        trace.freeze(node, given)
        value = trace.frozen_input(node, -1)
    shape = trace.shape(node)
    if not acts_alone(layer, value.shape, reads=True):
        return trace.freeze(node, given)
    ids = trace.write(node, layer.out_features, math.prod(shape[1:-1]))
    trace.read(node, value, torch.ones(1, dtype=torch.float64))
    return Channels.along(ids, value.dim, shape)


def normalizing(trace: Tracing, node: fx.Node, given: list[Channels]) -> Channels | None:
    """A batch norm scales each channel by its own numbers."""
    (value,) = given
    layer: Any = trace.modules[str(node.target)]
    alone = value.dim == MAP_DIM and value.spread == 1 and acts_alone(layer, value.shape)
    if not alone or trace.called_again(node):
        return trace.freeze(node, given)
    trace.cut_outputs(node, value.line)
    return value.of_shape(trace.shape(node), trace.activation_within(layer))


def normalizing_groups(trace: Tracing, node: fx.Node, given: list[Channels]) -> Channels | None:
    """A group norm scales groups of channels together, so that a group is one unit."""
    (value,) = given
    layer: Any = trace.modules[str(node.target)]
    alone = value.dim == MAP_DIM and value.spread == 1 and layer.affine and layer.num_groups > 1
    if not alone or not acts_alone(layer, value.shape) or trace.called_again(node):
        return trace.freeze(node, given)
    for group in value.line.reshape(layer.num_groups, -1):
        trace.pool.tie_all(group)
    trace.cut_outputs(node, value.line)
    return value.of_shape(trace.shape(node), trace.activation_within(layer))


def normalizing_features(trace: Tracing, node: fx.Node, given: list[Channels]) -> Channels | None:
    """A layer norm mixes the last dimensions, and leaves channels along others alone."""
    (value,) = given
    layer: Any = trace.modules[str(node.target)]
    plain = type(layer).__module__.startswith("torch.nn.")
    if not plain or value.dim >= len(value.shape) - len(layer.normalized_shape):
        return trace.freeze(node, given)
    return value.of_shape(trace.shape(node), "identity")
