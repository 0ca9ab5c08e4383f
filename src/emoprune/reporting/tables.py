"""Tables of values, and how they are written: for a terminal, as Markdown, as CSV."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, Literal

from msgspec import to_builtins

from emoprune.evaluation.confidence import Estimate
from emoprune.io import csv_text
from emoprune.io.visible_text import LONGEST, PROSE, visible

if TYPE_CHECKING:
    from rich.console import Console

WEIGHTS, FILE = "weights (bytes)", "file (bytes)"
"""What every table calls the bytes of a network's tensors, and those of a file on disk."""


@dataclass(frozen=True)
class Table:
    """A titled table: the first `left` columns are text, the rest numbers.

    `breaks` says that texts, never numbers, go on in another line where a terminal is too narrow for them.
    `warnings` and `notes` stand below the rows.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[object, ...], ...]
    left: int = 1
    breaks: bool = False
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


class Prose(str):
    """A sentence in a cell, which may be longer than a name."""

    __slots__ = ()


Style = Literal["", "bold", "bold red"]
"""How a terminal shows a line of a table."""

NARROW = 16
"""Columns of a terminal that a broken text has at least."""


def table(
    title: str,
    columns: Iterable[str],
    rows: Iterable[Iterable[object]],
    *,
    left: int = 1,
    breaks: bool = False,
    notes: tuple[str, ...] = (),
) -> Table:
    """A Table of any rows."""
    return Table(title, tuple(columns), tuple(tuple(row) for row in rows), left, breaks, notes=notes)


def from_rows(title: str, rows: Sequence[Mapping[str, object]]) -> Table:
    """A table with every column that some row has."""
    columns = dict.fromkeys(key for row in rows for key in row)
    return table(title, columns, ((row.get(key) for key in columns) for row in rows))


def from_cells(title: str, rows: Iterable[Iterable[tuple[str, object]]]) -> Table:
    """A table of rows of (column, value), with the columns of the first; a column may come twice."""
    cells = [[*row] for row in rows]
    return table(title, (name for name, _ in cells[0]), ([value for _, value in row] for row in cells))


def to_lines(made: Table, *, width: int | None = None) -> Iterator[tuple[str, Style]]:
    """The lines of a table in columns, for a terminal of `width` columns, and how it shows each.

    A table that is wider is folded, unless its texts go on in another line.
    """
    for piece in [made] if width is None or made.breaks else _folded(made, width):
        for line, style in _lines(piece, width):
            # a space beyond the edge would make an empty line
            yield line.rstrip() if width is not None and _width(line) > width else line, style


def _cells(made: Table) -> tuple[list[list[str]], list[int]]:
    """Names and rows as people read them, and the width of each column."""
    lines = [[cell(value) for value in line] for line in (made.columns, *made.rows)]
    return lines, [max(map(_width, column)) for column in zip(*lines, strict=True)]


def _folded(made: Table, width: int) -> Iterator[Table]:
    """The table in pieces of at most `width`, each with its columns of text; a column is never cut."""
    _, widths = _cells(made)
    beside = sum(each + 2 for each in widths[: made.left])
    pieces: list[list[int]] = [[]]
    # the space at the end of a line is cut off beyond the edge
    room = whole = width + 1 - beside
    for place in range(made.left, len(widths)):
        if pieces[-1] and widths[place] + 2 > room:
            pieces.append([])
            room = whole
        pieces[-1].append(place)
        room -= widths[place] + 2
    for number, numbers in enumerate(pieces, 1):
        places = [*range(made.left), *numbers]
        last = number == len(pieces)
        yield replace(
            made,
            title=made.title if number == 1 else "",
            columns=tuple(made.columns[place] for place in places),
            rows=tuple(tuple(row[place] for place in places) for row in made.rows),
            warnings=made.warnings if last else (),
            notes=made.notes if last else (),
        )


def _lines(made: Table, width: int | None) -> Iterator[tuple[str, Style]]:
    lines, widths = _cells(made)
    if width is not None and made.breaks:
        widths = _narrowed(widths, lines[0], made.left, width)

    def laid_out(line: Sequence[str]) -> Iterator[str]:
        for texts in zip_longest(*map(_broken, line, widths), fillvalue=""):
            cells = []
            for place, (text, wide) in enumerate(zip(texts, widths, strict=True)):
                pad = " " * (wide - _width(text))
                cells.append(text + pad if place < made.left else pad + text)
            yield f" {'  '.join(cells)} "

    names = list(laid_out(lines[0]))
    if made.title:
        title = cell(made.title)
        yield from ((line, "bold") for line in (_broken(title, width) if width and made.breaks else [title]))
    yield " " * _width(names[0]), ""
    yield from ((line, "bold") for line in names)
    yield f" {'─' * (_width(names[0]) - 2)} ", ""
    yield from ((line, "") for row in lines[1:] for line in laid_out(row))
    yield " " * _width(names[0]), ""
    for style, texts in _below(made):
        for text in texts:
            shown = visible(f"  {text}", most=PROSE)
            yield from ((line, style) for line in (_broken(shown, width) if width else [shown]))
        if texts:
            yield "", ""


def _below(made: Table) -> Iterator[tuple[Style, Sequence[str]]]:
    """What stands below the rows."""
    yield "bold red", [f"warning: {text}" for text in made.warnings]
    yield "", made.notes


def _narrowed(widths: Sequence[int], names: Sequence[str], left: int, width: int) -> list[int]:
    """Widths of columns that together fit a terminal, if it is enough to break texts; else as they were."""
    found, excess = [*widths], sum(widths) + 2 * len(widths) - width
    while excess > 0:
        widest = max(range(left), key=found.__getitem__)
        if found[widest] <= max(NARROW, *map(_width, names[:left])):
            return [*widths]
        found[widest] -= 1
        excess -= 1
    return found


def _broken(text: str, width: int) -> list[str]:
    """Lines of a text, broken between words if possible."""
    if _width(text) <= width:
        return [text]
    from rich.text import Text

    return [line.plain.rstrip() for line in Text(text).wrap(_console(), width)]


@cache
def _console() -> Console:
    from rich.console import Console

    return Console()


def _width(text: str) -> int:
    """Columns of a terminal: letters of some scripts take two."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


MARKED = re.compile(r"[\\`|\[$]|<(?=[A-Za-z/!?])|&(?=#?\w+;)|:(?=//)|(?<=www)\.")
"""What Markdown takes for code, cells, links, formulas, tags and letters, where it does so."""


def to_markdown(made: Table) -> str:
    """A heading and a pipe table; what foreign names hold is text, not Markdown."""
    align = [":--" if index < made.left else "--:" for index in range(len(made.columns))]
    names, *rows = (f"| {' | '.join(map(as_text, line))} |" for line in (made.columns, *made.rows))
    body = "\n".join((names, f"| {' | '.join(align)} |", *rows))
    below = [f"\n> **Warning:** {as_text(Prose(text))}\n" for text in made.warnings]
    below += [f"\n{as_text(Prose(text))}\n" for text in made.notes]
    return f"### {as_text(made.title)}\n\n{body}\n{''.join(below)}"


def as_text(value: object) -> str:
    """A value as people read it, which Markdown takes for text."""
    return MARKED.sub(lambda found: f"\\{found[0]}", cell(value))


def to_csv(made: Table) -> str:
    """A header line and raw values; None is an empty cell."""
    return csv_text.to_text([made.columns, *made.rows])


@dataclass(frozen=True)
class Format:
    """How values are written: multiplied by `factor`, in the format `form`, with `suffix` behind."""

    form: str
    factor: float = 1
    suffix: str = ""

    def text(self, value: float) -> str:
        """One value."""
        return f"{self.factor * value:{self.form}}{self.suffix}"

    def estimate(self, found: Estimate | None) -> str | None:
        """A mean and half the width of its 95% interval: "60.0 ± 24.8%"."""
        if found is None or found.high is None:
            return None if found is None else self.text(found.mean)
        return f"{self.factor * found.mean:{self.form}} ± {self.text(found.high - found.mean)}"

    def interval(self, low: float | None, high: float | None) -> str | None:
        """The ends of an interval, if it has any: "35.2 to 84.8%"."""
        if low is None or high is None:
            return None
        return f"{self.factor * low:{self.form}} to {self.text(high)}"


PERCENT, POINTS = Format(".1f", 100, "%"), Format("+.1f", 100, " pt")
DECIMALS, DIFFERENCE = Format(".3f"), Format("+.3f")


def as_record(found: Estimate | None) -> dict[str, Any] | None:
    """An estimate as a JSON object."""
    return to_builtins(found) if found else None


def flat_mean(key: str, found: Estimate | None) -> dict[str, Any]:
    """A mean as a column of CSV."""
    return {key: found.mean if found else None}


def flat_estimate(key: str, found: Estimate | None) -> dict[str, Any]:
    """A mean and the ends of its interval as columns of CSV."""
    low, high = (found.low, found.high) if found else (None, None)
    return {**flat_mean(key, found), f"{key}_low": low, f"{key}_high": high}


def cell(value: object) -> str:
    """A value as people read it: 4 significant digits, a dash for None."""
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.4g}"
    is_count = isinstance(value, int) and not isinstance(value, bool)
    most = PROSE if isinstance(value, Prose) else LONGEST
    return visible(f"{value:,}" if is_count else str(value), most=most)
