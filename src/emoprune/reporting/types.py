"""What reports are made of: evaluations, learning curves, and the steps of a pruning."""

from __future__ import annotations

import re
from dataclasses import dataclass

from emoprune.choices import ClassMeasure, Measured, StepMeasure
from emoprune.evaluation.types import Metrics
from emoprune.pruning.types import PruningCourse
from emoprune.training.types import LearningCurve

STEP_LABEL = re.compile(r"(.+?), (\d{1,3}(?:,\d{3})+|\d+) units?")


@dataclass(frozen=True)
class Printed:
    """A number that a paper prints, and where; of one class, or of the whole."""

    label: str
    measure: Measured | ClassMeasure | StepMeasure
    value: float
    where: str
    of_class: str | None = None

    @property
    def step(self) -> tuple[str, int] | None:
        """The label of a pruning and the units left, of a label as "sum, 9 units"; None of any other."""
        found = STEP_LABEL.fullmatch(self.label)
        return (found[1], int(found[2].replace(",", ""))) if found else None


@dataclass(frozen=True)
class Runs:
    """All that a report was given, each kind in the order in which it came."""

    evaluations: tuple[Metrics, ...] = ()
    curves: tuple[LearningCurve, ...] = ()
    courses: tuple[PruningCourse, ...] = ()

    def __add__(self, other: Runs) -> Runs:
        """These, then the other ones."""
        return Runs(
            self.evaluations + other.evaluations, self.curves + other.curves, self.courses + other.courses
        )
