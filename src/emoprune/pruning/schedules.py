"""The course of a method: all its plans, from the one that takes nothing to the one that leaves least."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

import torch

from emoprune.choices import Centre, Merge, Price, Scope
from emoprune.networks.footprint import Footprint
from emoprune.pruning import path
from emoprune.pruning.context import Subject
from emoprune.pruning.distinctiveness import Taken, distinct, smallest_angle_first, to_survivors
from emoprune.pruning.importance import importances
from emoprune.pruning.types import Plan, Removal

HUNDREDTHS = 100
WIDEST_ANGLE_DEG = 90


@dataclass(frozen=True)
class Request:
    """What the user asked for beside the amount; a method reads what concerns it.

    `round_to`: every layer keeps a multiple of it, as far as it has that many. `price` is what a saving is
    measured in where layers compete. `weights` are the parameters that may lose single weights. `watch` is
    handed the steps of a long selection and their number, to tell how far it is.
    """

    merge: Merge = "lstsq"
    centre: Centre | None = None
    scope: Scope = "global"
    price: Price = "macs"
    round_to: int = 1
    seed: int = 0
    weights: tuple[str, ...] = ()
    watch: Callable[[Iterator[path.Step], int], Iterator[path.Step]] = lambda steps, count: steps


class Course(Protocol):
    """Plans 0 to `length`; each takes at least about as much as the one before."""

    @property
    def length(self) -> int:
        """The number of the harshest plan."""

    def plan(self, step: int) -> Plan:
        """Plan number `step`."""


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
    steps: tuple[path.Step, ...]
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
                centre=request.centre,
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
    steps = path.by_cost(subject, footprint, scope=request.scope, price=request.price)
    return _walk(subject, request, steps, {})


def _ordered(
    subject: Subject, footprint: Footprint, request: Request, orders: Mapping[str, list[int]]
) -> Iterator[path.Step]:
    return path.by_order(subject, footprint, orders, scope=request.scope, price=request.price)


def _walk(
    subject: Subject,
    request: Request,
    steps: Iterator[path.Step],
    merges: Mapping[str, Mapping[int, int]],
) -> Walk:
    count = sum(subject.statistics[layer.name].units - 1 for layer in subject.layers)
    return Walk(subject, tuple(request.watch(steps, count)), request.round_to, merges)


def _taken(subject: Subject, request: Request) -> dict[str, list[Taken]]:
    return {
        layer.name: smallest_angle_first(layer, subject.statistics[layer.name], centre=request.centre)
        for layer in subject.layers
    }
