"""What a chart shows, as a title and in words, for those who do not see it."""

from __future__ import annotations

from collections.abc import Iterator

from emoprune.events import counted
from emoprune.io.visible_text import isolated
from emoprune.reporting.charts import numbers
from emoprune.reporting.tables import PERCENT, cell
from emoprune.reporting.types import BarChart, Chart, HeatChart, Line, LineChart, Panel

LOW_IS_GOOD = ("loss", "error")
"""What quantities are called of which the lowest is the best."""


def title(chart: Chart) -> str:
    """What stands above a chart; names in it are isolated."""
    if isinstance(chart, HeatChart):
        return f"Confusion of {isolated(chart.label)}"
    return isolated(_capital(chart.name.replace("-", " ").replace("_", " ")))


def sentence(chart: Chart) -> str:
    """One sentence for each panel, made of the numbers in the chart; names in it are isolated."""
    if isinstance(chart, LineChart):
        return " ".join(_panel(panel, chart.x) for panel in chart.panels)
    if isinstance(chart, BarChart):
        return _bars(chart)
    if isinstance(chart, HeatChart):
        return _matrix(chart)
    return _rows(chart)


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
    return isolated(f"{line.label}, {line.part}" if line.part else line.label)


def _bars(chart: BarChart) -> str:
    found = [
        (bar.mean, category, name)
        for name, row in zip(chart.series, chart.bars, strict=True)
        for category, bar in zip(chart.categories, row, strict=True)
        if bar is not None
    ]
    begin = f"{_capital(chart.quantity)} of {counted(len(chart.categories), 'group')} of bars"
    begin += f" ({', '.join(map(isolated, chart.series))})"
    ends = (
        f"{isolated(category)}, {isolated(name)}, with {PERCENT.text(value)}"
        for value, category, name in (max(found), min(found))
    )
    return f"{begin}: the highest is {next(ends)}, the lowest {next(ends)}."


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


def _rows(chart: Chart) -> str:
    """What can be said of any chart: of what it has numbers, and the largest mean where it has means."""
    columns, *rows = numbers(chart)
    names = [*map(str, columns)]
    if not {"label", "mean"} <= {*names} or not rows:
        return f"{counted(len(rows), 'row')} of {', '.join(map(isolated, names))}."
    label, mean = names.index("label"), names.index("mean")
    best = max(rows, key=lambda row: float(str(row[mean])))
    among = counted(len({row[label] for row in rows}), "label")
    value = f"{isolated(str(best[label]))}, with {cell(best[mean])}"
    return f"{counted(len(rows), 'point')} of {among}; the highest is {value}."


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
