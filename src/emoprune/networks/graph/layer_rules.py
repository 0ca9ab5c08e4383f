"""What layers do to channels: convolutions and dense layers read and write them, batch norms follow them."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import fx, nn

from emoprune.networks.graph.channel_ids import Channels

if TYPE_CHECKING:
    from emoprune.networks.graph.tracing import Tracing

MAP_DIM = 1
LAST_GROUP = "last_group"
"""Attribute of a grouped convolution with one group left: its channels are still removed together."""


def convolving(trace: Tracing, node: fx.Node, given: list[Channels]) -> Channels | None:
    """A convolution reads all channels and writes new ones; a grouped one ties the channels of each group."""
    (value,) = given
    layer: Any = trace.modules[str(node.target)]
    shape = trace.shape(node)
    plain = value.dim == MAP_DIM and value.spread == 1 and not isinstance(layer.padding, str)
    if not plain or layer.padding_mode != "zeros" or trace.called_again(node):
        return trace.freeze(node, given)
    ids = trace.write(node, layer.out_channels, shape[2] * shape[3], groups=layer.groups)
    if layer.groups == 1 and not getattr(layer, LAST_GROUP, False):
        trace.read(node, value, inside_fractions(layer, value.shape[2:], shape[2:]))
    else:
        # a group is one unit: its inputs and outputs are removed together
        inputs, outputs = value.ids.reshape(layer.groups, -1), ids.reshape(layer.groups, -1)
        for group in np.concatenate([inputs, outputs], 1):
            trace.pool.tie_all(group)
    return Channels(ids, MAP_DIM, shape)


def inside_fractions(layer: nn.Conv2d, before: tuple[int, ...], after: tuple[int, ...]) -> torch.Tensor:
    """Fraction of output positions at which each tap, row by row, reads the map and not its padding."""
    fractions = []
    for axis in (0, 1):
        window = (layer.kernel_size, layer.stride, layer.padding, layer.dilation)
        size, stride, pad, step = (sides[axis] for sides in window)
        start = torch.arange(after[axis]) * int(stride) - int(pad)
        read = start[None] + torch.arange(int(size))[:, None] * int(step)
        fractions.append(((read >= 0) & (read < before[axis])).double().mean(1))
    return torch.outer(*fractions).flatten()


def multiplying(trace: Tracing, node: fx.Node, given: list[Channels]) -> Channels | None:
    """A dense layer reads the last dimension and writes new units in its place."""
    (value,) = given
    if value.dim != len(value.shape) - 1 or trace.called_again(node):
        return trace.freeze(node, given)
    layer: Any = trace.modules[str(node.target)]
    shape = trace.shape(node)
    ids = trace.write(node, layer.out_features, math.prod(shape[1:-1]))
    trace.read(node, value, torch.ones(1, dtype=torch.float64))
    return Channels(ids, value.dim, shape)


def normalizing(trace: Tracing, node: fx.Node, given: list[Channels]) -> Channels | None:
    """A batch norm scales each channel by its own numbers."""
    (value,) = given
    if value.dim != 1 or value.spread != 1 or trace.called_again(node):
        return trace.freeze(node, given)
    for name in ("weight", "bias", "running_mean", "running_var"):
        trace.cut(f"{node.target}.{name}", 0, value.ids)
    return replace(value, activation="identity")
