"""What reports are made of: evaluations, learning curves, and the steps of a pruning."""

from __future__ import annotations

from dataclasses import dataclass

from emoprune.errors import InvalidRecord
from emoprune.records.network import Epoch
from emoprune.records.scores import Metrics, check_label


@dataclass(frozen=True)
class LearningCurve:
    """How the training of one model went (schema emoprune.training/1)."""

    model: str
    training: tuple[Epoch, ...]
    label: str | None = None

    def __post_init__(self) -> None:
        check_label(self.label)
        if not self.training:
            raise InvalidRecord("a learning curve without epochs", "give a model that was trained")

    @property
    def name(self) -> str:
        """Its label or, without one, its model."""
        return self.label or self.model


@dataclass(frozen=True)
class PruningStep:
    """The network with so many units left; None is what was not measured."""

    units: int
    loss: float | None = None
    accuracy: float | None = None
    smallest_angle_deg: float | None = None
    least_importance: float | None = None


@dataclass(frozen=True)
class PruningCourse:
    """What happened while units went one by one (schema emoprune.steps/1)."""

    model: str
    method: str
    steps: tuple[PruningStep, ...]
    label: str | None = None

    def __post_init__(self) -> None:
        check_label(self.label)
        if not self.steps:
            raise InvalidRecord("a pruning without steps", "give a pruning that takes units")

    @property
    def name(self) -> str:
        """Its label or, without one, its model and method."""
        return self.label or f"{self.model}, {self.method}"


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
