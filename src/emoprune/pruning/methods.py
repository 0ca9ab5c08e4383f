"""METHODS: every way to choose what goes, known by name before torch is imported."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from emoprune.choices import UnitMeasure

if TYPE_CHECKING:
    from emoprune.networks.profiling import Footprint
    from emoprune.pruning.context import Course, Request, Subject
    from emoprune.pruning.types import Plan


@dataclass(frozen=True)
class Method:
    """Functions named `module:function`, imported when they are first needed.

    `course` makes the method's plans; `within` the one for an angle, where the method looks at angles.
    `one_by_one`: it takes units in an order that can be cut anywhere. `weights`: it takes single weights.
    `tells`: what is measured of the units that are left, step by step.
    """

    meaning: str
    course: str
    within: str | None = None
    one_by_one: bool = True
    weights: bool = False
    tells: UnitMeasure = "smallest angle"

    def plans(self, subject: Subject, footprint: Footprint, request: Request) -> Course:
        """All plans of the method."""
        course: Course = _imported(self.course)(subject, footprint, request)
        return course

    def plan_within(self, subject: Subject, request: Request, angle_deg: float) -> Plan:
        """What the method would remove because of angles under `angle_deg`."""
        assert self.within is not None
        plan: Plan = _imported(self.within)(subject, request, angle_deg)
        return plan


def _imported(name: str) -> Any:
    module, _, function = name.partition(":")
    return getattr(import_module(module), function)


METHODS: dict[str, Method] = {
    "distinct": Method(
        "units that say the same or opposite",
        course="emoprune.pruning.schedules:distinct_course",
        within="emoprune.pruning.schedules:distinct_within",
        one_by_one=False,
    ),
    "progressive": Method(
        "the smallest angle first",
        course="emoprune.pruning.schedules:progressive_course",
        within="emoprune.pruning.schedules:progressive_within",
    ),
    "reconstruct": Method(
        "units that others can make up for",
        course="emoprune.pruning.schedules:reconstruct_course",
    ),
    "importance": Method(
        "the smallest kernel norm first",
        course="emoprune.pruning.schedules:importance_course",
        tells="least importance",
    ),
    "random-units": Method(
        "any units, for comparison", course="emoprune.pruning.schedules:random_units_course"
    ),
    "magnitude": Method(
        "small weights become zero",
        course="emoprune.pruning.magnitude:magnitude_course",
        one_by_one=False,
        weights=True,
    ),
    "random": Method(
        "any weights become zero",
        course="emoprune.pruning.magnitude:random_course",
        one_by_one=False,
        weights=True,
    ),
}
