"""Assemble the channel graph: units, layers and layer inputs from tied channel ids."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, fx

from emoprune.networks.graph.channel_ids import Channels, Ids, Pool
from emoprune.networks.graph.types import (
    FROZEN,
    ChannelGraph,
    Consumer,
    Cut,
    LayerInput,
    Number,
    Obstacle,
    Work,
)
from emoprune.networks.types import HiddenLayer

APART = "parts that are read apart"
LAST = "a part that would have no channel left"


@dataclass
class Ties:
    """What tracing found, by channel ids."""

    writers: list[tuple[str, Ids]] = field(default_factory=list)
    cuts: list[tuple[str, int, Ids, bool]] = field(default_factory=list)
    works: dict[str, Work] = field(default_factory=dict)
    consumers: dict[fx.Node, tuple[Channels, list[Consumer]]] = field(default_factory=dict)
    numbers: list[tuple[str, Ids]] = field(default_factory=list)


def assemble(pool: Pool, ties: Ties) -> ChannelGraph:
    """Number the units layer by layer, in network order, and express everything found in units.

    A unit is a set of tied channels that some layer writes, some layer reads and nothing freezes. It
    belongs to the first layer that writes it. A layer keeps one unit at least, and so does every part of it
    that is read by itself.
    """
    unit_of, spans, blocked = _numbered(pool, ties)
    while stuck := _stuck(pool, ties, unit_of, spans):
        for operation, roots in stuck:
            pool.freeze(np.array(roots), operation)
        unit_of, spans, blocked = _numbered(pool, ties)

    def owner(ids: Ids) -> Tensor:
        return torch.tensor(
            [unit_of.get(root, FROZEN) for root in pool.roots(ids).tolist()], dtype=torch.long
        )

    activations: dict[str, str] = {}
    layer_inputs = []
    for value, (first, *others) in ties.consumers.values():
        channels = value.line[:: value.spread]
        whole = math.prod(value.shape[1:]) // len(channels)
        mapped = value.spread > 1 or (value.dim == 1 and whole > 1)
        found = LayerInput(first.layer, (first, *others), owner(channels), value.spread, mapped, value.dim)
        if bool((found.owner != FROZEN).any()):
            layer_inputs.append(found)
            activations[first.layer] = value.activation
    layers, sources = _layers(spans, layer_inputs, activations)
    cuts = [Cut(tensor, dim, owner(ids), alone) for tensor, dim, ids, alone in ties.cuts]
    numbers = [Number(name, owner(ids)) for name, ids in ties.numbers]
    return ChannelGraph(
        layers=layers,
        spans=spans,
        sources=sources,
        layer_inputs=tuple(layer_inputs),
        cuts=tuple(cut for cut in cuts if bool((cut.owner != FROZEN).any())),
        numbers=tuple(number for number in numbers if bool((number.owner != FROZEN).any())),
        works=ties.works,
        obstacles=tuple(blocked),
    )


Spans = dict[str, tuple[int, int]]


def _numbered(pool: Pool, ties: Ties) -> tuple[dict[int, int], Spans, list[Obstacle]]:
    """The unit of each root that can be removed, the units of each layer, and what cannot be removed."""
    obstacles = pool.obstacles()
    read = {root for value, _ in ties.consumers.values() for root in pool.roots(value.line).tolist()}
    unit_of: dict[int, int] = {}
    written: set[int] = set()
    spans: Spans = {}
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
    return unit_of, spans, blocked


def _stuck(pool: Pool, ties: Ties, unit_of: Mapping[int, int], spans: Spans) -> list[tuple[str, list[int]]]:
    """Roots that have to stay, and why: nothing may lose all of its channels, nor be read in parts alone."""
    root_of = list(unit_of)
    layer_of = {unit: layer for layer, (start, stop) in spans.items() for unit in range(start, stop)}

    def layers_within(ids: Ids) -> tuple[set[int], set[str], bool]:
        found = [unit_of.get(root, FROZEN) for root in np.unique(pool.roots(ids)).tolist()]
        units = set(found) - {FROZEN}
        within = {layer_of[unit] for unit in units}
        return units, {each for each in within if units.issuperset(range(*spans[each]))}, FROZEN in found

    together = {layer for value, _ in ties.consumers.values() for layer in layers_within(value.line)[1]}
    stuck = [
        (APART, [root_of[unit] for unit in range(*span)])
        for layer, span in spans.items()
        if layer not in together
    ]
    for _, _, ids, _ in ties.cuts:
        units, whole, some_stay = layers_within(ids)
        if units and not whole and not some_stay:
            stuck.append((LAST, [root_of[min(units)]]))
    return stuck


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
