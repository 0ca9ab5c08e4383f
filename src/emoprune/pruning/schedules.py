"""SCHEDULES: all plans of each method, from the one that removes nothing to the one that keeps least."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from emoprune import events
from emoprune.choices import MethodName, Price, Scope
from emoprune.networks.profiling import Footprint
from emoprune.pruning.context import PruningContext, RemovalStep, Schedule
from emoprune.pruning.distinctiveness import UnitRemoval, distinct, smallest_angle_first, to_survivors
from emoprune.pruning.magnitude import importances, magnitude_schedule, random_schedule
from emoprune.pruning.reconstruction_cost import Elimination
from emoprune.pruning.types import Plan, PruneConfig, Removal

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
    """Units one by one; `merges` has the unit that each is merged into, by layer."""

    context: PruningContext
    steps: tuple[RemovalStep, ...]
    round_to: int
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
        names = {layer.name for layer in self.context.layers}
        for number, (name, (start, stop)) in enumerate(self.context.graph.spans.items()):
            if name in names:
                units = [unit - start for unit in taken[number]]
                left = stop - start - len(units)
                kept = min(-(-left // self.round_to) * self.round_to, stop - start)
                removals.append(self._removal(name, stop - start, units[: stop - start - kept]))
        return Plan(tuple(removals))

    def _removal(self, layer: str, count: int, units: list[int]) -> Removal:
        gone = set(units)
        merges = {unit: into for unit, into in self.merges.get(layer, {}).items() if unit in gone}
        return Removal(
            layer=layer,
            units=count,
            similar=tuple(unit for unit in units if unit in merges),
            chosen=tuple(unit for unit in units if unit not in merges),
            merges=to_survivors(merges),
        )


def distinct_within(context: PruningContext, config: PruneConfig, angle_deg: float) -> Plan:
    """What the distinctiveness rule removes from every layer."""
    return Plan(
        tuple(
            distinct(
                layer,
                context.statistics[layer.name],
                angle_deg=angle_deg,
                merge=config.merge,
                center=config.center,
            )
            for layer in context.layers
        )
    )


def distinct_schedule(context: PruningContext, footprint: Footprint, config: PruneConfig) -> Schedule:
    """The distinctiveness rule at ever wider angles."""
    return AngleSchedule(lambda angle_deg: distinct_within(context, config, angle_deg))


def progressive_within(context: PruningContext, config: PruneConfig, angle_deg: float) -> Plan:
    """What is removed one by one while the smallest angle of a layer is under `angle_deg`."""
    removals = []
    steps = _taken(context, config)
    for layer in context.layers:
        taken = [step for step in steps[layer.name] if step.angle_deg < angle_deg]
        merges = {step.unit: step.into for step in taken if step.into is not None}
        removals.append(
            Removal(
                layer=layer.name,
                units=context.statistics[layer.name].units,
                similar=tuple(merges),
                insignificant=tuple(step.unit for step in taken if step.into is None),
                merges=to_survivors(merges),
            )
        )
    return Plan(tuple(removals))


def progressive_schedule(context: PruningContext, footprint: Footprint, config: PruneConfig) -> Schedule:
    """The smallest angle of a layer first (Gedeon & Harris 1992; luan2020, section 3.1)."""
    taken = _taken(context, config)
    merges = {
        name: {step.unit: step.into for step in steps if step.into is not None}
        for name, steps in taken.items()
    }
    orders = {name: [step.unit for step in steps] for name, steps in taken.items()}
    return _unit_schedule(context, config, _ordered(context, footprint, config, orders), merges)


def importance_schedule(context: PruningContext, footprint: Footprint, config: PruneConfig) -> Schedule:
    """The smallest L2 norm of a layer's kernel first (luan2020, section 2.3)."""
    orders = {
        layer.name: torch.argsort(importances(context, layer.name), stable=True).tolist()
        for layer in context.layers
    }
    return _unit_schedule(context, config, _ordered(context, footprint, config, orders), {})


def random_units_schedule(context: PruningContext, footprint: Footprint, config: PruneConfig) -> Schedule:
    """A random order, for comparison."""
    generator = torch.Generator().manual_seed(config.seed)
    orders = {
        layer.name: torch.randperm(stop - start, generator=generator).tolist()
        for layer in context.layers
        for start, stop in [context.graph.spans[layer.name]]
    }
    return _unit_schedule(context, config, _ordered(context, footprint, config, orders), {})


def reconstruct_schedule(context: PruningContext, footprint: Footprint, config: PruneConfig) -> Schedule:
    """The unit first that the others reconstruct best (see reconstruction_cost)."""
    steps = by_cost(context, footprint, scope=config.scope, price=price_of(config))
    return _unit_schedule(context, config, steps, {})


def _ordered(
    context: PruningContext, footprint: Footprint, config: PruneConfig, orders: Mapping[str, list[int]]
) -> Iterator[RemovalStep]:
    return by_order(context, footprint, orders, scope=config.scope, price=price_of(config))


def _unit_schedule(
    context: PruningContext,
    config: PruneConfig,
    steps: Iterator[RemovalStep],
    merges: Mapping[str, Mapping[int, int]],
) -> UnitSchedule:
    count = sum(context.statistics[layer.name].units - 1 for layer in context.layers)
    return UnitSchedule(context, tuple(events.tracked(steps, "select", count)), config.round_to, merges)


def _taken(context: PruningContext, config: PruneConfig) -> dict[str, list[UnitRemoval]]:
    return {
        layer.name: smallest_angle_first(layer, context.statistics[layer.name], center=config.center)
        for layer in context.layers
    }


SAVING_POWER = 0.75
"""How much a saving counts against its cost; 0 would remove what is cheapest, however little it saves."""


def by_cost(
    context: PruningContext, footprint: Footprint, *, scope: Scope, price: Price
) -> Iterator[RemovalStep]:
    """Units one by one, those first that the others reconstruct best, until each layer has one left.

    Across layers, scope "global" removes where the cost is least for what is saved of `price`, "layer" from
    the layer that has lost the smallest fraction. `footprint` is kept up to date.
    """
    elimination = Elimination(context, _units(context))
    starts = [start for start, _ in context.graph.spans.values()]
    stops = [stop for _, stop in context.graph.spans.values()]
    layer_of = torch.repeat_interleave(torch.arange(len(starts)), footprint.left)
    whole = footprint.left.clone()
    closed = ~_chosen(context)
    while not bool((closed | (footprint.left <= 1)).all()):
        least = torch.full((len(starts),), torch.inf, dtype=torch.float64)
        least.scatter_reduce_(0, layer_of, elimination.costs, "amin")
        layer = _next_layer(footprint, whole, closed, least, scope, price)
        unit = starts[layer] + int(elimination.costs[starts[layer] : stops[layer]].argmin())
        elimination.remove(unit)
        footprint.take(layer)
        yield RemovalStep(layer, unit)


def by_order(
    context: PruningContext,
    footprint: Footprint,
    orders: Mapping[str, Sequence[int]],
    *,
    scope: Scope,
    price: Price,
) -> Iterator[RemovalStep]:
    """Units one by one, each layer's in its order of `orders`; across layers as `by_cost` has it."""
    elimination = Elimination(context, _units(context)) if scope == "global" else None
    queues = [
        [start + unit for unit in orders.get(name, ())] for name, (start, _) in context.graph.spans.items()
    ]
    heads = [0] * len(queues)
    whole = footprint.left.clone()
    closed = ~_chosen(context)
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
        yield RemovalStep(layer, unit)


def _chosen(context: PruningContext) -> Tensor:
    names = {layer.name for layer in context.layers}
    return torch.tensor([name in names for name in context.graph.spans])


def _units(context: PruningContext) -> Tensor:
    return torch.cat([torch.arange(*context.graph.spans[layer.name]) for layer in context.layers])


def _next_layer(
    footprint: Footprint, whole: Tensor, closed: Tensor, least: Tensor, scope: Scope, price: Price
) -> int:
    if scope == "layer":
        score = 1 - footprint.left / whole
    else:
        score = least / footprint.savings(price).double().clamp(min=1) ** SAVING_POWER
    score[closed | (footprint.left <= 1)] = torch.inf
    return int(score.argmin())


def price_of(config: PruneConfig) -> Price:
    """The unit in which savings count: that of the amount, units where there is none."""
    amount = config.given_amount
    return amount.price if amount else "units"


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
