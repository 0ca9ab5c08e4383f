"""The course of a method: all its plans, from the one that takes nothing to the one that leaves least."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from emoprune.choices import Price, Scope
from emoprune.networks.profiling import Footprint
from emoprune.pruning.context import Course, Request, Step, Subject
from emoprune.pruning.distinctiveness import Taken, distinct, smallest_angle_first, to_survivors
from emoprune.pruning.magnitude import importances
from emoprune.pruning.reconstruction_cost import Elimination
from emoprune.pruning.types import Plan, Removal

HUNDREDTHS = 100
WIDEST_ANGLE_DEG = 90


@dataclass(frozen=True)
class ByAngle:
    """A course whose steps are hundredths of a degree."""

    within: Callable[[float], Plan]
    length: int = WIDEST_ANGLE_DEG * HUNDREDTHS

    def plan(self, step: int) -> Plan:
        """What goes under that many hundredths of a degree."""
        return self.within(step / HUNDREDTHS)


@dataclass(frozen=True)
class Walk:
    """A course that takes units one by one; `merges` has the unit that each is merged into, by layer."""

    subject: Subject
    steps: tuple[Step, ...]
    round_to: int
    merges: Mapping[str, Mapping[int, int]]

    @property
    def length(self) -> int:
        """One plan a step."""
        return len(self.steps)

    def plan(self, step: int) -> Plan:
        """The first `step` units go, but those that came last to a layer stay where rounding wants them."""
        taken: dict[int, list[int]] = defaultdict(list)
        for each in self.steps[:step]:
            taken[each.layer].append(each.unit)
        removals = []
        names = {layer.name for layer in self.subject.layers}
        for number, (name, (start, stop)) in enumerate(self.subject.graph.spans.items()):
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


def distinct_within(subject: Subject, request: Request, angle_deg: float) -> Plan:
    """What the distinctiveness rule takes of every layer."""
    return Plan(
        tuple(
            distinct(
                layer,
                subject.statistics[layer.name],
                angle_deg=angle_deg,
                merge=request.merge,
                center=request.center,
            )
            for layer in subject.layers
        )
    )


def distinct_course(subject: Subject, footprint: Footprint, request: Request) -> Course:
    """The distinctiveness rule at ever wider angles."""
    return ByAngle(lambda angle_deg: distinct_within(subject, request, angle_deg))


def progressive_within(subject: Subject, request: Request, angle_deg: float) -> Plan:
    """What goes one by one while the smallest angle of a layer is under `angle_deg`."""
    removals = []
    steps = _taken(subject, request)
    for layer in subject.layers:
        taken = [step for step in steps[layer.name] if step.angle_deg < angle_deg]
        merges = {step.unit: step.into for step in taken if step.into is not None}
        removals.append(
            Removal(
                layer=layer.name,
                units=subject.statistics[layer.name].units,
                similar=tuple(merges),
                insignificant=tuple(step.unit for step in taken if step.into is None),
                merges=to_survivors(merges),
            )
        )
    return Plan(tuple(removals))


def progressive_course(subject: Subject, footprint: Footprint, request: Request) -> Course:
    """The smallest angle of a layer first (Gedeon & Harris 1992; luan2020, section 3.1)."""
    taken = _taken(subject, request)
    merges = {
        name: {step.unit: step.into for step in steps if step.into is not None}
        for name, steps in taken.items()
    }
    orders = {name: [step.unit for step in steps] for name, steps in taken.items()}
    return _walk(subject, request, _ordered(subject, footprint, request, orders), merges)


def importance_course(subject: Subject, footprint: Footprint, request: Request) -> Course:
    """The smallest L2 norm of a layer's kernel first (luan2020, section 2.3)."""
    orders = {
        layer.name: torch.argsort(importances(subject, layer.name), stable=True).tolist()
        for layer in subject.layers
    }
    return _walk(subject, request, _ordered(subject, footprint, request, orders), {})


def random_units_course(subject: Subject, footprint: Footprint, request: Request) -> Course:
    """A random order, for comparison."""
    generator = torch.Generator().manual_seed(request.seed)
    orders = {
        layer.name: torch.randperm(stop - start, generator=generator).tolist()
        for layer in subject.layers
        for start, stop in [subject.graph.spans[layer.name]]
    }
    return _walk(subject, request, _ordered(subject, footprint, request, orders), {})


def reconstruct_course(subject: Subject, footprint: Footprint, request: Request) -> Course:
    """The unit first whose loss the survivors can best make up for (core.elimination)."""
    steps = by_cost(subject, footprint, scope=request.scope, price=request.price)
    return _walk(subject, request, steps, {})


def _ordered(
    subject: Subject, footprint: Footprint, request: Request, orders: Mapping[str, list[int]]
) -> Iterator[Step]:
    return by_order(subject, footprint, orders, scope=request.scope, price=request.price)


def _walk(
    subject: Subject,
    request: Request,
    steps: Iterator[Step],
    merges: Mapping[str, Mapping[int, int]],
) -> Walk:
    count = sum(subject.statistics[layer.name].units - 1 for layer in subject.layers)
    return Walk(subject, tuple(request.watch(steps, count)), request.round_to, merges)


def _taken(subject: Subject, request: Request) -> dict[str, list[Taken]]:
    return {
        layer.name: smallest_angle_first(layer, subject.statistics[layer.name], center=request.center)
        for layer in subject.layers
    }


SAVING_POWER = 0.75
"""How much a saving counts against its cost; 0 would take what is cheapest, however little it saves."""


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
