"""Sheets as terminal tables, Markdown and CSV."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emoprune.cli import console
from emoprune.store import csvtext

if TYPE_CHECKING:
    from rich.console import Group

    from emoprune.cli.comparison import Sheet


def to_table(sheet: Sheet) -> Group:
    """A table for the terminal."""
    return console.table(sheet.title, sheet.columns, sheet.rows, left=sheet.left)


def to_markdown(sheet: Sheet) -> str:
    """A heading and a pipe table."""
    align = [":--" if index < sheet.left else "--:" for index in range(len(sheet.columns))]
    lines = [sheet.columns, align, *sheet.rows]
    body = "\n".join("| " + " | ".join(_escaped(cell) for cell in line) + " |" for line in lines)
    return f"### {sheet.title}\n\n{body}\n"


def _escaped(cell: object) -> str:
    return console.cell(cell).replace("|", "\\|").replace("\n", " ")


def to_csv(sheet: Sheet) -> str:
    """A header line and raw values; what is not there stays empty."""
    return csvtext.to_text([sheet.columns, *sheet.rows])
