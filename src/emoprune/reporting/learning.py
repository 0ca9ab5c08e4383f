"""Learning curves gathered by label: how long the training took, and what it came to."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from emoprune.reporting.confidence import estimate
from emoprune.reporting.records_charts import Estimate
from emoprune.training.types import LearningCurve

Pick = Literal["last", "best"]
LearningPart = Literal["train", "val"]
PICKS: dict[Pick, Callable[[Sequence[float]], float]] = {"last": lambda values: values[-1], "best": max}


@dataclass(frozen=True)
class Learned:
    """All learning curves of one label."""

    label: str
    curves: tuple[LearningCurve, ...]

    @property
    def epochs(self) -> Estimate:
        """How many epochs a curve has."""
        return estimate(len(curve.training) for curve in self.curves)

    def accuracy(self, part: LearningPart, pick: Pick) -> Estimate | None:
        """The last or the best accuracy on a part, over the curves that have any; None where none has."""
        found = [
            [value for epoch in curve.training if (value := getattr(epoch, f"{part}_accuracy")) is not None]
            for curve in self.curves
        ]
        picked = [PICKS[pick](values) for values in found if values]
        return estimate(picked) if picked else None


def learned_by_label(curves: Iterable[LearningCurve]) -> list[Learned]:
    """Curves gathered by label, in the order in which labels first come; without one, by model."""
    gathered: dict[str, list[LearningCurve]] = {}
    for curve in curves:
        gathered.setdefault(curve.name, []).append(curve)
    return [Learned(label, tuple(found)) for label, found in gathered.items()]
