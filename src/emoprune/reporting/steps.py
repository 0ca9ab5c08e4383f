"""Steps of prunings, gathered by label and by the units that are left; and what a paper prints of them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from emoprune.choices import StepMeasure
from emoprune.pruning.types import PruningCurve, PruningStep
from emoprune.reporting.confidence import estimate
from emoprune.reporting.types import Estimate, Printed

KEYS: dict[StepMeasure, str] = {
    "loss": "loss",
    "accuracy": "accuracy",
    "smallest angle": "smallest_angle_deg",
    "least importance": "least_importance",
}
"""The names of measures in records, JSON and CSV."""


@dataclass(frozen=True)
class StepGroup:
    """Where prunings of one label have so many units left: a step of each; none where only a paper does."""

    label: str
    units: int
    steps: tuple[PruningStep, ...] = ()

    def mean(self, measure: StepMeasure) -> Estimate | None:
        """A measure over the runs that have it, angles in degrees; None where none has."""
        values = [getattr(step, KEYS[measure]) for step in self.steps]
        measured = [value for value in values if value is not None]
        return estimate(measured) if measured else None


def by_units(prunings: Iterable[PruningCurve]) -> list[StepGroup]:
    """A group per label and number of units left: labels in the order in which they come, most units first.

    A pruning counts once in a group, with the last of its steps of so many units.
    """
    gathered: dict[str, dict[int, list[PruningStep]]] = {}
    for pruning in prunings:
        groups = gathered.setdefault(pruning.name, {})
        for units, step in {step.units: step for step in pruning.steps}.items():
            groups.setdefault(units, []).append(step)
    return [
        StepGroup(label, units, tuple(groups[units]))
        for label, groups in gathered.items()
        for units in sorted(groups, reverse=True)
    ]


def with_printed(found: Sequence[StepGroup], printed: Iterable[Printed]) -> list[StepGroup]:
    """The groups and those that only a paper has, which come at their units, and after our labels."""
    ours = {(group.label, group.units): group for group in found}
    theirs = {entry.step: StepGroup(*entry.step) for entry in printed if entry.step is not None}
    groups = theirs | ours
    labels = dict.fromkeys(label for label, _ in (*ours, *theirs))
    return [
        groups[label, units]
        for label in labels
        for units in sorted((units for name, units in groups if name == label), reverse=True)
    ]


def shared_out(
    printed: Iterable[Printed], *, evaluated: Collection[str], found: Iterable[StepGroup]
) -> tuple[list[Printed], list[Printed]]:
    """A paper's numbers for the evaluations and those for the steps.

    A label as "sum, 9 units" means a step. The accuracy of one that evaluations are labeled with stands
    beside these, and beside the step only where ours have it too.
    """
    groups = {(group.label, group.units) for group in found}
    of_evaluations, of_steps = [], []
    for entry in printed:
        is_step = entry.step is not None and entry.measure in KEYS
        labeled = entry.label in evaluated and entry.measure == "accuracy"
        if is_step and (not labeled or entry.step in groups):
            of_steps.append(entry)
        if not is_step or labeled:
            of_evaluations.append(entry)
    return of_evaluations, of_steps
