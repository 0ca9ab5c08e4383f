"""The page: its topics, and which figures and tables stand under each."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from emoprune import events
from emoprune.choices import Section
from emoprune.io.visible_text import BEGINS, ENDS, PROSE, visible, without_isolates
from emoprune.reporting import chart_sentences, tables
from emoprune.reporting.charts import by_kind, numbers
from emoprune.reporting.pages import measured, svg
from emoprune.reporting.tables import Table, table
from emoprune.reporting.types import ChangeChart, Chart, HeatChart
from emoprune.version import __version__

if TYPE_CHECKING:
    from emoprune.reporting.documents import Document


@dataclass(frozen=True)
class Topic:
    """A heading, the sections that it is about, and the kinds of figures under it."""

    title: str
    sections: tuple[str, ...]
    kinds: tuple[str, ...]


TOPICS = (
    Topic(
        "Accuracy and cost",
        ("summary", "verdicts"),
        ("accuracy-against-COST", "loss-of-accuracy", "accuracy-by-KEY", "before-after"),
    ),
    Topic(
        "What was removed",
        ("steps", "layers", "angles"),
        ("units-by-layer", "compression-by-hidden", "steps", "angles"),
    ),
    Topic(
        "Who pays",
        ("classes", "confusion", "payers", "flipped"),
        ("recall-by-class", "confusion-change", "confusion"),
    ),
    Topic("Training and confidence", ("curves",), ("curves", "reliability")),
)
LARGE: tuple[Section, ...] = ("summary", "classes", "confusion", "predictions")
"""Sections whose tables stand behind all topics: they are of every network and every class."""

FEW, MANY = 3, 15
"""Tables of a section, or rows of a list, that are shown unfolded; and rows of any other table."""


@dataclass(frozen=True)
class Figure:
    """A chart in a page, with its numbers."""

    id: str
    title: str
    sentence: str
    drawing: Markup
    numbers: Table
    wide: bool


@dataclass(frozen=True)
class Block:
    """Tables of one section under a heading of their own."""

    title: str
    tables: list[Table]


@dataclass(frozen=True)
class Shown:
    """A topic with what there is of it."""

    title: str
    figures: list[Figure]
    tables: list[Table]
    id: str


def to_html(document: Document) -> str:
    """The page; the same document gives the same text."""
    found = document.report.tables_by_section(*document.sections)
    runs = document.runs
    usual = "What pruning costs" if runs.evaluations else "What emoprune has measured"
    return (
        _environment()
        .get_template("page.html")
        .render(
            title=document.heading.title or usual,
            notes=document.heading.paragraphs,
            of=measured.parts(runs),
            headlines=document.headlines(),
            topics=_shown(document, found),
            blocks=[Block(section.capitalize(), made) for section, made in found.items() if section in LARGE],
            measured=[*measured.tables(runs)],
            intervals=measured.intervals(runs),
            commands=document.commands,
            version=__version__,
            few=FEW,
            many=MANY,
        )
    )


def _environment() -> Environment:
    made = Environment(
        loader=PackageLoader("emoprune.reporting.pages", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters: dict[str, Callable[..., Any]] = {
        **{"cell": cell, "length": length, "name": name, "sentence": sentence, "visible": visible}
    }
    made.filters |= filters
    return made


def name(text: object) -> Markup:
    """Foreign text, made visible and kept to itself, whatever its direction is."""
    return Markup("<bdi>{}</bdi>").format(visible(str(text), most=PROSE))


def cell(value: object) -> Markup:
    """A value of a table as people read it."""
    text = tables.cell(value)
    # a number has no direction of its own
    return Markup(BREAKS.sub(r"\1<wbr>", str(name(text)))) if any(map(str.isalpha, text)) else escape(text)


def length(value: object) -> str:
    """The class of a cell that has more than fits in a line."""
    return " long" if len(tables.cell(value)) > LINE else ""


BREAKS = re.compile(r"(?<=\w)([._/-])(?=[^\W\d])")
"""Where a name may go on in another line."""
LINE = 28
"""Characters of a text in a table that are never broken."""
ISOLATED = re.compile(f"{BEGINS}(.*?){ENDS}", re.DOTALL)


def sentence(text: str) -> Markup:
    """A sentence of ours, with its names kept to themselves."""
    # what is escaped stays so: only our marks become tags
    return Markup(ISOLATED.sub(r"<bdi>\1</bdi>", str(escape(text))))


def _shown(document: Document, found: dict[Section, list[Table]]) -> list[Shown]:
    """The topics with their figures drawn."""
    topics = [*_topics(document, found)]
    number = count(1)
    with events.progress("figures", sum(len(drawn) for _, drawn, _ in topics)) as advance:

        def figure(chart: Chart) -> Figure:
            made = _figure(chart, f"figure-{next(number)}")
            advance()
            return made

        return [
            Shown(topic.title, [*map(figure, drawn)], made, topic.title.lower().replace(" ", "-"))
            for topic, drawn, made in topics
        ]


def _topics(
    document: Document, found: dict[Section, list[Table]]
) -> Iterator[tuple[Topic, list[Chart], list[Table]]]:
    """The topics of which there is something, with their charts and tables."""
    charts = by_kind(document.runs)
    known = {kind for topic in TOPICS for kind in topic.kinds}
    rest = tuple(kind for kind in charts if kind not in known)
    changes = [chart for each in charts.values() for chart in each if isinstance(chart, ChangeChart)]
    in_changes = {counts for chart in changes for counts in (chart.before, chart.after)}
    for topic in (*TOPICS, Topic("More", (), rest)):
        if document.sections and not set(topic.sections) & set(document.sections):
            continue
        drawn = [
            chart
            for kind in topic.kinds
            for chart in charts.get(kind, ())
            # a matrix that stands beside its change is not shown again
            if not (isinstance(chart, HeatChart) and chart.counts in in_changes)
        ]
        made = [
            each
            for section, tables_of in found.items()
            if section in topic.sections and section not in LARGE
            for each in tables_of
        ]
        if drawn or made:
            yield topic, drawn, made


def _figure(chart: Chart, label: str) -> Figure:
    title = chart_sentences.title(chart)
    drawing = svg.inline(chart, prefix=f"{label}-", named_by=f"{label}-says")
    says = chart_sentences.sentence(chart)
    return Figure(label, title, says, drawing, _numbers(chart, title), svg.is_wide(drawing))


def _numbers(chart: Chart, title: str) -> Table:
    """The numbers of a chart, without columns that are empty."""
    columns, *rows = numbers(chart)
    kept = [place for place in range(len(columns)) if any(row[place] not in (None, "") for row in rows)]
    left = sum(all(isinstance(row[place], str) for row in rows) for place in kept)
    return table(
        without_isolates(title),
        [str(columns[place]) for place in kept],
        ([row[place] for place in kept] for row in rows),
        left=left,
    )
