"""What removal must come down to: the whole network with zeros where its layers read a removed unit."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial

import torch
from torch import Tensor, nn

from emoprune.networks.graph.types import FROZEN, ChannelGraph, LayerInput


def randomize(net: nn.Module) -> None:
    """No parameter and no statistic may be one that hides a mistake: neither zero nor one nor tiny."""
    with torch.no_grad():
        for name, tensor in [*net.named_parameters(), *net.named_buffers()]:
            if name.endswith("running_var"):
                tensor.uniform_(0.5, 2)
            elif name.endswith(("bias", "running_mean")):
                tensor.normal_(0, 0.1)
            elif isinstance(tensor, nn.Parameter) and tensor.ndim > 1:
                tensor.normal_(0, math.sqrt(2 / tensor[0].numel()))
            elif isinstance(tensor, nn.Parameter):
                tensor.uniform_(0.5, 1.5)


@contextmanager
def silent(net: nn.Module, graph: ChannelGraph, alive: Tensor) -> Iterator[None]:
    """Meanwhile every layer of `net` reads zeros where a unit is that is not alive."""
    lives = alive.tolist()

    def silence(layer_input: LayerInput, module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        kept = [float(unit == FROZEN or lives[unit]) for unit in layer_input.owner.tolist()]
        factors = inputs[0].new_tensor(kept).repeat_interleave(layer_input.spread)
        sides = [1] * inputs[0].ndim
        sides[layer_input.dim] = -1
        return (inputs[0] * factors.reshape(sides),)

    with ExitStack() as stack:
        for layer_input in graph.layer_inputs:
            for consumer in layer_input.consumers:
                layer = net.get_submodule(consumer.layer)
                stack.callback(layer.register_forward_pre_hook(partial(silence, layer_input)).remove)
        yield


def apart(first: Tensor, second: Tensor) -> float:
    """How far `second` is from `first`, relative to it."""
    return float((first - second).norm() / first.norm())
