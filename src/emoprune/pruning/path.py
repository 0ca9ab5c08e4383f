"""The order in which units go, through all layers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from emoprune.choices import Price, Scope
from emoprune.networks.footprint import Footprint
from emoprune.pruning.context import Subject
from emoprune.pruning.reconstruction_cost import Elimination

SAVING_POWER = 0.75
"""How much a saving counts against its cost; 0 would take what is cheapest, however little it saves."""


@dataclass(frozen=True)
class Step:
    """A unit that goes: the number of its layer, and its own within the graph."""

    layer: int
    unit: int


def by_cost(subject: Subject, footprint: Footprint, *, scope: Scope, price: Price) -> Iterator[Step]:
    """Units one by one, those first that the others can best make up for, until each layer has one left.

    Across layers, scope "global" takes the least cost against what is saved of `price`, "layer" takes from
    the layer that has lost the smallest share. `footprint` is kept up to date.
    """
    elimination = Elimination(subject, _units(subject))
    starts = [start for start, _ in subject.graph.spans.values()]
    stops = [stop for _, stop in subject.graph.spans.values()]
    layer_of = torch.repeat_interleave(torch.arange(len(starts)), footprint.left)
    whole = footprint.left.clone()
    closed = ~_chosen(subject)
    while not bool((closed | (footprint.left <= 1)).all()):
        least = torch.full((len(starts),), torch.inf, dtype=torch.float64)
        least.scatter_reduce_(0, layer_of, elimination.costs, "amin")
        layer = _next_layer(footprint, whole, closed, least, scope, price)
        unit = starts[layer] + int(elimination.costs[starts[layer] : stops[layer]].argmin())
        elimination.remove(unit)
        footprint.take(layer)
        yield Step(layer, unit)


def by_order(
    subject: Subject,
    footprint: Footprint,
    orders: Mapping[str, Sequence[int]],
    *,
    scope: Scope,
    price: Price,
) -> Iterator[Step]:
    """Units one by one, each layer's in its order of `orders`; across layers as `by_cost` has it."""
    elimination = Elimination(subject, _units(subject)) if scope == "global" else None
    queues = [
        [start + unit for unit in orders.get(name, ())] for name, (start, _) in subject.graph.spans.items()
    ]
    heads = [0] * len(queues)
    whole = footprint.left.clone()
    closed = ~_chosen(subject)
    while not bool((closed | (footprint.left <= 1)).all()):
        least = torch.zeros(len(queues), dtype=torch.float64)
        if elimination is not None:
            front = [
                queue[head] if head < len(queue) else 0 for queue, head in zip(queues, heads, strict=True)
            ]
            least = elimination.costs[front]
        layer = _next_layer(footprint, whole, closed, least, scope, price)
        unit = queues[layer][heads[layer]]
        heads[layer] += 1
        if elimination is not None:
            elimination.remove(unit)
        footprint.take(layer)
        yield Step(layer, unit)


def _chosen(subject: Subject) -> Tensor:
    names = {layer.name for layer in subject.layers}
    return torch.tensor([name in names for name in subject.graph.spans])


def _units(subject: Subject) -> Tensor:
    return torch.cat([torch.arange(*subject.graph.spans[layer.name]) for layer in subject.layers])


def _next_layer(
    footprint: Footprint, whole: Tensor, closed: Tensor, least: Tensor, scope: Scope, price: Price
) -> int:
    if scope == "layer":
        score = 1 - footprint.left / whole
    else:
        score = least / footprint.savings(price).double().clamp(min=1) ** SAVING_POWER
    score[closed | (footprint.left <= 1)] = torch.inf
    return int(score.argmin())
