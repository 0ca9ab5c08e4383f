"""Charts as SVG inside a page: texts and colors are those of the page, light or dark."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator, Mapping
from typing import Any
from xml.etree import ElementTree

from markupsafe import Markup
from matplotlib.style import context

from emoprune.reporting.figures import METADATA, STYLE, WIDTH_IN, draw
from emoprune.reporting.figures.style import COLORS
from emoprune.reporting.types import Chart

INK = "#010203"
"""Of axes and texts, which take the color of the page's text; a black that is meant is another."""

PAGE_STYLE: dict[str, Any] = {
    **STYLE,
    **dict.fromkeys(("text.color", "axes.labelcolor", "axes.edgecolor", "axes.titlecolor"), INK),
    **dict.fromkeys(("xtick.color", "ytick.color", "legend.labelcolor"), INK),
}
COLORS_OF_PAGE: Mapping[str, str] = {
    **{color.lower(): f"var(--series-{number})" for number, color in enumerate(COLORS, 1)},
    **{INK: "currentColor", "#444444": "var(--soft)", "#dddddd": "var(--rule)", "#ffffff": "var(--paper)"},
}
"""Colors of drawings, and what a page has instead."""

LONG = re.compile(r"-?\d+\.\d{3,}")
REFERENCE = re.compile(r"url\(#([^)]+)\)")
DRAWN = ("d", "x", "y", "transform", "points", "width", "height")
"""Attributes with coordinates, in 72nds of an inch."""


def inline(chart: Chart, *, prefix: str, named_by: str) -> Markup:
    """The chart as an element of HTML whose ids begin with `prefix`; the element `named_by` is its name.

    The same chart gives the same text.
    """
    root = ElementTree.fromstring(_drawn(chart))
    for parent in [*root.iter()]:
        for child in [*parent]:
            if _plain(child.tag) in ("metadata", "style"):
                parent.remove(child)
    used = set(_references(root))
    # numbers stand on cells, whose colors are the same in a light page and in a dark one
    on_cells = any((each.get("id") or "").startswith("QuadMesh") for each in root.iter())
    for each in root.iter():
        each.tag = _plain(each.tag)
        each.attrib = dict(_attributes(each, used, prefix, on_cells=on_cells))
        # a text of spaces alone is the layout of the file
        each.tail = None if not (each.tail or "").strip() else each.tail
        each.text = None if not (each.text or "").strip() else each.text
    root.attrib = {
        **{"viewBox": root.attrib["viewBox"], "class": "chart", "role": "img"},
        **{"aria-labelledby": named_by, "focusable": "false"},
    }
    # made of escaped texts
    return Markup(ElementTree.tostring(root, encoding="unicode"))


def is_wide(drawing: str) -> bool:
    """Whether a drawing is wider than half a page, and its texts small in that."""
    found = re.search(r'viewBox="0 0 ([\d.]+)', drawing)
    return found is not None and float(found[1]) > 1.5 * 72 * WIDTH_IN


def _drawn(chart: Chart) -> bytes:
    stream = io.BytesIO()
    with context(["default", PAGE_STYLE, {"svg.fonttype": "none"}]), warnings.catch_warnings():
        # a label in letters that our font lacks; the page's reader has others
        warnings.simplefilter("ignore", UserWarning)
        figure = draw(chart, PAGE_STYLE)
        figure.savefig(stream, format="svg", metadata=METADATA["svg"], transparent=True)
    return stream.getvalue()


def _plain(name: str) -> str:
    """A name without its namespace, which HTML knows."""
    return name.rpartition("}")[2]


def _references(root: ElementTree.Element) -> Iterator[str]:
    for each in root.iter():
        for name, value in each.attrib.items():
            yield from REFERENCE.findall(value)
            if _plain(name) == "href":
                yield value.removeprefix("#")


def _attributes(
    each: ElementTree.Element, used: set[str], prefix: str, *, on_cells: bool
) -> Iterator[tuple[str, str]]:
    is_text = each.tag == "text"
    for name, value in each.attrib.items():
        plain = _plain(name)
        if plain == "id":
            if value in used:
                yield "id", prefix + value
        elif plain == "href":
            # others are pictures, in the page itself
            yield "href", f"#{prefix}{value[1:]}" if value.startswith("#") else value
        elif plain == "style":
            declared = dict(part.split(": ", 1) for part in value.split("; ") if ": " in part)
            style = "; ".join(f"{key}: {text}" for key, text in _style(declared, is_text, on_cells, prefix))
            if style:
                yield "style", style
        elif plain in ("fill", "stroke"):
            yield plain, _color(value)
        elif plain in DRAWN and "scale" not in value:
            yield plain, LONG.sub(lambda found: f"{float(found[0]):.2f}", value)
        elif plain != "xmlns":
            yield plain, REFERENCE.sub(rf"url(#{prefix}\1)", value)


def _style(
    declared: Mapping[str, str], is_text: bool, on_cells: bool, prefix: str
) -> Iterator[tuple[str, str]]:
    """The declarations of a style; texts have the font of the page and, unless on cells, its color."""
    if is_text:
        ink = declared.get("fill", "#000000")
        if on_cells and ink != INK:
            yield "fill", ink
    for key, value in declared.items():
        if key == "font-family" or (is_text and key == "fill"):
            continue
        yield key, _color(REFERENCE.sub(rf"url(#{prefix}\1)", value)) if key in ("fill", "stroke") else value


def _color(value: str) -> str:
    return COLORS_OF_PAGE.get(value.lower(), value)
