"""Tables before they have a form; as terminal tables, Markdown and CSV."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from emoprune.cli import output
from emoprune.io import csv_text

if TYPE_CHECKING:
    from rich.console import Group

Row = tuple[object, ...]


@dataclass(frozen=True)
class Sheet:
    """A titled table: `left` columns of text, then figures."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    left: int = 1


def from_rows(title: str, rows: Sequence[Mapping[str, object]]) -> Sheet:
    """A flat sheet of every column that some row has."""
    columns = tuple(dict.fromkeys(key for row in rows for key in row))
    return Sheet(title, columns, tuple(tuple(row.get(key) for key in columns) for row in rows))


def to_table(sheet: Sheet) -> Group:
    """A table for the terminal."""
    return output.table(sheet.title, sheet.columns, sheet.rows, left=sheet.left)


def to_markdown(sheet: Sheet) -> str:
    """A heading and a pipe table."""
    align = [":--" if index < sheet.left else "--:" for index in range(len(sheet.columns))]
    lines = [sheet.columns, align, *sheet.rows]
    body = "\n".join("| " + " | ".join(_escaped(cell) for cell in line) + " |" for line in lines)
    return f"### {sheet.title}\n\n{body}\n"


def _escaped(cell: object) -> str:
    return output.cell(cell).replace("|", "\\|").replace("\n", " ")


def to_csv(sheet: Sheet) -> str:
    """A header line and raw values; what is not there stays empty."""
    return csv_text.to_text([sheet.columns, *sheet.rows])
