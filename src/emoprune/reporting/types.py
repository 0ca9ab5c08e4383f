"""What a report is made of, and the charts that it draws."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from emoprune.choices import ClassMeasure, Measured, Merge, StepMeasure
from emoprune.errors import InvalidRecord, UsageFault
from emoprune.evaluation.confidence import Estimate
from emoprune.evaluation.types import MARGIN, Metrics, ReliabilityBin, check_counts
from emoprune.pruning.methods import METHODS
from emoprune.pruning.types import Change, ErrorEstimate, PruningCurve, Survey
from emoprune.settings import check_limits, setting
from emoprune.training.types import LearningCurve

if TYPE_CHECKING:
    from emoprune.evaluation.predictions import Predictions

STEP_LABEL = re.compile(r"(.+?), (\d{1,3}(?:,\d{3}){1,4}|\d{1,15}) units?")


@dataclass(frozen=True)
class PruningSummary:
    """What a pruning did, as far as a report shows it (schema emoprune.prune/2).

    `output` is None where nothing was written. `amount` is one setting and its value.
    """

    input: str
    output: str | None
    method: str
    merge: Merge | None
    amount: Mapping[str, float]
    units: Change
    parameters: Change
    macs: Change
    layers: tuple[ErrorEstimate, ...]
    refitted_on: int = 0
    drawn: bool = False

    def __post_init__(self) -> None:
        if len(self.amount) != 1:
            raise InvalidRecord("not one amount of pruning", "run emoprune prune again")
        if self.method not in METHODS:
            raise InvalidRecord(f"no method is called {self.method!r}", "use the emoprune that wrote it")
        for layer in self.layers:
            check_counts(layer.before, layer.after, of="units")

    @property
    def name(self) -> str:
        """What is pruned, and how."""
        ((amount, value),) = self.amount.items()
        return f"{self.input}, {self.method} {amount.replace('_', ' ')} {value:g}"


@dataclass(frozen=True, kw_only=True)
class LayerAngles(Survey):
    """The angles of a layer, and which network it is of (schema emoprune.angles/2)."""

    model: str
    layer: str

    @property
    def name(self) -> str:
        """The network and the layer."""
        return f"{self.model}, {self.layer}"


Run = Metrics | LearningCurve | PruningCurve | PruningSummary | LayerAngles


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
    pruned: tuple[PruningSummary, ...] = ()
    angles: tuple[LayerAngles, ...] = ()


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
class Level:
    """A value to compare with, and what it is."""

    name: str
    value: float


@dataclass(frozen=True)
class Panel:
    """Lines of one quantity; a `fraction` is shown in percent."""

    quantity: str
    lines: tuple[Line, ...]
    fraction: bool = False
    levels: tuple[Level, ...] = ()


@dataclass(frozen=True)
class LineChart:
    """Panels, one below the other, over the same horizontal axis; `falling`: largest x at the left."""

    name: str
    x: str
    panels: tuple[Panel, ...]
    falling: bool = False
    note: str = ""


@dataclass(frozen=True)
class Point:
    """A network: what it costs, and a measure of it; `on_front`: none is both smaller and better."""

    x: float
    y: Estimate
    on_front: bool = False


Role = Literal["method", "whole", "other"]
"""What the points of a series are: of one method, the network before pruning, or of minor interest."""


@dataclass(frozen=True)
class Series:
    """Points from the cheapest to the dearest, and what they are."""

    label: str
    points: tuple[Point, ...]
    role: Role = "method"


@dataclass(frozen=True)
class PointChart:
    """Measures of networks over what they cost; fractions are shown in percent.

    `axis` names the horizontal axis for people, `x` for programs. `front` says what is on the front, nothing
    where there is none. `joined`: points of a method are a line.
    """

    name: str
    x: str
    axis: str
    quantity: str
    series: tuple[Series, ...]
    levels: tuple[Level, ...] = ()
    fraction: bool = False
    x_fraction: bool = False
    front: str = ""
    joined: bool = True
    note: str = ""


@dataclass(frozen=True)
class ReliabilityChart:
    """The bins of confidence of each label, and how many runs on the same samples they add up."""

    name: str
    labels: tuple[str, ...]
    bins: tuple[tuple[ReliabilityBin, ...], ...]
    runs: tuple[int, ...]
    note: str = ""


@dataclass(frozen=True)
class BarChart:
    """For every category one bar of each series, or none; heights are fractions."""

    name: str
    x: str
    quantity: str
    categories: tuple[str, ...]
    series: tuple[str, ...]
    bars: tuple[tuple[Estimate | None, ...], ...]
    note: str = ""

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


@dataclass(frozen=True)
class ChangeChart:
    """Counts of two networks on the same samples, [actual][predicted]; colors are fractions of a row."""

    name: str
    labels: tuple[str, str]
    classes: tuple[str, ...]
    before: tuple[tuple[int, ...], ...]
    after: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class LayerChart:
    """Units of each layer before and after pruning, in the order of the network."""

    name: str
    label: str
    layers: tuple[str, ...]
    before: tuple[int, ...]
    after: tuple[int, ...]


@dataclass(frozen=True)
class AngleChart:
    """Pairs of units of a layer by their angle; `counts` are over bins of `width` degrees from 0 to 180.

    `angles` are those of all pairs in degrees, (units, units), None where a unit has none.
    """

    name: str
    label: str
    counts: tuple[int, ...]
    width: int
    below: float
    above: float
    angles: tuple[tuple[float | None, ...], ...] | None = None
    note: str = ""


Chart = (
    LineChart | PointChart | BarChart | HeatChart | ChangeChart | ReliabilityChart | LayerChart | AngleChart
)
