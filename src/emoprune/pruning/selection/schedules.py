"""SCHEDULES: all plans of each method, from the one that removes nothing to the one that keeps least."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from emoprune import events
from emoprune.choices import MethodName, Price, Scope
from emoprune.networks.costs.profiling import Footprint
from emoprune.pruning.context import PruningContext, RemovalStep, Schedule
from emoprune.pruning.selection.distinctiveness import (
    UnitRemoval,
    distinct,
    smallest_angle_first,
    to_survivors,
)
from emoprune.pruning.selection.magnitude import importances, magnitude_schedule, random_schedule
from emoprune.pruning.selection.reconstruction_cost import Elimination
from emoprune.pruning.types import PRICES, Plan, PruneConfig, Removal

HUNDREDTHS = 100
WIDEST_ANGLE_DEG = 90


@dataclass(frozen=True)
class AngleSchedule:
    """A plan for every hundredth of a degree."""

    within: Callable[[float], Plan]
    length: int = WIDEST_ANGLE_DEG * HUNDREDTHS

    def plan(self, step: int) -> Plan:
        """What is removed under that many hundredths of a degree."""
        return self.within(step / HUNDREDTHS)


@dataclass(frozen=True)
class UnitSchedule:
    """Units one by one; `merges` has the unit that each is merged into, by layer.

    Layers keep a multiple of as many units as `multiples` says, in the order of the graph's spans.
    """

    context: PruningContext
    steps: tuple[RemovalStep, ...]
    multiples: tuple[int, ...]
    merges: Mapping[str, Mapping[int, int]]

    @property
    def length(self) -> int:
        """One plan a step."""
        return len(self.steps)

    def plan(self, step: int) -> Plan:
        """The first `step` units are removed; the last of a layer are kept where rounding asks for them."""
        taken: dict[int, list[int]] = defaultdict(list)
        for each in self.steps[:step]:
            taken[each.layer].append(each.unit)
        removals = []
        chosen = _chosen(self.context).tolist()
        for number, (name, (start, stop)) in enumerate(self.context.graph.spans.items()):
            if chosen[number]:
                left, multiple = stop - start - len(taken[number]), self.multiples[number]
                kept = min(-(-left // multiple) * multiple, stop - start)
                units = [unit - start for unit in taken[number][: stop - start - kept]]
                into = self.merges.get(name, {})
                merges = {unit: into[unit] for unit in units if unit in into}
                rest = tuple(unit for unit in units if unit not in into)
                removals.append(
                    Removal(name, stop - start, tuple(merges), chosen=rest, merges=to_survivors(merges))
                )
        return Plan(tuple(removals))


def distinct_within(context: PruningContext, config: PruneConfig, angle_deg: float) -> Plan:
    """What the distinctiveness rule removes from every layer."""
    rule = partial(distinct, angle_deg=angle_deg, merge=config.merge, center=config.center)
    return Plan(tuple(rule(layer, context.statistics[layer.name]) for layer in context.layers))


def distinct_schedule(context: PruningContext, footprint: Footprint, config: PruneConfig) -> Schedule:
    """The distinctiveness rule at ever wider angles."""
    return AngleSchedule(lambda angle_deg: distinct_within(context, config, angle_deg))


def progressive_within(context: PruningContext, config: PruneConfig, angle_deg: float) -> Plan:
    """What is removed one by one while the smallest angle of a layer is under `angle_deg`."""
    removals = []
    for name, steps in _taken(context, config).items():
        taken = [step for step in steps if step.angle_deg < angle_deg]
        merges = {step.unit: step.into for step in taken if step.into is not None}
        rest = tuple(step.unit for step in taken if step.into is None)
        units, into = context.statistics[name].units, to_survivors(merges)
        removals.append(Removal(name, units, tuple(merges), insignificant=rest, merges=into))
    return Plan(tuple(removals))


def progressive_schedule(context: PruningContext, footprint: Footprint, config: PruneConfig) -> Schedule:
    """The smallest angle of a layer first (Gedeon & Harris 1992; luan2020, section 3.1)."""
    taken = _taken(context, config)
    merges = {
        name: {step.unit: step.into for step in steps if step.into is not None}
        for name, steps in taken.items()
    }
    orders = {name: [step.unit for step in steps] for name, steps in taken.items()}
    return _unit_schedule(context, footprint, config, orders, merges)


def importance_schedule(context: PruningContext, footprint: Footprint, config: PruneConfig) -> Schedule:
    """The smallest L2 norm of a layer's kernel first (luan2020, section 2.3)."""
    orders = {
        layer.name: torch.argsort(importances(context, layer.name), stable=True).tolist()
        for layer in context.layers
    }
    return _unit_schedule(context, footprint, config, orders)


def random_units_schedule(context: PruningContext, footprint: Footprint, config: PruneConfig) -> Schedule:
    """A random order, for comparison."""
    generator = torch.Generator().manual_seed(config.seed)
    orders = {
        layer.name: torch.randperm(stop - start, generator=generator).tolist()
        for layer in context.layers
        for start, stop in [context.graph.spans[layer.name]]
    }
    return _unit_schedule(context, footprint, config, orders)


def reconstruct_schedule(context: PruningContext, footprint: Footprint, config: PruneConfig) -> Schedule:
    """The unit first that the others reconstruct best (see reconstruction_cost)."""
    return _unit_schedule(context, footprint, config, None)


def _unit_schedule(
    context: PruningContext,
    footprint: Footprint,
    config: PruneConfig,
    orders: Mapping[str, Sequence[int]] | None,
    merges: Mapping[str, Mapping[int, int]] | None = None,
) -> UnitSchedule:
    """The units of each layer in its order or, without orders, by cost."""
    steps = removal_steps(context, footprint, orders, scope=config.scope, price=price_of(config))
    count = sum(context.statistics[layer.name].units - 1 for layer in context.layers)
    # a unit of several channels is a multiple by itself
    multiples = tuple(config.multiple // math.gcd(config.multiple, each) for each in footprint.channels)
    return UnitSchedule(context, tuple(events.tracked(steps, "select", count)), multiples, merges or {})


def _taken(context: PruningContext, config: PruneConfig) -> dict[str, list[UnitRemoval]]:
    return {
        layer.name: smallest_angle_first(layer, context.statistics[layer.name], center=config.center)
        for layer in context.layers
    }


SAVING_POWER, BY_SENSITIVITY = 0.75, 1.0
"""How much a saving counts against its cost; 0 would remove what is cheapest, however little it saves.

The second, where costs are those of the answer and not of the next layer alone.
"""


def removal_steps(
    context: PruningContext,
    footprint: Footprint,
    orders: Mapping[str, Sequence[int]] | None = None,
    *,
    scope: Scope,
    price: Price,
) -> Iterator[RemovalStep]:
    """Units one by one until each layer has one left: a layer's in its order of `orders`.

    Without orders, those first that the others reconstruct best. Across layers, scope "global" removes where
    the cost is least for what is saved of `price`, "layer" from the layer that has lost the smallest
    fraction. `footprint` is kept up to date.
    """
    spans = list(context.graph.spans.values())
    queues = [
        [start + unit for unit in reversed((orders or {}).get(name, ()))]
        for name, (start, _) in context.graph.spans.items()
    ]
    units = torch.cat([torch.arange(*context.graph.spans[layer.name]) for layer in context.layers])
    elimination = Elimination(context, units) if orders is None or scope == "global" else None
    layer_of = torch.repeat_interleave(torch.arange(len(spans)), footprint.left)
    whole = footprint.left.clone()
    power = BY_SENSITIVITY if context.weighs_outputs else SAVING_POWER
    closed = ~_chosen(context)
    while not bool((closed | (footprint.left <= 1)).all()):
        if elimination is None or scope == "layer":
            score = 1 - footprint.left / whole
        else:
            least = torch.full((len(spans),), torch.inf, dtype=torch.float64)
            if orders is None:
                least.scatter_reduce_(0, layer_of, elimination.costs, "amin")
            else:
                least = elimination.costs[[queue[-1] if queue else 0 for queue in queues]]
            score = least / footprint.savings(price).double().clamp(min=1) ** power
        score[closed | (footprint.left <= 1)] = torch.inf
        layer = int(score.argmin())
        start, stop = spans[layer]
        if elimination is None or orders is not None:
            unit = queues[layer].pop()
        else:
            unit = start + int(elimination.costs[start:stop].argmin())
        if elimination is not None:
            elimination.remove(unit)
        footprint.take(layer)
        yield RemovalStep(layer, unit)


def _chosen(context: PruningContext) -> Tensor:
    names = {layer.name for layer in context.layers}
    return torch.tensor([name in names for name in context.graph.spans])


def price_of(config: PruneConfig) -> Price:
    """The unit in which savings count: that of the amount, units where there is none."""
    amount = config.given_amount
    return PRICES.get(amount.name, "units") if amount else "units"


SCHEDULES: dict[MethodName, Callable[[PruningContext, Footprint, PruneConfig], Schedule]] = {
    "distinct": distinct_schedule,
    "progressive": progressive_schedule,
    "reconstruct": reconstruct_schedule,
    "importance": importance_schedule,
    "random-units": random_units_schedule,
    "magnitude": magnitude_schedule,
    "random": random_schedule,
}

WITHIN_ANGLE: dict[str, Callable[[PruningContext, PruneConfig, float], Plan]] = {
    "distinct": distinct_within,
    "progressive": progressive_within,
}
"""The plan for one angle in degrees, of the methods that remove by angle."""
