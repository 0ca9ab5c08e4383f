"""What reports are made of: evaluations, learning curves, and the steps of a pruning."""

from __future__ import annotations

import re
from dataclasses import dataclass

from emoprune.choices import ClassMeasure, Measured, StepMeasure
from emoprune.errors import InvalidRecord
from emoprune.evaluation.types import Metrics
from emoprune.pruning.types import PruningCurve
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
    prunings: tuple[PruningCurve, ...] = ()

    def __add__(self, other: Runs) -> Runs:
        """These, then the other ones."""
        return Runs(
            self.evaluations + other.evaluations, self.curves + other.curves, self.prunings + other.prunings
        )


@dataclass(frozen=True)
class Estimate:
    """A mean over `n` runs and its 95% interval, which one run alone has none of."""

    n: int
    mean: float
    low: float | None = None
    high: float | None = None

    def __post_init__(self) -> None:
        if self.n < 1 or (self.low is None) != (self.high is None) or (self.n == 1) != (self.low is None):
            raise InvalidRecord(f"an interval of {self.n} runs from {self.low} to {self.high}", "give runs")


@dataclass(frozen=True)
class Point:
    """An estimate at a place on the horizontal axis."""

    x: float
    estimate: Estimate


@dataclass(frozen=True)
class Line:
    """Points from left to right; `part` (train, val) tells lines of one label apart."""

    label: str
    points: tuple[Point, ...]
    part: str = ""


@dataclass(frozen=True)
class Panel:
    """Lines of one quantity; `share`: it is one, and is shown in percent."""

    quantity: str
    lines: tuple[Line, ...]
    share: bool = False


@dataclass(frozen=True)
class LineChart:
    """Panels, one under the other, over the same horizontal axis; `falling`: largest x at the left."""

    name: str
    x: str
    panels: tuple[Panel, ...]
    falling: bool = False


@dataclass(frozen=True)
class BarChart:
    """For every category one bar of each series, where there is one; heights are shares."""

    name: str
    x: str
    quantity: str
    categories: tuple[str, ...]
    series: tuple[str, ...]
    bars: tuple[tuple[Estimate | None, ...], ...]

    def __post_init__(self) -> None:
        if {len(row) for row in self.bars} != {len(self.categories)} or len(self.bars) != len(self.series):
            raise InvalidRecord("bars that contradict the categories", "give one bar of each")


@dataclass(frozen=True)
class HeatChart:
    """Counts, [actual][predicted]; each row's shares are its colors."""

    name: str
    label: str
    classes: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]


Chart = LineChart | BarChart | HeatChart
