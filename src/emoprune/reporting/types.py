"""What a report is made of, and the charts that it draws."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from emoprune.choices import ClassMeasure, Measured, StepMeasure
from emoprune.errors import InvalidRecord, UsageFault
from emoprune.evaluation.confidence import Estimate
from emoprune.evaluation.types import MARGIN, Metrics
from emoprune.pruning.types import PruningCurve
from emoprune.settings import check_limits, setting
from emoprune.training.types import LearningCurve

if TYPE_CHECKING:
    from emoprune.evaluation.predictions import Predictions

STEP_LABEL = re.compile(r"(.+?), (\d{1,3}(?:,\d{3}){1,4}|\d{1,15}) units?")


Run = Metrics | LearningCurve | PruningCurve


@dataclass(frozen=True)
class PaperValue:
    """A number that a paper prints, and where; of one class, or of all."""

    label: str
    measure: Measured | ClassMeasure | StepMeasure
    value: float
    where: str
    of_class: str | None = None

    @property
    def step(self) -> tuple[str, int] | None:
        """The label and the units left in a label as "sum, 9 units"; None of any other label."""
        found = STEP_LABEL.fullmatch(self.label)
        return (found[1], int(found[2].replace(",", ""))) if found else None


@dataclass(frozen=True)
class Runs:
    """What a report is given, each kind in order."""

    evaluations: tuple[Metrics, ...] = ()
    curves: tuple[LearningCurve, ...] = ()
    prunings: tuple[PruningCurve, ...] = ()
    predictions: tuple[Predictions, ...] = ()


@dataclass(frozen=True)
class ReportConfig:
    """How a report presents its runs."""

    by_label: bool = setting(
        False,
        "One row per label: means over its runs with Student's 95% interval, of fractions cut at 0 and 100%, "
        "and the difference from the first label in runs of the same setting seed.",
    )
    paper: str | None = setting(
        None,
        "With `by_label`: numbers that a paper prints, shown beside ours; columns label,measure,value,where.",
        metavar="FILE.csv",
    )
    baseline: str | None = setting(
        None,
        "Predictions of the network that those in FILES are compared with, on the same images.",
        metavar="BASE.csv",
    )
    margin: float = setting(
        MARGIN,
        "With `baseline`: by how many points of accuracy a network may be worse.",
        metavar="POINTS",
        low=0,
        high=100,
    )

    def __post_init__(self) -> None:
        check_limits(self)
        if self.margin != MARGIN and self.baseline is None:
            raise UsageFault("`margin` is of a comparison", "give `baseline` as well")
        if self.paper is not None and not self.by_label:
            raise UsageFault("`paper` has numbers of labels", "give `by_label=True` as well")


@dataclass(frozen=True)
class Line:
    """Estimates by x, from left to right; `part` (train, val) distinguishes lines of one label."""

    label: str
    points: Mapping[float, Estimate]
    part: str = ""


@dataclass(frozen=True)
class Panel:
    """Lines of one quantity; a `fraction` is shown in percent."""

    quantity: str
    lines: tuple[Line, ...]
    fraction: bool = False


@dataclass(frozen=True)
class LineChart:
    """Panels, one below the other, over the same horizontal axis; `falling`: largest x at the left."""

    name: str
    x: str
    panels: tuple[Panel, ...]
    falling: bool = False


@dataclass(frozen=True)
class BarChart:
    """For every category one bar of each series, or none; heights are fractions."""

    name: str
    x: str
    quantity: str
    categories: tuple[str, ...]
    series: tuple[str, ...]
    bars: tuple[tuple[Estimate | None, ...], ...]

    def __post_init__(self) -> None:
        if {len(row) for row in self.bars} != {len(self.categories)} or len(self.bars) != len(self.series):
            raise InvalidRecord("bars that contradict the categories", "give one bar or None for each")


@dataclass(frozen=True)
class HeatChart:
    """Counts, [actual][predicted]; colors are fractions of a row."""

    name: str
    label: str
    classes: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]


Chart = LineChart | BarChart | HeatChart
