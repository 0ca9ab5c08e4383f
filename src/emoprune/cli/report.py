"""emoprune report: several evaluations side by side."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Literal, get_args

import typer

from emoprune.cli import console, options, sheets
from emoprune.errors import UsageFault
from emoprune.records.choices import Section

if TYPE_CHECKING:
    from rich.console import Group

    from emoprune.records import Metrics

ALL_SECTIONS: tuple[Section, ...] = get_args(Section)

EXAMPLES = """\b
Examples:
  emoprune eval model.st faces/ | emoprune report
  emoprune report before.json after.json --format markdown > report.md
  emoprune report runs/*.json --section summary --format csv > runs.csv"""


def command(
    files: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="FILES", help="Metrics as emoprune eval prints them; - or none: standard input."
        ),
    ] = None,
    form: Annotated[
        Literal["table", "markdown", "csv", "json"] | None,
        typer.Option("--format", help="[default: table on a terminal, JSON in a pipe]", show_default=False),
    ] = None,
    section: Annotated[
        Section | None,
        typer.Option(help="Only this part.  [default: all; in CSV summary]", show_default=False),
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Compare evaluations side by side.

    Accuracy with its 95% interval, size and cost, each with its change against the first; then
    precision, recall and F1 per class, and confusion matrices.
    """
    from emoprune.cli import comparison
    from emoprune.store import metrics, streams

    if not files and sys.stdin.isatty():
        raise UsageFault(
            "no files, and nothing is piped in", "give files of metrics, or pipe emoprune eval into it"
        )
    found = []
    for file in files or ["-"]:
        text = streams.read_bytes(file).decode("utf-8", "replace")
        found += metrics.parse(text, place=streams.shown(file))
    if not comparison.comparable(found):
        console.warn("not all were measured on the same part of the same data")
    sections = (section,) if section else ALL_SECTIONS
    form = "json" if as_json else form
    if form == "markdown":
        console.write("\n".join(map(sheets.to_markdown, comparison.sheets(found, sections))))
    elif form == "csv":
        console.write(sheets.to_csv(comparison.flat(found, sections[0])))
    elif form == "table":
        console.show(tables(found, sections))
    else:
        records = [comparison.to_record(found)]
        console.emit(records, lambda: tables(found, sections), as_json=form == "json")


def tables(found: Sequence[Metrics], sections: Sequence[Section] = ALL_SECTIONS) -> Iterator[Group]:
    """The sections as tables for the terminal."""
    from emoprune.cli import comparison

    return map(sheets.to_table, comparison.sheets(found, sections))
