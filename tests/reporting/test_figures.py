"""Figures: the chart's numbers, the same bytes each time, nothing cut off; and their files."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable
from dataclasses import fields, is_dataclass, replace
from itertools import pairwise
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
from emoprune.evaluation.confidence import FRACTION, Estimate, estimate, wilson_interval
from emoprune.evaluation.types import ReliabilityBin
from emoprune.pruning.types import PruningStep
from emoprune.reporting import figures
from emoprune.reporting.types import (
    AngleChart,
    BarChart,
    ChangeChart,
    Chart,
    HeatChart,
    LayerChart,
    Level,
    Line,
    LineChart,
    Panel,
    Point,
    PointChart,
    ReliabilityChart,
    Runs,
    Series,
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
POINTS = PointChart(
    "accuracy-against-macs",
    "macs",
    "MACs (100% = 5 million)",
    "accuracy",
    (
        Series("whole network", (Point(1.0, Estimate(1, 0.9, 0.8, 0.95), on_front=True),), "whole"),
        *(
            Series(
                label,
                tuple(Point(x, Estimate(1, 0.8 - index / 5, 0.3, 0.9), x == 0.5) for x in (0.0625, 0.5)),
            )
            for index, label in enumerate(LABELS)
        ),
        Series("more", (Point(0.3, Estimate(1, 0.3)),), "other"),
    ),
    levels=(Level("chance", 1 / 7),),
    fraction=True,
    x_fraction=True,
    front="none is both smaller and better",
    note="gray: 1 more label, off the front or less accurate",
)
LOSSES = PointChart(
    "loss-of-accuracy",
    "predicted_error",
    "predicted error",
    "lost accuracy (points)",
    (Series("a", (Point(0.0, estimate([1.0, 3.0])), Point(0.4, Estimate(1, 30.0)))),),
    levels=(Level("nothing lost", 0.0),),
    joined=False,
)
BINS = (ReliabilityBin(4, 0.2, 0.5), ReliabilityBin(0, None, None), ReliabilityBin(96, 0.9, 1.0))
RELIABILITY = ReliabilityChart(
    "reliability", LABELS[:2], (BINS, BINS[::-1]), (1, 3), note="2 more " + "labels " * 20
)
LAYERS = LayerChart("units-by-layer", LABELS[1], ("x" * 50, "conv2", "hidden"), (64, 128, 5), (32, 128, 1))
ANGLES = AngleChart(
    *("angles-hidden1", "hidden1", (3, 0, 8, 2, 0, 1), 30, 60, 150),
    angles=((0.0, 20.0, None), (20.0, 0.0, None), (None, None, 0.0)),
)
SMOOTH = AngleChart("angles-hidden2", "hidden2", tuple(range(180)), 1, 15, 165, note="8 of 9 layers")
CHANGE = ChangeChart(
    "confusion-change",
    (LABELS[0], LABELS[1]),
    HEAT.classes,
    HEAT.counts,
    ((5, 5, 0), (2, 7, 1), (0, 0, 0)),
)
CHARTS: tuple[Chart, ...] = (
    *(FEW, MANY, STEPS, BARS, HEAT, LONG),
    *(POINTS, LOSSES, RELIABILITY, LAYERS, ANGLES, SMOOTH, CHANGE),
)
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
    for expected, data, band in zip(MANY.panels[0].lines, axes.lines[:2], bands, strict=True):
        assert numbers(data.get_ydata()) == [point.mean for point in expected.points.values()]
        corners = np.asarray(band.get_paths()[0].vertices)
        for x, (low, high) in zip(expected.points, intervals(expected.points.values()), strict=True):
            at = corners[corners[:, 0] == x][:, 1]
            assert {*numbers(at)} == {low, high}


def test_draw_has_a_panel_per_quantity_with_units_falling_to_the_right() -> None:
    loss, angle = figures.draw(STEPS).axes
    assert loss.get_xlim()[0] > loss.get_xlim()[1]
    assert (loss.get_ylabel(), angle.get_ylabel(), angle.get_xlabel()) == ("loss", "angle", "units left")
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
    assert [len(axes.get_xticks()) for axes in rows] == [6, 5]
    assert {axes.get_ylim() for axes in rows} == {rows[0].get_ylim()}
    assert {axes.get_xlim() for axes in rows} == {rows[0].get_xlim()}


def test_draw_has_counts_as_numbers_and_fractions_of_rows_as_colors() -> None:
    axes = figures.draw(HEAT).axes[0]
    assert [text.get_text() for text in axes.texts] == [str(count) for row in HEAT.counts for count in row]
    (mesh,) = (artist for artist in axes.collections if isinstance(artist, QuadMesh))
    shares: Any = np.asarray(mesh.get_array()).reshape(3, 3)
    assert np.allclose(shares, [[0.9, 0.1, 0.0], [0.2, 0.6, 0.2], [0.0, 0.0, 0.0]])
    assert axes.yaxis_inverted()


def test_draw_fills_the_points_on_the_front_and_joins_them_by_steps() -> None:
    (axes,) = figures.draw(POINTS).axes
    points: list[Any] = [
        drawn
        for drawn in axes.lines
        # bars end in strokes
        if drawn.get_linestyle() == "None" and drawn.get_marker() != "_"
    ]
    filled = [drawn for drawn in points if drawn.get_markerfacecolor() != "white"]
    hollow = [drawn for drawn in points if drawn.get_markerfacecolor() == "white"]
    assert [numbers(drawn.get_xdata()) for drawn in filled] == [[1.0], [0.5], [0.5], [0.5], [0.3]]
    assert [numbers(drawn.get_xdata()) for drawn in hollow] == [[0.0625]] * 3
    (steps,) = (drawn for drawn in axes.lines if drawn.get_drawstyle() == "steps-post")
    assert numbers(steps.get_xdata()) == [0.5, 0.5, 0.5, 1.0]
    assert axes.get_xscale() == "log"
    assert axes.get_ylim()[0] == 0
    (legend,) = figures.draw(POINTS).legends
    assert "none is both smaller and better" in legend.get_title().get_text().replace("\n", " ")
    assert {"front", "chance", *LABELS} >= {
        text.get_text().replace("\n", " ") for text in legend.get_texts()[1:]
    }


@pytest.mark.parametrize("on_front", [True, False])
def test_draw_fills_the_star_of_the_whole_network_only_on_the_front(on_front: bool) -> None:
    whole, *others = POINTS.series
    moved = replace(whole, points=(replace(whole.points[0], on_front=on_front),))
    figure = figures.draw(replace(POINTS, series=(moved, *others)))
    stars = [drawn for drawn in figure.axes[0].lines if drawn.get_marker() == "*"]
    (legend,) = figure.legends
    faces = {drawn.get_markerfacecolor() for drawn in (*stars, legend.get_lines()[0])}
    assert faces == {"black" if on_front else "white"}


@pytest.mark.parametrize(("low", "cut"), [(0.1, False), (0.8, True)])
def test_draw_begins_accuracy_at_zero_or_marks_the_cut(low: float, cut: bool) -> None:
    lines = (Line("a", {1.0: Estimate(1, low), 2.0: Estimate(1, 0.9)}),)
    (axes,) = figures.draw(LineChart("x", "k", (Panel("accuracy", lines, fraction=True),))).axes
    assert (axes.get_ylim()[0] > 0) == cut
    assert any(drawn.get_transform() == axes.transAxes for drawn in axes.lines) == cut


def test_draw_has_levels_to_compare_with_and_notes() -> None:
    panel = replace(FEW.panels[0], levels=(Level("chance", 0.25),))
    figure = figures.draw(replace(FEW, panels=(panel,), note="left out: 3 lines"))
    assert any(numbers(drawn.get_ydata()) == [0.25, 0.25] for drawn in figure.axes[0].lines)
    (legend,) = figure.legends
    assert legend.get_texts()[-1].get_text() == "chance"
    assert legend.get_title().get_text() == "left out: 3 lines"


def test_draw_has_bands_of_different_hatches() -> None:
    (axes,) = figures.draw(MANY).axes
    bands = [artist for artist in axes.collections if isinstance(artist, PolyCollection)]
    assert len({band.get_hatch() for band in bands}) == 2


def test_draw_has_the_accuracy_and_the_samples_of_each_bin() -> None:
    above, below = figures.draw(RELIABILITY).axes
    single = [drawn for drawn in above.lines if len(numbers(drawn.get_xdata())) == 1]
    assert [numbers(drawn.get_ydata())[0] for drawn in single] == [0.5, 1.0, 1.0, 0.5]
    heights = [patch.get_height() for patch in below.patches]  # type: ignore[attr-defined]  # rectangles
    assert heights == [4, 0, 96, 96, 0, 4]
    first, second = (ends for _, ends in points_and_bars(above))
    assert np.allclose(first, [wilson_interval(2, 4), wilson_interval(96, 96)])
    assert second == []


def test_draw_has_a_row_for_each_layer_and_grows_with_them() -> None:
    figure = figures.draw(LAYERS)
    (axes,) = figure.axes
    widths = [patch.get_width() for patch in axes.patches]  # type: ignore[attr-defined]  # rectangles
    assert widths == [32, 128, 1, 32, 0, 4]
    assert [text.get_text() for text in axes.texts] == ["64 > 32", "128", "5 > 1"]
    assert axes.yaxis_inverted()
    many = replace(LAYERS, layers=LAYERS.layers * 30, before=LAYERS.before * 30, after=LAYERS.after * 30)
    assert figures.draw(many).get_figheight() > 10


def test_draw_has_the_thresholds_of_angles_and_the_angles_of_all_pairs() -> None:
    bars, matrix = figures.draw(ANGLES).axes[:2]
    assert [numbers(drawn.get_xdata()) for drawn in bars.lines] == [[60, 60], [150, 150]]
    heights = [patch.get_height() for patch in bars.patches]  # type: ignore[attr-defined]  # rectangles
    # similar, between the thresholds, complementary
    assert heights == [3, 0, 8, 2, 0, 1]
    (mesh,) = (artist for artist in matrix.collections if isinstance(artist, QuadMesh))
    cells: Any = mesh.get_array()
    assert np.asarray(cells).reshape(3, 3)[0, 1] == 20
    assert np.ma.getmaskarray(cells).sum() == 4
    assert len(figures.draw(SMOOTH).axes) == 1


def test_draw_has_the_change_with_signs() -> None:
    before, after, change = figures.draw(CHANGE).axes[:3]
    shown = [[text.get_text() for text in axes.texts] for axes in (before, after, change)]
    assert shown[0][:3] == ["9", "1", "0"]
    assert shown[1][:3] == ["5", "5", "0"]
    assert shown[2] == ["\u22124", "+4", "", "", "+1", "\u22121", "", "", ""]
    (mesh,) = (artist for artist in change.collections if isinstance(artist, QuadMesh))
    assert np.allclose(np.asarray(mesh.get_array()).ravel()[:2], [-0.4, 0.4])
    assert mesh.get_clim() == (-0.4, 0.4)


def test_draw_leaves_three_matrices_room_beside_long_names_of_classes() -> None:
    names = tuple(f"{number} a class with a name of many words" for number in range(7))
    counts = tuple(tuple(100 + number for number in range(7)) for _ in names)
    figure = figures.draw(ChangeChart("x", ("a", "b"), names, counts, counts[::-1]))
    canvas: Any = figure.canvas
    canvas.draw()
    axes = figure.axes[0]
    assert axes.get_window_extent().width > 0.15 * figure.bbox.width
    texts = [text.get_window_extent() for text in axes.texts[:7]]
    assert all(left.x1 < right.x0 for left, right in pairwise(texts))


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
    wide = figures.WIDE_IN if isinstance(chart, ChangeChart) else figures.WIDTH_IN
    assert picture.width == round(wide * 300)
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
    # texts are drawn as paths, and stand in comments; of long ones the middle is cut out
    assert r"\x00" in svg or r"\uffff" in svg


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
NAMES = [
    *("accuracy-against-parameters", "accuracy-by-hidden", "compression-by-hidden", "confusion-b"),
    *("recall-by-class", "curves", "steps"),
]


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
    with pytest.raises(UsageFault, match=r"'pie'.*choose from accuracy-against-COST"):
        figures.save(RUNS, str(tmp_path), ["pie"])
    assert tree(tmp_path) == {}


def test_save_warns_of_letters_that_the_font_lacks(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    figures.save(Runs((run("表情", 0.5),)), str(tmp_path), ["confusion"])
    assert [message.partition(" ")[0] for message in caplog.messages] == ["confusion-表情:"] * 2
