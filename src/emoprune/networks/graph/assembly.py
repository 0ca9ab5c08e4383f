"""Assemble the channel graph: units, layers and layer inputs from tied channel ids."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, fx, nn

from emoprune.networks.graph.channel_ids import Channels, Ids, Pool
from emoprune.networks.graph.types import FROZEN, ChannelGraph, Consumer, Cut, LayerInput, Obstacle, Work
from emoprune.networks.types import HiddenLayer


@dataclass
class Ties:
    """What tracing found, by channel ids."""

    writers: list[tuple[str, Ids]] = field(default_factory=list)
    cuts: list[tuple[str, int, Ids]] = field(default_factory=list)
    works: dict[str, Work] = field(default_factory=dict)
    consumers: dict[fx.Node, tuple[Channels, list[Consumer]]] = field(default_factory=dict)


def assemble(pool: Pool, ties: Ties, modules: Mapping[str, nn.Module]) -> ChannelGraph:
    """Number the units layer by layer, in network order, and express everything found in units.

    A unit is a set of tied channels that some layer writes, some layer reads and nothing freezes. It
    belongs to the first layer that writes it.
    """
    obstacles = pool.obstacles()
    read = {int(root) for value, _ in ties.consumers.values() for root in set(pool.roots(value.ids))}
    unit_of: dict[int, int] = {}
    written: set[int] = set()
    spans: dict[str, tuple[int, int]] = {}
    blocked: list[Obstacle] = []
    for layer, ids in ties.writers:
        roots = [root for root in pool.roots(ids).tolist() if root not in written]
        written.update(roots)
        operations = [obstacles[root] for root in roots if obstacles.get(root)]
        if operations:
            blocked.append(Obstacle(layer, len(operations), operations[0]))
        free = [root for root in dict.fromkeys(roots) if root not in obstacles and root in read]
        if free:
            start = len(unit_of)
            unit_of.update(zip(free, range(start, start + len(free)), strict=True))
            spans[layer] = (start, len(unit_of))

    def owner(ids: Ids) -> Tensor:
        return torch.tensor([unit_of.get(pool.root(int(channel)), FROZEN) for channel in ids])

    activations: dict[str, str] = {}
    layer_inputs = []
    for value, (first, *others) in ties.consumers.values():
        whole = math.prod(value.shape[1:]) // len(value.ids)
        mapped = value.spread > 1 or (value.dim == 1 and whole > 1)
        found = LayerInput(first.layer, (first, *others), owner(value.ids), value.spread, mapped, value.dim)
        if bool((found.owner != FROZEN).any()):
            layer_inputs.append(found)
            activations[first.layer] = value.activation
    layers, sources = _layers(spans, layer_inputs, activations)
    cuts = [Cut(tensor, dim, owner(ids)) for tensor, dim, ids in ties.cuts]
    return ChannelGraph(
        layers=layers,
        spans=spans,
        sources=sources,
        layer_inputs=tuple(layer_inputs),
        cuts=tuple(cut for cut in cuts if bool((cut.owner != FROZEN).any())),
        works=ties.works,
        obstacles=tuple(blocked),
    )


def _layers(
    spans: Mapping[str, tuple[int, int]], layer_inputs: list[LayerInput], activations: Mapping[str, str]
) -> tuple[tuple[HiddenLayer, ...], dict[str, str]]:
    """Every layer with its consumers, and the first layer input that has all of its units."""
    layer_of = np.repeat(np.arange(len(spans)), [stop - start for start, stop in spans.values()])
    names = list(spans)
    consumers: dict[str, list[str]] = defaultdict(list)
    sources: dict[str, str] = {}
    for layer_input in layer_inputs:
        present = layer_input.owner[layer_input.owner != FROZEN]
        for index in dict.fromkeys(layer_of[present.numpy()].tolist()):
            name = names[index]
            consumers[name] += [consumer.layer for consumer in layer_input.consumers]
            start, stop = spans[name]
            if len(set(present[(present >= start) & (present < stop)].tolist())) == stop - start:
                sources.setdefault(name, layer_input.name)
    layers = (HiddenLayer(name, activations[sources[name]], tuple(consumers[name])) for name in names)
    return tuple(layers), sources
