"""METHODS: every way to choose what goes, known by name before torch is imported."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from emoprune.choices import UnitMeasure

if TYPE_CHECKING:
    from emoprune.networks.profiling import Footprint
    from emoprune.pruning.context import PruningContext, Request, Schedule
    from emoprune.pruning.types import Plan


@dataclass(frozen=True)
class Method:
    """Functions named `module:function`, imported when they are first needed.

    `schedule` makes the method's plans; `within` the one for an angle, where the method looks at angles.
    `one_by_one`: it takes units in an order that can be cut anywhere. `weights`: it takes single weights.
    `tells`: what is measured of the units that are left, step by step.
    """

    meaning: str
    schedule: str
    within: str | None = None
    one_by_one: bool = True
    weights: bool = False
    tells: UnitMeasure = "smallest angle"

    def plans(self, context: PruningContext, footprint: Footprint, request: Request) -> Schedule:
        """All plans of the method."""
        schedule: Schedule = _imported(self.schedule)(context, footprint, request)
        return schedule

    def plan_within(self, context: PruningContext, request: Request, angle_deg: float) -> Plan:
        """What the method would remove because of angles under `angle_deg`."""
        assert self.within is not None
        plan: Plan = _imported(self.within)(context, request, angle_deg)
        return plan


def _imported(name: str) -> Any:
    module, _, function = name.partition(":")
    return getattr(import_module(module), function)


METHODS: dict[str, Method] = {
    "distinct": Method(
        "units that say the same or opposite",
        schedule="emoprune.pruning.schedules:distinct_schedule",
        within="emoprune.pruning.schedules:distinct_within",
        one_by_one=False,
    ),
    "progressive": Method(
        "the smallest angle first",
        schedule="emoprune.pruning.schedules:progressive_schedule",
        within="emoprune.pruning.schedules:progressive_within",
    ),
    "reconstruct": Method(
        "units that others can make up for",
        schedule="emoprune.pruning.schedules:reconstruct_schedule",
    ),
    "importance": Method(
        "the smallest kernel norm first",
        schedule="emoprune.pruning.schedules:importance_schedule",
        tells="least importance",
    ),
    "random-units": Method(
        "any units, for comparison", schedule="emoprune.pruning.schedules:random_units_schedule"
    ),
    "magnitude": Method(
        "small weights become zero",
        schedule="emoprune.pruning.magnitude:magnitude_schedule",
        one_by_one=False,
        weights=True,
    ),
    "random": Method(
        "any weights become zero",
        schedule="emoprune.pruning.magnitude:random_schedule",
        one_by_one=False,
        weights=True,
    ),
}

MASKING = tuple(name for name, entry in METHODS.items() if entry.weights)
"""Methods that mask single weights."""
