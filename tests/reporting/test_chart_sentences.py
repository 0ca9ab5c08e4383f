"""Sentences of charts: the numbers in them are those of the chart."""

from __future__ import annotations

import pytest

from emoprune.evaluation.confidence import estimate
from emoprune.evaluation.types import ReliabilityBin
from emoprune.io.visible_text import isolated, without_isolates
from emoprune.reporting.chart_sentences import sentence, title
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
    Point,
    PointChart,
    ReliabilityChart,
    Series,
)


def line(label: str, *values: float, part: str = "") -> Line:
    return Line(label, {place: estimate([value]) for place, value in enumerate(values, 1)}, part)


def lines(quantity: str, *found: Line, x: str = "macs", fraction: bool = True) -> LineChart:
    return LineChart("accuracy-by-macs", x, (Panel(quantity, found, fraction),))


@pytest.mark.parametrize(
    ("chart", "says"),
    [
        (
            lines("accuracy", line("a", 0.2, 0.5), line("b", 0.3, 0.4)),
            "Accuracy over macs for 2 lines; the highest at 1 is b with 30.0%.",
        ),
        (
            lines("accuracy", line("a", 0.2, 0.5), line("b", 0.3, 0.4), x="epoch"),
            "Accuracy over epoch for 2 lines; the highest at 2 is a with 50.0%.",
        ),
        (
            lines("loss", line("a", 0.25, 0.5), line("b", 0.3, 0.4), fraction=False),
            "Loss over macs for 2 lines; the lowest at 1 is a with 0.25.",
        ),
        (
            lines("accuracy", line("a", 0.2, 0.5, part="val"), x="epoch"),
            "Accuracy over epoch: a, val goes from 20.0% at 1 to 50.0% at 2.",
        ),
        (
            HeatChart("confusion-a", "a", ("sad", "happy"), ((3, 1), (4, 2))),
            "a has 5 of 10 images right; most often happy is taken for sad, 4 of 6 times.",
        ),
        (HeatChart("confusion-a", "a", ("sad",), ((1,),)), "a has 1 of 1 image right."),
        (
            BarChart(
                "before-after",
                "",
                "accuracy",
                ("m", "n"),
                ("before", "after"),
                ((estimate([0.9]), None), (estimate([0.4]), estimate([0.6]))),
            ),
            "Accuracy of 2 groups of bars (before, after): the highest is m, before, with 90.0%, the lowest "
            "m, after, with 40.0%.",
        ),
        (
            PointChart(
                "p",
                "macs",
                "MACs",
                "accuracy",
                (
                    Series("a", (Point(500, estimate([0.4]), True), Point(900, estimate([0.3])))),
                    Series("b", (Point(2000, estimate([0.6]), True),), "whole"),
                ),
                fraction=True,
            ),
            "Accuracy over MACs for 3 networks; the cheapest on the front is a with 40.0% at 500, the "
            "highest is b with 60.0% at 2,000.",
        ),
        (
            ChangeChart("c", ("a", "b"), ("sad", "happy"), ((3, 1), (2, 2)), ((1, 3), (2, 2))),
            "a has 5 of 8 images right, b 3; most changes how often sad is taken for sad, from 3 to 1 of 4.",
        ),
        (
            ChangeChart("c", ("a", "b"), ("sad",), ((3,),), ((3,),)),
            "a has 3 of 3 images right, b 3; no answer of a class changes in number.",
        ),
        (
            ReliabilityChart(
                "r", ("a",), ((ReliabilityBin(3, 0.6, 0.5), ReliabilityBin(1, 0.9, 1.0)),), (1,)
            ),
            "Confidence and accuracy differ on average: a by 10.0 points.",
        ),
        (
            LayerChart("l", "a", ("x", "y"), (10, 20), (9, 5)),
            "a keeps 14 of 30 units; most are removed from y, 15 of 20.",
        ),
        (LayerChart("l", "a", ("x",), (10,), (10,)), "a keeps 10 of 10 units."),
        (
            AngleChart("g", "a", (4, 2, 0, 3), 45, 45, 135),
            "Of 9 pairs of units of a, about 4 are under 45 degrees and 3 over 135.",
        ),
    ],
)
def test_sentence_is_of_the_numbers_in_the_chart(chart: Chart, says: str) -> None:
    assert without_isolates(sentence(chart)) == says


def test_names_in_a_sentence_and_a_title_are_isolated() -> None:
    chart = HeatChart("confusion-x", "\u202ex", ("\u05d0", "b"), ((0, 1), (0, 0)))
    assert all(isolated(name) in sentence(chart) for name in ("\u202ex", "\u05d0", "b"))
    assert title(chart) == f"Confusion of {isolated(chr(0x202E) + 'x')}"
    assert without_isolates(title(lines("accuracy", line("a", 1)))) == "Accuracy by macs"
