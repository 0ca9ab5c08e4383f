"""What a chart shows, as a title and in words, for those who do not see it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from emoprune.events import counted
from emoprune.io.visible_text import isolated
from emoprune.reporting.tables import PERCENT, cell
from emoprune.reporting.types import (
    AngleChart,
    BarChart,
    ChangeChart,
    Chart,
    HeatChart,
    LayerChart,
    Line,
    LineChart,
    Panel,
    PointChart,
    ReliabilityChart,
)

LOW_IS_GOOD = ("loss", "error")
"""What quantities are called of which the lowest is the best."""


def title(chart: Chart) -> str:
    """What stands above a chart; names in it are isolated."""
    if isinstance(chart, HeatChart):
        return f"Confusion of {isolated(chart.label)}"
    if isinstance(chart, ChangeChart):
        return f"Confusion of {' and of '.join(map(isolated, chart.labels))}"
    if isinstance(chart, PointChart):
        return f"{_capital(chart.quantity)} against {chart.axis}"
    if isinstance(chart, LayerChart | AngleChart):
        kind = "Units by layer" if isinstance(chart, LayerChart) else "Angles"
        return f"{kind} of {isolated(chart.label)}"
    return isolated(_capital(chart.name.replace("-", " ").replace("_", " ")))


def sentence(chart: Chart) -> str:
    """One sentence for each panel, made of the numbers in the chart; names in it are isolated."""
    return SENTENCES[type(chart)](chart)


def _lines(chart: LineChart) -> str:
    return " ".join(_panel(panel, chart.x) for panel in chart.panels)


def _panel(panel: Panel, x: str) -> str:
    """Where lines end: at the last epoch, else at the smallest x, which costs least."""
    begin = f"{_capital(panel.quantity)} over {isolated(x)}"
    places = sorted({place for line in panel.lines for place in line.points})
    first, last = (places[0], places[-1]) if x == "epoch" else (places[-1], places[0])
    if len(panel.lines) == 1:
        (line,) = panel.lines
        ends = f"{_value(panel, line, first)} at {first:g} to {_value(panel, line, last)} at {last:g}"
        return f"{begin}: {_name(line)} goes from {ends}."
    there = [line for line in panel.lines if last in line.points]
    low = any(word in panel.quantity for word in LOW_IS_GOOD)
    best = (min if low else max)(there, key=lambda line: line.points[last].mean)
    which = "lowest" if low else "highest"
    ends = f"the {which} at {last:g} is {_name(best)} with {_value(panel, best, last)}"
    return f"{begin} for {counted(len(panel.lines), 'line')}; {ends}."


def _value(panel: Panel, line: Line, place: float) -> str:
    mean = line.points[place].mean
    return PERCENT.text(mean) if panel.fraction else cell(mean)


def _name(line: Line) -> str:
    return isolated(line.label) + (f", {line.part}" if line.part else "")


def _bars(chart: BarChart) -> str:
    found = [
        (bar.mean, category, name)
        for name, row in zip(chart.series, chart.bars, strict=True)
        for category, bar in zip(chart.categories, row, strict=True)
        if bar is not None
    ]
    begin = f"{_capital(chart.quantity)} of {counted(len(chart.categories), 'group')} of bars"
    begin += f" ({', '.join(map(isolated, chart.series))})"
    highest, lowest = (extreme(found, key=lambda bar: bar[0]) for extreme in (max, min))

    def text(bar: tuple[float, str, str]) -> str:
        said = f"{isolated(bar[1])}, {isolated(bar[2])}, with {PERCENT.text(bar[0])}"
        return _with_ties(said, sum(each[0] == bar[0] for each in found))

    if highest[0] == lowest[0]:
        return f"{begin}: all have {PERCENT.text(highest[0])}."
    return f"{begin}: the highest is {text(highest)}, the lowest {text(lowest)}."


def _with_ties(said: str, alike: int) -> str:
    return f"{said} (as {alike - 1:,} more)" if alike > 1 else said


def _matrix(chart: HeatChart) -> str:
    total = sum(map(sum, chart.counts))
    right = sum(row[place] for place, row in enumerate(chart.counts))
    begin = f"{isolated(chart.label)} has {right:,} of {counted(total, 'image')} right"
    wrong = [*_wrong(chart)]
    if not wrong:
        return f"{begin}."
    count, actual, predicted, support = max(wrong, key=lambda each: each[0])
    names = isolated(actual), isolated(predicted)
    return f"{begin}; most often {names[0]} is taken for {names[1]}, {count:,} of {support:,} times."


def _wrong(chart: HeatChart) -> Iterator[tuple[int, str, str, int]]:
    for actual, row in zip(chart.classes, chart.counts, strict=True):
        for predicted, count in zip(chart.classes, row, strict=True):
            if count and actual != predicted:
                yield count, actual, predicted, sum(row)


def _points(chart: PointChart) -> str:
    """The smallest network on the front, and the best of all."""
    found = [(each.label, point) for each in chart.series for point in each.points]
    begin = f"{_capital(chart.quantity)} over {chart.axis} for {counted(len(found), 'network')}"

    def text(label: str, value: float, x: float) -> str:
        said = PERCENT.text(value) if chart.fraction else cell(value)
        place = PERCENT.text(x) if chart.x_fraction else f"{x:,.0f}" if x >= 1000 else f"{x:g}"
        return f"{isolated(label)} with {said} at {place}"

    # of equals the smaller network
    best = max(found, key=lambda each: (each[1].y.mean, -each[1].x))
    alike = sum(point.y.mean == best[1].y.mean for _, point in found)
    ends = _with_ties(f"the highest is {text(best[0], best[1].y.mean, best[1].x)}", alike)
    front = [each for each in found if each[1].on_front]
    if not front:
        return f"{begin}; {ends}."
    label, point = min(front, key=lambda each: each[1].x)
    return f"{begin}; the cheapest on the front is {text(label, point.y.mean, point.x)}, {ends}."


def _change(chart: ChangeChart) -> str:
    """How many are right before and after, and the cell whose share of its class changes most."""
    places = range(len(chart.classes))
    before, after = (sum(counts[each][each] for each in places) for counts in (chart.before, chart.after))
    names = [*map(isolated, chart.labels)]
    begin = f"{names[0]} has {before:,} of {counted(sum(map(sum, chart.before)), 'image')} right"
    begin += f", {names[1]} {after:,}"
    if chart.before == chart.after:
        return f"{begin}; no answer of a class changes in number."
    shares = [[_shares(row) for row in counts] for counts in (chart.before, chart.after)]
    cells = [(actual, predicted) for actual in places for predicted in places]
    actual, predicted = max(
        cells, key=lambda cell: abs(shares[1][cell[0]][cell[1]] - shares[0][cell[0]][cell[1]])
    )
    taken = f"{isolated(chart.classes[actual])} is taken for {isolated(chart.classes[predicted])}"
    few, many = chart.before[actual][predicted], chart.after[actual][predicted]
    return (
        f"{begin}; most changes how often {taken}, from {few:,} to {many:,} of {sum(chart.after[actual]):,}."
    )


def _shares(row: Sequence[int]) -> list[float]:
    return [count / (sum(row) or 1) for count in row]


def _reliability(chart: ReliabilityChart) -> str:
    """How far confidence is from accuracy."""
    said = []
    for label, bins in zip(chart.labels, chart.bins, strict=True):
        total = sum(each.count for each in bins)
        apart = sum(each.count * abs((each.confidence or 0) - (each.accuracy or 0)) for each in bins)
        said.append(f"{isolated(label)} by {100 * apart / (total or 1):.1f} points")
    return f"Confidence and accuracy differ on average: {', '.join(said)}."


def _layers(chart: LayerChart) -> str:
    """What is left, and which layer loses most."""
    begin = f"{isolated(chart.label)} keeps {sum(chart.after):,} of {counted(sum(chart.before), 'unit')}"
    lost = [old - new for old, new in zip(chart.before, chart.after, strict=True)]
    if not any(lost):
        return f"{begin}."
    most = max(range(len(lost)), key=lost.__getitem__)
    name = isolated(chart.layers[most])
    return f"{begin}; most are removed from {name}, {lost[most]:,} of {chart.before[most]:,}."


def _angles(chart: AngleChart) -> str:
    """How many pairs are similar, how many complementary."""
    starts = [place * chart.width for place in range(len(chart.counts))]
    under = sum(many for start, many in zip(starts, chart.counts, strict=True) if start < chart.below)
    over = sum(many for start, many in zip(starts, chart.counts, strict=True) if start >= chart.above)
    pairs = counted(sum(chart.counts), "pair")
    ends = f"{under:,} are under {chart.below:g} degrees and {over:,} over {chart.above:g}"
    return f"Of {pairs} of units of {isolated(chart.label)}, about {ends}."


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


SENTENCES: dict[type, Callable[[Any], str]] = {
    LineChart: _lines,
    BarChart: _bars,
    HeatChart: _matrix,
    PointChart: _points,
    ChangeChart: _change,
    ReliabilityChart: _reliability,
    LayerChart: _layers,
    AngleChart: _angles,
}
"""What is said of each kind of chart."""
