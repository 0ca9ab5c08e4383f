"""METHODS: every way to choose what is removed, known by name before torch is imported.

A new method is one entry here and one function in `schedules.SCHEDULES`.
"""

from __future__ import annotations

from dataclasses import dataclass

from emoprune.choices import MethodName, UnitMeasure


@dataclass(frozen=True)
class Method:
    """What a method is in a few words, and what it can be asked for.

    `by_angle`: it removes what lies under an angle. `one_by_one`: it removes units in an order that can end
    anywhere. `weights`: it sets single weights to zero. `measure`: what its steps report of the units kept.
    """

    meaning: str
    by_angle: bool = False
    one_by_one: bool = True
    weights: bool = False
    measure: UnitMeasure = "smallest angle"


METHODS: dict[MethodName, Method] = {
    "distinct": Method("units that are similar or opposite", by_angle=True, one_by_one=False),
    "progressive": Method("the smallest angle first", by_angle=True),
    "reconstruct": Method("units that others reconstruct"),
    "importance": Method("the smallest kernel norm first", measure="least importance"),
    "random-units": Method("random units, for comparison"),
    "magnitude": Method("small weights become zero", one_by_one=False, weights=True),
    "random": Method("random weights become zero", one_by_one=False, weights=True),
}

MASKING = tuple(name for name, method in METHODS.items() if method.weights)
"""Methods after which statistics that were measured before are out of date."""
