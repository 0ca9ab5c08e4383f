"""Figures as numbers: what is drawn is what these hold, and so is what stands in the CSV beside it."""

from __future__ import annotations

from dataclasses import dataclass

from emoprune.errors import InvalidRecord


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
    """Counts, [actual][predicted]; each row's shares are its colours."""

    name: str
    label: str
    classes: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]


Chart = LineChart | BarChart | HeatChart
