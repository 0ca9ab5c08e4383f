"""Charts inside a page: ids of their own, the page's font and colors, the same texts."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

from emoprune.evaluation.confidence import estimate
from emoprune.reporting.pages.svg import inline
from emoprune.reporting.types import BarChart, Chart, HeatChart, Line, LineChart, Panel

POINTS = {place: estimate([0.2, 0.2 + place / 10]) for place in (1.0, 2.0, 3.0)}
LINES = LineChart("l", "x & y", (Panel("accuracy", (Line("<a>", POINTS), Line("b", POINTS)), fraction=True),))
BARS = BarChart("b", "x", "accuracy", ("c", "d"), ("e", "f"), ((estimate([0.5]), None),) * 2)
HEAT = HeatChart("h", "label", ("sad", "happy"), ((9, 1), (5, 5)))


@pytest.mark.parametrize("chart", [LINES, BARS, HEAT], ids=["lines", "bars", "heat"])
def test_inline_is_an_image_named_by_an_element_with_ids_of_its_own(chart: Chart) -> None:
    text = inline(chart, prefix="f1-", named_by="says")
    root = ElementTree.fromstring(text)
    assert (root.tag, root.get("role"), root.get("aria-labelledby")) == ("svg", "img", "says")
    assert {"width", "height"} & {*root.attrib} == set()
    ids = re.findall(r' id="([^"]+)"', text)
    assert ids
    assert all(name.startswith("f1-") for name in ids)
    assert {*re.findall(r'(?:url\(#|href="#)([^)"]+)', text)} == {*ids}
    assert "font-family" not in text
    assert inline(chart, prefix="f1-", named_by="says") == text


def texts(chart: Chart) -> dict[str, str]:
    """The texts in a chart with their own color, if they have one."""
    root = ElementTree.fromstring(inline(chart, prefix="p", named_by="n"))
    return {each.text or "": each.get("style") or "" for each in root.iter("text")}


def test_texts_have_the_color_of_the_page_but_on_cells() -> None:
    assert {"accuracy", "x & y", "<a>", "b"} <= {*texts(LINES)}
    assert not any("fill" in style for style in texts(LINES).values())
    found = texts(HEAT)
    assert ("fill: #ffffff" in found["9"], "fill: #000000" in found["1"]) == (True, True)
    assert not any("fill" in found[text] for text in ("sad", "happy", "predicted", "label"))


def test_colors_of_series_are_those_of_the_page() -> None:
    text = inline(LINES, prefix="p", named_by="n")
    assert {"var(--series-1)", "var(--series-2)", "currentColor", "var(--rule)"} <= {
        *re.findall(r"(var\(--[a-z0-9-]+\)|currentColor)", text)
    }
    assert "#0072b2" not in text.lower()
