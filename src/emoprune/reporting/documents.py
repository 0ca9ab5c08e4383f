"""A report as one text, to be read or handed on: a page, LaTeX, Markdown, CSV or JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import PurePath

from emoprune import events
from emoprune.choices import DocumentForm, Section
from emoprune.errors import UsageFault
from emoprune.io import files
from emoprune.io.visible_text import without_isolates
from emoprune.reporting import inputs, tables
from emoprune.reporting.headlines import Headline, headlines
from emoprune.reporting.sections import Report, report
from emoprune.reporting.types import ReportConfig, Runs

SUFFIXES: dict[str, DocumentForm] = {
    ".html": "html",
    ".tex": "tex",
    ".md": "markdown",
    ".csv": "csv",
    ".json": "json",
}


def form_of(path: str) -> DocumentForm:
    """The form that the suffix of a file asks for; UsageFault for another suffix."""
    if path == files.STANDARD:
        raise UsageFault("`output` is a file", "leave it out, and give `format` for standard output")
    suffix = PurePath(path).suffix.lower()
    if suffix not in SUFFIXES:
        raise UsageFault(f"{path!r} has no suffix of a report", f"choose from {', '.join(SUFFIXES)}")
    return SUFFIXES[suffix]


HEADED: tuple[DocumentForm, ...] = ("html", "tex", "markdown")
"""Forms that have a heading."""


@dataclass(frozen=True)
class Heading:
    """What stands above a report: a title, and a `note` below it, in paragraphs between empty lines."""

    title: str | None = None
    note: str | None = None

    @property
    def paragraphs(self) -> list[str]:
        """Those of the note, each in one line."""
        return [" ".join(text.split()) for text in re.split(r"\n\s*\n", self.note or "") if text.strip()]


NOTHING = Heading()


def check(output: str | None, form: str | None, heading: Heading, *, force: bool) -> None:
    """Raise now, before anything is read, for a heading that would be lost or an `output` that is refused."""
    for name in ("title", "note"):
        if getattr(heading, name) is not None and form not in HEADED:
            raise UsageFault(f"`{name}` stands above a page, LaTeX or Markdown", "give `output=FILE.html`")
        if not (getattr(heading, name) or "some").strip():
            raise UsageFault(f"`{name}` is empty", "leave it out")
    if output is not None:
        files.check_output(output, force=force)


@dataclass(frozen=True)
class Document:
    """What a report shows, of some `sections` or of all, below a heading.

    `commands` are command lines that repeat it, for a page.
    """

    report: Report
    runs: Runs
    sections: tuple[Section, ...] = ()
    heading: Heading = NOTHING
    commands: tuple[str, ...] = ()

    def headlines(self) -> tuple[Headline, ...]:
        """What a reader needs first: at most three sentences, then what else to be warned of."""
        more = (Headline(f"{text[0].upper()}{text[1:]}.", warns=True) for text in self.report.warnings)
        return (*headlines(self.runs, self.report.verdicts), *more)

    def write(self, output: str, *, force: bool) -> None:
        """Write the document as the suffix of a file asks for; one that exists is replaced with `force`."""
        data = self.text(form_of(output)).encode()
        files.write_bytes(output, data, force=force)
        events.note(f"wrote {output}: {len(data) / 1000:,.0f} kB")

    def text(self, form: DocumentForm) -> str:
        """The whole document."""
        return TEXTS[form](self)


def document(
    places: Sequence[str],
    config: ReportConfig,
    *,
    sections: tuple[Section, ...] = (),
    heading: Heading = NOTHING,
    force: bool = False,
) -> Document:
    """What some files come to; warns of what its reader should know. With `force` as `report` has it."""
    runs = inputs.read(places)
    made = report(runs, config, force=force)
    for text in made.warnings:
        events.warn(text)
    made.chosen(*sections)
    return Document(made, runs, sections, heading)


def _html(made: Document) -> str:
    # it needs jinja2 and matplotlib, which take longer to import than the rest of a report takes
    from emoprune.reporting.pages.page import to_html

    return to_html(made)


def _tex(made: Document) -> str:
    from emoprune.reporting.tex import to_tex

    found = made.report.tables_by_section(*made.sections)
    said = (f"Warning: {text}" if warns else text for text, warns in _said(made))
    return to_tex(found, title=made.heading.title, sentences=[*made.heading.paragraphs, *said])


def _markdown(made: Document) -> str:
    head = [] if made.heading.title is None else [f"# {_as_text(made.heading.title)}\n"]
    head += [f"{_as_text(text)}\n" for text in made.heading.paragraphs]
    head += ["> **Warning:** " * warns + f"{_as_text(text)}\n" for text, warns in _said(made)]
    return "\n".join([*head, *map(tables.to_markdown, made.report.tables(*made.sections))])


def _as_text(sentence: str) -> str:
    return tables.as_text(tables.Prose(sentence))


def _said(made: Document) -> list[tuple[str, bool]]:
    """The headlines, and whether they warn."""
    return [(without_isolates(each.text), each.warns) for each in made.headlines()]


def _csv(made: Document) -> str:
    return tables.to_csv(made.report.flat(*made.sections))


def _json(made: Document) -> str:
    made.report.chosen(*made.sections)
    return f"{json.dumps(made.report.to_record(), allow_nan=False)}\n"


TEXTS: dict[DocumentForm, Callable[[Document], str]] = {
    "html": _html,
    "tex": _tex,
    "markdown": _markdown,
    "csv": _csv,
    "json": _json,
}
