"""Figures: the chart's numbers, the same bytes each time, nothing cut off; and their files."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any, cast
from xml.etree import ElementTree

import matplotlib
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection, QuadMesh
from matplotlib.container import ErrorbarContainer
from matplotlib.lines import Line2D
from PIL import Image

from emoprune.errors import BadMetrics, OutputFault, UsageFault
from emoprune.evaluation.confidence import FRACTION, Estimate, estimate
from emoprune.pruning.types import PruningStep
from emoprune.reporting import figures
from emoprune.reporting.types import (
    BarChart,
    Chart,
    HeatChart,
    Line,
    LineChart,
    Panel,
    Runs,
)
from tests.support.command_line import tree
from tests.support.runs import curve, pruning, run

LABELS = ("whole, random split", "pruned at 15 degrees, merged by least squares", "a third")


def line(label: str, places: range | tuple[float, ...], runs: int = 3, part: str = "") -> Line:
    values = [[0.4 + place / 5000 + index * 0.03 for index in range(runs)] for place in places]
    return Line(label, {x: estimate(found) for x, found in zip(places, values, strict=True)}, part)


FEW = LineChart(
    "accuracy-by-hidden",
    "hidden",
    (Panel("accuracy", tuple(line(label, (20.0, 50.0, 100.0, 400.0)) for label in LABELS), fraction=True),),
)
MANY = LineChart(
    "curves",
    "epoch",
    (
        Panel(
            "accuracy", tuple(line("a", range(1, 40), part=part) for part in ("train", "val")), fraction=True
        ),
    ),
)
STEPS = LineChart(
    "steps",
    "units",
    (Panel("loss", (line("a", range(9, 200), 1),)), Panel("angle", (line("b", (20.0, 90.0), 1),))),
    falling=True,
)
BARS = BarChart(
    "before-after",
    "",
    "accuracy",
    ("MobileNetV2", "a name that is quite long", "conv2"),
    ("before", "after"),
    ((estimate([0.5, 0.6]), estimate([0.4, 0.5]), Estimate(1, 0.3)), (estimate([0.4, 0.5]), None, None)),
)
HEAT = HeatChart("confusion", LABELS[1], ("angry", "happy", "surprise"), ((9, 1, 0), (2, 6, 2), (0, 0, 0)))
LONG = LineChart("accuracy-by-k", "k", (Panel("accuracy", (line("runs/" + "x" * 190, (1.0, 2.0)),)),))
CHARTS: tuple[Chart, ...] = (FEW, MANY, STEPS, BARS, HEAT, LONG)
by_name = pytest.mark.parametrize("chart", CHARTS, ids=lambda chart: chart.name)


def numbers(data: Any) -> list[float]:
    return [float(value) for value in np.asarray(data)]


def intervals(found: Iterable[Estimate]) -> list[tuple[float, float]]:
    return [(entry.low, entry.high) for entry in found if entry.low is not None and entry.high is not None]


def points_and_bars(axes: Axes) -> list[tuple[Line2D | None, list[tuple[float, float]]]]:
    """The line of each series with error bars, and their ends, as matplotlib has them."""
    found: list[tuple[Line2D | None, list[tuple[float, float]]]] = []
    for container in axes.containers:
        if isinstance(container, ErrorbarContainer):
            data, _, (bars,) = container.lines
            segments = [np.asarray(part)[:, 1] for part in bars.get_segments() if len(part)]
            ends = [(float(part[0]), float(part[1])) for part in segments if np.isfinite(part).all()]
            found.append((data, ends))
    return found


def test_draw_has_the_points_and_error_bars_of_the_chart() -> None:
    (axes,) = figures.draw(FEW).axes
    for expected, (data, ends) in zip(FEW.panels[0].lines, points_and_bars(axes), strict=True):
        assert data is not None
        assert numbers(data.get_xdata()) == list(expected.points)
        assert numbers(data.get_ydata()) == [point.mean for point in expected.points.values()]
        assert np.allclose(ends, intervals(expected.points.values()))


def test_draw_has_bands_for_the_intervals_of_many_points() -> None:
    (axes,) = figures.draw(MANY).axes
    bands = [artist for artist in axes.collections if isinstance(artist, PolyCollection)]
    for expected, data, band in zip(MANY.panels[0].lines, axes.lines, bands, strict=True):
        assert numbers(data.get_ydata()) == [point.mean for point in expected.points.values()]
        corners = np.asarray(band.get_paths()[0].vertices)
        for x, (low, high) in zip(expected.points, intervals(expected.points.values()), strict=True):
            at = corners[corners[:, 0] == x][:, 1]
            assert {*numbers(at)} == {low, high}


def test_draw_has_a_panel_per_quantity_with_units_falling_to_the_right() -> None:
    loss, angle = figures.draw(STEPS).axes
    assert loss.get_xlim()[0] > loss.get_xlim()[1]
    assert (loss.get_ylabel(), angle.get_ylabel(), angle.get_xlabel()) == ("loss", "angle", "units")
    (drawn,) = loss.lines
    assert numbers(drawn.get_ydata()) == [point.mean for point in STEPS.panels[0].lines[0].points.values()]


def test_draw_has_the_bars_and_error_bars_of_the_chart() -> None:
    (axes,) = figures.draw(BARS).axes
    heights = [round(patch.get_height(), 9) for patch in axes.patches]  # type: ignore[attr-defined]  # rectangles
    there = [bar for row in BARS.bars for bar in row if bar is not None]
    assert heights == [round(bar.mean, 9) for bar in there]
    drawn = [end for _, ends in points_and_bars(axes) for end in ends]
    assert np.allclose(drawn, intervals(there))
    assert axes.get_ylim()[0] == 0


def test_draw_has_many_bars_in_rows_of_one_scale() -> None:
    names = tuple(f"network {index}" for index in range(11))
    bars = ((Estimate(1, 0.9), *[Estimate(1, 0.2)] * 10),) * 4
    rows = figures.draw(BarChart("x", "", "accuracy", names, ("a", "b", "c", "d"), bars)).axes
    assert [len(axes.get_xticks()) for axes in rows] == [4, 4, 3]
    assert {axes.get_ylim() for axes in rows} == {rows[0].get_ylim()}
    assert {axes.get_xlim() for axes in rows} == {rows[0].get_xlim()}


def test_draw_has_counts_as_numbers_and_fractions_of_rows_as_colors() -> None:
    axes = figures.draw(HEAT).axes[0]
    assert [text.get_text() for text in axes.texts] == [str(count) for row in HEAT.counts for count in row]
    (mesh,) = (artist for artist in axes.collections if isinstance(artist, QuadMesh))
    shares: Any = np.asarray(mesh.get_array()).reshape(3, 3)
    assert np.allclose(shares, [[0.9, 0.1, 0.0], [0.2, 0.6, 0.2], [0.0, 0.0, 0.0]])
    assert axes.yaxis_inverted()


def test_draw_distinguishes_lines_without_colors() -> None:
    lines = tuple(line(f"label {index}", (1.0, 2.0), 1) for index in range(14))
    (axes,) = figures.draw(LineChart("x", "k", (Panel("accuracy", lines),))).axes
    drawn: list[Any] = [data for data, _ in points_and_bars(axes)]
    # matplotlib has no public name for dashes that were given by their lengths
    looks = [(data.get_marker(), str(data._dash_pattern)) for data in drawn]
    assert len({*zip(looks, (data.get_color() for data in drawn), strict=True)}) == 14
    assert len({*looks[:7]}) == 7


@by_name
def test_render_gives_the_same_bytes_whatever_the_users_settings(chart: Chart) -> None:
    first = figures.render(chart)
    with matplotlib.rc_context({"font.size": 20, "svg.hashsalt": None, "lines.linewidth": 9}):
        assert figures.render(chart) == first
        assert matplotlib.rcParams["font.size"] == 20


@by_name
def test_render_writes_neither_date_nor_program(chart: Chart) -> None:
    found = figures.render(chart)
    assert not Image.open(io.BytesIO(found["png"])).info.keys() - {"dpi"}
    text = found["svg"].decode()
    assert "dc:date" not in text
    assert not re.search(r"\b20\d\d-\d\d", text)
    ElementTree.fromstring(text)


@by_name
def test_render_is_half_a_page_wide_and_cuts_no_words(chart: Chart) -> None:
    figure = figures.draw(chart)
    picture = Image.open(io.BytesIO(figures.render(chart)["png"]))
    assert picture.width == round(figures.WIDTH_IN * 300)
    # a height may end between two pixels
    assert abs(picture.height - figure.get_size_inches()[1] * 300) <= 1
    figure.canvas.draw()
    drawn = figure.get_tightbbox()
    width, height = figure.get_size_inches()
    # a hundredth of an inch for what the layout rounds
    assert -0.01 <= drawn.x0 < drawn.x1 <= width + 0.01
    assert -0.01 <= drawn.y0 < drawn.y1 <= height + 0.01


@pytest.mark.parametrize("label", ["$x$ & <b>", "_hidden from legends", "a" * 200])
def test_draw_shows_labels_as_they_are(label: str) -> None:
    chart = LineChart("x", "k", (Panel("accuracy", (line(label, (1.0, 2.0)),)),))
    (legend,) = figures.draw(chart).legends
    shown = legend.get_texts()[0].get_text()
    assert "".join(shown.split()) == "".join(label.split())
    assert figures.render(chart)


UNSEEN = "\x00\x1b[31m\n\x7f\x9b\u202e\u2028\ud800\uffff"


@by_name
def test_render_escapes_what_xml_and_fonts_lack_in_every_text(chart: Chart) -> None:
    foreign = cast(Chart, _with_all_texts(chart, UNSEEN))
    svg = figures.render(foreign)["svg"].decode()
    ElementTree.fromstring(svg)
    # texts are drawn as paths, and stand in comments
    assert r"\x00\x1b[31m" in svg


def _with_all_texts(part: object, more: str) -> object:
    if isinstance(part, str):
        return part[:20] + more
    if isinstance(part, tuple):
        return tuple(_with_all_texts(each, more) for each in part)
    if is_dataclass(part) and not isinstance(part, type):
        names = [field.name for field in fields(part) if field.name != "points"]
        return replace(part, **{name: _with_all_texts(getattr(part, name), more) for name in names})
    return part


RUNS = Runs(
    (
        *(
            run("a", 0.5 + seed / 10, units=8, hidden=hidden, seed=seed)
            for hidden in (10, 20)
            for seed in (0, 1)
        ),
        run("b", 0.5),
    ),
    (curve("a", (0.4, None)),),
    (pruning("a", *(PruningStep(units, loss=0.1, smallest_angle_deg=3.0) for units in (9, 8))),),
)
NAMES = ["accuracy-by-hidden", "compression-by-hidden", "confusion-b", "curves", "steps"]


def test_save_writes_three_files_of_every_figure(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "emoprune")
    assert figures.save(RUNS, f"{tmp_path}/out") == NAMES
    suffixes = ("csv", "png", "svg")
    assert set(tree(tmp_path / "out")) == {f"{name}.{suffix}" for name in NAMES for suffix in suffixes}
    assert caplog.messages == [f"{tmp_path}/out/{name}: .svg, .png, .csv" for name in NAMES]
    rows = list(csv.DictReader((tmp_path / "out" / "accuracy-by-hidden.csv").read_text().splitlines()))
    wanted = estimate([0.5, 0.6], limits=FRACTION)
    assert [(row["label"], float(row["hidden"]), float(row["mean"])) for row in rows] == [
        ("a", 10, wanted.mean),
        ("a", 20, wanted.mean),
    ]
    assert (float(rows[0]["low"]), float(rows[0]["high"]), rows[0]["runs"]) == (wanted.low, wanted.high, "2")


def test_save_draws_only_what_is_wanted_and_the_same_bytes_each_time(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        assert figures.save(RUNS, f"{tmp_path}/{folder}", ["steps", "confusion"]) == ["confusion-b", "steps"]
    assert len(tree(tmp_path / "one")) == 6
    assert tree(tmp_path / "one") == tree(tmp_path / "two")


def test_save_writes_nothing_where_a_file_exists_unless_forced(tmp_path: Path) -> None:
    (tmp_path / "steps.csv").write_bytes(b"mine")
    with pytest.raises(OutputFault, match=r"steps\.csv: exists.*force"):
        figures.save(RUNS, str(tmp_path))
    assert tree(tmp_path) == {"steps.csv": b"mine"}
    figures.save(RUNS, str(tmp_path), force=True)
    assert (tmp_path / "steps.csv").read_bytes().startswith(b"quantity,label")


def test_save_refuses_a_figure_without_its_records_and_an_unknown_one(tmp_path: Path) -> None:
    with pytest.raises(BadMetrics, match=r"before-after.*', before'"):
        figures.save(RUNS, str(tmp_path), ["before-after"])
    with pytest.raises(UsageFault, match=r"'pie'.*choose from accuracy-by-KEY"):
        figures.save(RUNS, str(tmp_path), ["pie"])
    assert tree(tmp_path) == {}


def test_save_warns_of_letters_that_the_font_lacks(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    figures.save(Runs((run("表情", 0.5),)), str(tmp_path))
    assert [message.partition(" ")[0] for message in caplog.messages] == ["confusion-表情:"] * 2
