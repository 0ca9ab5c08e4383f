"""RULES: what each operation of a network does to the channels of its inputs."""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import fx, nn
from torch.nn import functional as F

from emoprune.networks.graph.channel_ids import Channels
from emoprune.networks.graph.layer_rules import (
    MAP_DIM,
    convolving,
    multiplying,
    normalizing,
    normalizing_features,
    normalizing_groups,
)
from emoprune.networks.graph.meeting import attending, combining, joining, matching
from emoprune.networks.graph.movement import moving
from emoprune.networks.graph.recording import OVERWRITING

if TYPE_CHECKING:
    from emoprune.networks.graph.tracing import Tracing

Rule = Callable[["Tracing", fx.Node, list[Channels]], Any]

ELEMENTWISE: tuple[Any, ...] = (
    *(nn.Sigmoid, nn.ReLU, nn.Tanh, nn.ReLU6, nn.GELU, nn.SiLU, nn.Hardswish, nn.Hardsigmoid),
    *(nn.LeakyReLU, nn.ELU, nn.Mish, nn.Softplus, nn.Hardtanh, nn.CELU, nn.SELU),
    *(torch.sigmoid, torch.relu, torch.tanh, F.relu, F.gelu, F.silu, F.relu6, F.hardswish, F.hardsigmoid),
    *(F.leaky_relu, F.elu, F.mish, F.softplus, F.hardtanh, F.sigmoid, F.tanh),
    *(torch.relu_, torch.sigmoid_, torch.tanh_, torch.selu, torch.celu, F.selu, F.celu),
)
ACTIVATIONS: dict[Any, str] = {
    **{operation: operation.__name__.lower().strip("_") for operation in ELEMENTWISE},
    **{method: method.strip("_") for method in ("relu", "relu_", "sigmoid", "sigmoid_", "tanh", "tanh_")},
}


def passing(trace: Tracing, node: fx.Node, given: list[Channels]) -> Any:
    """Each element by itself."""
    table = trace.table(node.args[0]) if node.args else None
    if table is not None:
        return table if table.places.shape == trace.shape(node) else trace.freeze(node, given)
    if not given or given[0].shape != trace.shape(node):
        return trace.freeze(node, given)
    return given[0].of_shape(trace.shape(node))


def activating(trace: Tracing, node: fx.Node, given: list[Channels]) -> Channels | None:
    """An element-wise function, noted because the centers of angles depend on it."""
    return given[0].of_shape(trace.shape(node), ACTIVATIONS[trace.kind(node)])


def pooling(trace: Tracing, node: fx.Node, given: list[Channels]) -> Channels | None:
    """Each map by itself."""
    if given[0].dim != MAP_DIM or len(given[0].shape) != 4 or given[0].spread != 1:
        return trace.freeze(node, given)
    return given[0].of_shape(trace.shape(node))


def padding(trace: Tracing, node: fx.Node, given: list[Channels]) -> Channels | None:
    """New elements around those there are, but not along the channels."""
    (value,) = given
    before, after = value.shape, trace.shape(node)
    if len(before) != len(after) or before[value.dim] != after[value.dim]:
        return trace.freeze(node, given)
    return _without(value, {dim for dim in range(len(before)) if before[dim] != after[dim]}, after)


def reducing(trace: Tracing, node: fx.Node, given: list[Channels]) -> Channels | None:
    """Mean, sum, maximum over dimensions: the channels move forward by those before them that vanish."""
    (value,) = given
    dims = trace.argument(node, 1, "dim")
    keep = trace.argument(node, 2, "keepdim")
    sides = len(value.shape)
    gone = {
        dim % sides for dim in (dims if isinstance(dims, list | tuple) else [dims]) if isinstance(dim, int)
    }
    if not gone or value.dim in gone or value.spread != 1:
        return trace.freeze(node, given)
    shape = tuple(1 if dim in gone else side for dim, side in enumerate(value.shape))
    kept = _without(value, gone, shape)
    if keep:
        return kept
    ids = kept.ids.squeeze(tuple(gone))
    return replace(
        kept, ids=ids, dim=value.dim - sum(dim < value.dim for dim in gone), shape=trace.shape(node)
    )


def sharing_out(trace: Tracing, node: fx.Node, given: list[Channels]) -> Channels | None:
    """Softmax, normalization and the like over dimensions other than the channels."""
    (value,) = given
    position = 2 if trace.kind(node) is F.normalize else 1
    dim = trace.argument(node, position, "dim")
    if dim is None:
        module: Any = trace.modules.get(str(node.target))
        dim = getattr(module, "dim", 1 if trace.kind(node) is F.normalize else None)
    if not isinstance(dim, int) or dim % len(value.shape) == value.dim:
        return trace.freeze(node, given)
    return value.of_shape(trace.shape(node), "identity")


def normalizing_last(trace: Tracing, node: fx.Node, given: list[Channels]) -> Channels | None:
    """F.layer_norm and the like: they mix the last dimensions."""
    (value,) = given
    sizes = trace.argument(node, 1, "normalized_shape")
    if not isinstance(sizes, list | tuple) or value.dim >= len(value.shape) - len(sizes):
        return trace.freeze(node, given)
    return value.of_shape(trace.shape(node), "identity")


def _without(value: Channels, dims: set[int], shape: tuple[int, ...]) -> Channels:
    """The channels, alike along some dimensions."""
    ids = value.ids
    for dim in dims:
        ids = ids.take([0], dim)
    return replace(value, ids=ids, shape=shape)


SAME: tuple[Any, ...] = (
    *(
        nn.Dropout,
        nn.Dropout2d,
        nn.Identity,
        F.dropout,
        F.dropout2d,
        "stochastic_depth",
        "contiguous",
        "clone",
    ),
    *(
        "to",
        "type_as",
        "float",
        "detach",
        "type",
        "clamp",
        "clamp_",
        "exp",
        "sqrt",
        "rsqrt",
        "abs",
        "neg",
        "square",
    ),
    *(torch.clamp, torch.exp, torch.sqrt, torch.rsqrt, torch.abs, torch.neg, torch.square, operator.neg),
)
METHODS = ("add", "sub", "mul", "div", "add_", "sub_", "mul_", "div_", "pow", "maximum", "minimum")
COMBINED: tuple[Any, ...] = (
    *(operator.add, operator.mul, operator.sub, operator.truediv, operator.pow, *OVERWRITING),
    *(torch.add, torch.mul, torch.sub, torch.div, torch.pow, torch.maximum, torch.minimum, *METHODS),
)
MOVED: tuple[Any, ...] = (
    *(nn.Flatten, nn.Unflatten, nn.ChannelShuffle, nn.PixelShuffle, nn.PixelUnshuffle),
    *(torch.flatten, torch.permute, torch.transpose, torch.reshape, torch.chunk, torch.split, torch.unbind),
    *(torch.squeeze, torch.unsqueeze, torch.roll, torch.flip, torch.narrow, torch.channel_shuffle),
    *(operator.getitem, getattr, F.pixel_shuffle, F.pixel_unshuffle, torch.swapaxes, torch.movedim),
    *(
        "flatten",
        "view",
        "reshape",
        "permute",
        "transpose",
        "chunk",
        "split",
        "unbind",
        "squeeze",
        "unsqueeze",
    ),
    *("roll", "flip", "narrow", "expand", "repeat", "unflatten", "swapaxes", "movedim", "t"),
)
OPERATIONS: dict[Rule, tuple[Any, ...]] = {
    activating: tuple(ACTIVATIONS),
    passing: SAME,
    pooling: (
        *(nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d),
        *(nn.Upsample, nn.UpsamplingNearest2d, nn.UpsamplingBilinear2d, F.interpolate),
        *(
            F.max_pool2d,
            F.avg_pool2d,
            F.adaptive_avg_pool2d,
            F.adaptive_max_pool2d,
            torch.adaptive_avg_pool1d,
        ),
    ),
    padding: (F.pad, nn.ZeroPad2d, nn.ReflectionPad2d, nn.ReplicationPad2d, nn.ConstantPad2d),
    convolving: (nn.Conv2d,),
    multiplying: (nn.Linear,),
    normalizing: (nn.BatchNorm1d, nn.BatchNorm2d),
    normalizing_groups: (nn.GroupNorm,),
    normalizing_features: (nn.LayerNorm, nn.RMSNorm),
    normalizing_last: (F.layer_norm, F.rms_norm),
    moving: MOVED,
    reducing: ("mean", "sum", "amax", "amin", torch.mean, torch.sum, torch.amax, torch.amin),
    sharing_out: (nn.Softmax, F.softmax, torch.softmax, "softmax", F.normalize),
    joining: (torch.cat, torch.concat),
    combining: COMBINED,
    matching: (operator.matmul, torch.matmul, torch.bmm, "matmul", "bmm"),
    attending: (F.scaled_dot_product_attention,),
}
RULES: dict[object, Rule] = {
    operation: rule for rule, operations in OPERATIONS.items() for operation in operations
}
TAKE_ANY = (moving, passing, combining, joining, matching, attending)
"""The rules for more than one input with channels, or for none but a parameter."""
