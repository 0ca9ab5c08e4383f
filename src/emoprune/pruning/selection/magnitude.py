"""Single weights that become zero: structure stays, zeros are counted (elazar2020, section 2)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor

from emoprune.networks.costs.profiling import Footprint
from emoprune.networks.graph.types import FROZEN, ChannelGraph
from emoprune.networks.statistics.activation_statistics import Collector, shared_layer
from emoprune.pruning.context import PruningContext, stays
from emoprune.pruning.types import Plan, PruneConfig, Removal


@dataclass(frozen=True)
class WeightSchedule:
    """A schedule that takes single weights, in `order`: indices into all of `shapes`, one after the other."""

    shapes: Mapping[str, tuple[int, ...]]
    order: Tensor

    @property
    def length(self) -> int:
        """All weights but one."""
        return len(self.order) - 1

    def plan(self, step: int) -> Plan:
        """The first `step` weights of the order become zero."""
        left = torch.ones(len(self.order), dtype=torch.bool)
        left[self.order[:step]] = False
        parts = left.split([prod(shape) for shape in self.shapes.values()])
        masks = {
            name: part.reshape(shape) for (name, shape), part in zip(self.shapes.items(), parts, strict=True)
        }
        return Plan((), masks)


def magnitude_schedule(context: PruningContext, footprint: Footprint, config: PruneConfig) -> WeightSchedule:
    """The smallest weights first."""
    return _schedule(context, config, [context.tensors[name].abs().flatten() for name in context.weights])


def random_schedule(context: PruningContext, footprint: Footprint, config: PruneConfig) -> WeightSchedule:
    """Any weights, those that are zero already before all others."""
    generator = torch.Generator().manual_seed(config.seed)
    scores = []
    for name in context.weights:
        weight = context.tensors[name].flatten()
        scores.append(torch.where(weight == 0, 0.0, torch.rand(weight.shape, generator=generator) + 1))
    return _schedule(context, config, scores)


def _schedule(context: PruningContext, config: PruneConfig, scores: list[Tensor]) -> WeightSchedule:
    if config.scope == "layer":
        # by their place within the layer, so that every layer loses the same fraction
        scores = [score.argsort(stable=True).argsort().add(1).double() / len(score) for score in scores]
    shapes = {name: tuple(context.tensors[name].shape) for name in context.weights}
    return WeightSchedule(shapes, torch.argsort(torch.cat(scores), stable=True))


def silenced(graph: ChannelGraph, tensors: Mapping[str, Tensor], seen: Collector) -> Plan:
    """The units that zero weights have silenced: none reads them, or all that write them are zero.

    `tensors` are those of the network with its masks applied, `seen` what its layers read of any input: a
    unit whose kernels are zero is silent only if its bias and batch norm leave it at zero, too. What only
    silenced units read is silenced with them. One unit of a layer stays at least.
    """
    active = _active(graph, seen)
    owners: dict[str, dict[int, Tensor]] = defaultdict(dict)
    for place in graph.cuts:
        if place.tensor in graph.works and graph.works[place.tensor].groups == 1:
            owners[place.tensor][place.dim] = place.owner
    heard = torch.ones(graph.units, dtype=torch.bool)
    while True:
        written, read = active.clone(), torch.zeros_like(heard)
        for name, owner in owners.items():
            weight = tensors[name].flatten(2).abs().sum(2) if tensors[name].ndim > 2 else tensors[name].abs()
            for dim in owner:
                there = stays(owner[1 - dim], heard) if 1 - dim in owner else slice(None)
                strength = weight.transpose(0, dim)[:, there].sum(1)
                units = owner[dim][(strength > 0) & (owner[dim] != FROZEN)]
                (read if dim else written)[units] = True
        left = heard & written & read
        if torch.equal(left, heard):
            break
        heard = left
    for start, stop in graph.spans.values():
        heard[start] |= not bool(heard[start:stop].any())
    return Plan(
        tuple(
            Removal(name, stop - start, insignificant=tuple(gone))
            for name, (start, stop) in graph.spans.items()
            if (gone := torch.nonzero(~heard[start:stop]).flatten().tolist())
        )
    )


def _active(graph: ChannelGraph, seen: Collector) -> Tensor:
    """Which units are not zero at every position that some layer reads, (units,) bool."""
    active = torch.zeros(graph.units, dtype=torch.bool)
    for layer_input in graph.layer_inputs:
        layer = shared_layer(graph, layer_input)
        moments = seen.statistics[layer] if layer else seen.moments[layer_input.name]
        moving = (moments.mean != 0) | (moments.covariance.diagonal() != 0)
        active[layer_input.owner[moving & (layer_input.owner != FROZEN)]] = True
    return active


def importances(context: PruningContext, layer: str) -> Tensor:
    """Root of the sum of squares of each unit's kernel over its positions, (units,).

    For a kernel of k x k weights on one input channel that is the published I = sqrt(sum(a^2) / k^2); more
    input channels add their squares.
    """
    start, stop = context.graph.spans[layer]
    name = f"{layer}.weight"
    owner = next(cut.owner for cut in context.graph.cuts if (cut.tensor, cut.dim) == (name, 0))
    weight = context.tensors[name].double()
    squares = weight.square().flatten(1).sum(1) / weight[0, 0].numel()
    inner = (owner >= start) & (owner < stop)
    found = torch.zeros(stop - start, dtype=torch.float64)
    return found.index_add_(0, owner[inner] - start, squares[inner]).sqrt()
