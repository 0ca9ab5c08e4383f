"""What pruning works on: a network's tensors, its channel graph, and the statistics of its layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol

import torch
from torch import Tensor

from emoprune import events
from emoprune.errors import InvalidRecord
from emoprune.networks.graph.types import FROZEN, ChannelGraph, Consumer, LayerInput
from emoprune.networks.statistics.activation_statistics import layer_inputs_of, shared_layer
from emoprune.networks.statistics.sensitivity import consumers_of
from emoprune.networks.types import Checkpoint, HiddenLayer, Moments, UnitStatistics
from emoprune.pruning.methods import METHODS
from emoprune.pruning.types import Plan, PruneConfig

MEASURE_AGAIN = "measure it again with `data`"

DENSE_DIMS = 2
"""Dimensions of a dense layer's weight."""


@dataclass(frozen=True)
class PruningContext:
    """A network as pruning sees it: its tensors, its channel graph and what was measured of its layers.

    `layers` are those that may lose units, in network order; `weights` the parameters that may lose single
    weights. `masks` (bool, by parameter) mark the weights that an earlier pruning has not set to zero.
    `sensitivities` (outputs, outputs) say by layer how much the answer depends on what it computes.
    """

    graph: ChannelGraph
    tensors: Mapping[str, Tensor]
    statistics: Mapping[str, UnitStatistics]
    moments: Mapping[str, Moments]
    layers: tuple[HiddenLayer, ...]
    weights: tuple[str, ...] = ()
    masks: Mapping[str, Tensor] = field(default_factory=dict)
    sensitivities: Mapping[str, Tensor] = field(default_factory=dict)

    @cached_property
    def weighs_outputs(self) -> bool:
        """Whether the sensitivity of all that read units of the layers is known."""
        return self.sensitivities.keys() >= set(consumers_of(self.layer_inputs))

    @property
    def layer_inputs(self) -> list[LayerInput]:
        """The layer inputs that hold units of the layers."""
        return layer_inputs_of(self.graph, {layer.name for layer in self.layers})

    def knows(self, layer_input: LayerInput) -> bool:
        """Whether the moments of a layer input were measured."""
        return layer_input.name in self.moments or shared_layer(self.graph, layer_input) in self.statistics

    def moments_at(self, layer_input: LayerInput) -> Moments:
        """Mean and covariance of what the consumers of `layer_input` see."""
        shared = shared_layer(self.graph, layer_input)
        return self.moments[layer_input.name] if shared is None else self.statistics[shared]

    def weight(self, consumer: Consumer, layer_input: LayerInput) -> Tensor:
        """A consumer's weight in float64, (outputs, channels, taps)."""
        weight = self.tensors[f"{consumer.layer}.weight"].double()
        return weight.reshape(weight.shape[0], len(layer_input.owner), -1)

    def alive(self, plan: Plan) -> Tensor:
        """Which units stay, (units,) bool."""
        stays = torch.ones(self.graph.units, dtype=torch.bool)
        for removal in plan.removals:
            start, _ = self.graph.spans[removal.layer]
            stays[[start + unit for unit in removal.removed]] = False
        return stays


def default_layers(
    layers: Sequence[HiddenLayer], tensors: Mapping[str, Tensor], config: PruneConfig
) -> tuple[HiddenLayer, ...]:
    """The layers that may lose units where the config names none.

    Methods that remove by angle take the dense layers, if there are any, as the papers do: the mean of a map,
    which is what a channel's angle is of, says little of what the next convolution reads.
    """
    dense = tuple(layer for layer in layers if tensors[f"{layer.name}.weight"].ndim == DENSE_DIMS)
    if config.layer is not None or not METHODS[config.method].by_angle or len(dense) in (0, len(layers)):
        return tuple(layers)
    left = events.counted(len(layers) - len(dense), "other layer")
    events.note(f"`method={config.method}` prunes the dense hidden layers; `layer=*` prunes {left} too")
    return dense


def pruning_context(
    checkpoint: Checkpoint,
    graph: ChannelGraph,
    layers: tuple[HiddenLayer, ...],
    weights: tuple[str, ...] = (),
) -> PruningContext:
    """The context of a checkpoint; InvalidRecord where its statistics are those of another network."""
    known = [layer.name for layer in checkpoint.layers]
    for name in known:
        start, stop = graph.spans.get(name, (0, 0))
        units = checkpoint.statistics[name].units
        if units != stop - start:
            fact = f"has statistics of {units} units of {name}, the network has {stop - start or 'none'}"
            raise InvalidRecord(fact, MEASURE_AGAIN)
    for layer_input in layer_inputs_of(graph, {layer.name for layer in layers}):
        if shared_layer(graph, layer_input) not in known:
            seen = checkpoint.moments.get(layer_input.name)
            if seen is None or len(seen.mean) != len(layer_input.owner):
                raise InvalidRecord(f"lacks the moments of what {layer_input.name} reads", MEASURE_AGAIN)
    names = ("tensors", "statistics", "moments", "masks", "sensitivities")
    measured = {name: getattr(checkpoint, name) for name in names}
    return PruningContext(graph=graph, layers=layers, weights=weights, **measured)


def stays(owner: Tensor, alive: Tensor) -> Tensor:
    """Which channels stay, (channels,) bool: frozen ones, and those whose unit is alive."""
    return (owner == FROZEN) | alive[owner.clamp(min=0)]


def kept_outputs(graph: ChannelGraph, alive: Tensor) -> dict[str, Tensor]:
    """Which outputs each layer keeps, (outputs,) bool, where the units `alive` (units,) stay."""
    return {
        cut.tensor.removesuffix(".weight"): stays(cut.owner, alive)
        for cut in graph.cuts
        if cut.dim == 0 and cut.tensor in graph.works
    }


def masked(tensors: Mapping[str, Tensor], masks: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """All tensors, zero where their mask is False."""
    return {**tensors, **{name: tensors[name] * mask for name, mask in masks.items()}}


@dataclass(frozen=True)
class RemovalStep:
    """A unit that is removed: the number of its layer, and its own within the graph."""

    layer: int
    unit: int


class Schedule(Protocol):
    """All plans of a method, 0 to `length`; each removes at least about as much as the one before."""

    @property
    def length(self) -> int:
        """The number of the plan that removes most."""

    def plan(self, step: int) -> Plan:
        """Plan number `step`."""
