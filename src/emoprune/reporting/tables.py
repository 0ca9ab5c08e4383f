"""Tables of values, and how they are written: for a terminal, as Markdown, as CSV."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import count, zip_longest
from math import isclose
from typing import TYPE_CHECKING, Any, Literal

from msgspec import to_builtins

from emoprune.evaluation.confidence import Estimate
from emoprune.io import csv_text
from emoprune.io.number_text import NOT_ZERO, number_text
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


CHANGE, INTERVAL, PAPER, BLIND = "change", "95% interval", "paper", "chance, majority"
BESIDE = (INTERVAL, PAPER, BLIND)
"""Headings of what stands in the column behind what it is of."""

Style = Literal["", "bold", "bold red"]
"""How a terminal shows a line of a table."""

NARROW = 16
"""Columns of a terminal that a broken text, or a shortened name, has at least."""

NAME, HEADING = 0.4, 0.3
"""Fractions of a terminal's width that a name in a row, and one above a column, has at most."""


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


def telling(made: Table) -> Table:
    """The table without columns that say nothing: empty ones, and changes that are zero in every row.

    The interval of a change goes with it; together they stay where one of them is not zero.
    """
    if not made.rows:
        return made
    kept: list[int] = []
    columns = [[cell(row[place]) for row in made.rows] for place in range(len(made.columns))]
    for place, texts in enumerate(columns):
        start = place if made.columns[place] == CHANGE else place - 1
        of_change = start >= 0 and made.columns[start] == CHANGE and made.columns[place] in (CHANGE, INTERVAL)
        interval = start + 1 < len(columns) and made.columns[start + 1] == INTERVAL
        change = [text for texts in columns[start : start + 1 + interval] for text in texts]
        moves = not of_change or any(map(NOT_ZERO.intersection, change))
        if place < made.left or (moves and not {"", "-"}.issuperset(texts)):
            kept.append(place)
    return _chosen(made, kept)


def _chosen(made: Table, places: Sequence[int]) -> Table:
    """The table with these columns."""
    return replace(
        made,
        columns=tuple(made.columns[place] for place in places),
        rows=tuple(tuple(row[place] for place in places) for row in made.rows),
    )


def transposed(made: Table, corner: str) -> Table:
    """The table with its columns as rows, named by their headings under `corner`."""
    names, *columns = zip(*made.rows, strict=True)
    rows = zip(made.columns[1:], *zip(*columns, strict=True), strict=True)
    return replace(made, columns=(corner, *map(cell, names)), rows=tuple(rows))


def to_lines(made: Table, *, width: int | None = None) -> Iterator[tuple[str, Style]]:
    """The lines of a table in columns, for a terminal of `width` columns, and how it shows each.

    A table that is wider is folded after its long names are shortened, unless its texts go on in another
    line.
    """
    for piece in [made] if width is None or made.breaks else _folded(_shortened(made, width), width):
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
    for places in _together(made, whole, widths):
        needed = sum(widths[place] + 2 for place in places)
        if pieces[-1] and needed > room:
            pieces.append([])
            room = whole
        pieces[-1] += places
        room -= needed
    for number, numbers in enumerate(pieces, 1):
        last = number == len(pieces)
        yield replace(
            _chosen(made, [*range(made.left), *numbers]),
            title=made.title if number == 1 else "",
            warnings=made.warnings if last else (),
            notes=made.notes if last else (),
        )


def _together(made: Table, room: int, widths: Sequence[int]) -> list[list[int]]:
    """The columns of numbers, with each what belongs to it if there is room."""
    groups: list[list[int]] = []
    for place in range(made.left, len(widths)):
        belongs = groups and made.columns[place] in BESIDE
        if belongs and sum(widths[each] + 2 for each in (*groups[-1], place)) <= room:
            groups[-1].append(place)
        else:
            groups.append([place])
    return groups


def _shortened(made: Table, width: int) -> Table:
    """A table that is too wide, with the middle cut out of its long names."""
    (headings, *rows), widths = _cells(made)
    if sum(each + 2 for each in widths) <= width + 1:
        return made
    columns = [*zip(*rows, strict=True)] if rows else [()] * len(headings)
    name, heading = (max(NARROW, int(part * width)) for part in (NAME, HEADING))
    short = [
        shortened(column, max(NARROW, name // made.left) if place < made.left else name)
        for place, column in enumerate(columns)
    ]
    above = (*headings[: made.left], *shortened(headings[made.left :], heading))
    return replace(made, columns=above, rows=tuple(zip(*short, strict=True)) if rows else ())


def shortened(names: Sequence[str], most: int) -> list[str]:
    """Names of at most so many columns of a terminal, without their middle; different ones stay different."""
    short = {name: _without_middle(name, most) for name in dict.fromkeys(names)}
    counts = Counter(short.values())
    taken = set(short.values())
    for name, text in short.items():
        if counts[text] > 1:
            numbers = (f" #{number}" for number in count(1))
            numbered = (_without_middle(name, most - len(number)) + number for number in numbers)
            short[name] = next(each for each in numbered if each not in taken)
            taken.add(short[name])
    return [short[name] for name in names]


def _without_middle(name: str, most: int) -> str:
    letters, text = len(name), name
    while _width(text) > most and letters > 1:
        letters = min(letters - 1, most)
        text = visible(name, most=letters)
    return text


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
        yield from ((line, "bold") for line in (_broken(title, width) if width else [title]))
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
        return f"{self._number(value)}{self.suffix}"

    def _number(self, value: float) -> str:
        return number_text(self.factor * value, self.form)

    def estimate(self, found: Estimate | None) -> str | None:
        """A mean and half the width of its 95% interval: "60.0 ± 24.8%".

        Where the interval is cut at a limit of the values, its ends: "90.0 (75.3 to 100.0%)".
        """
        if found is None or found.low is None or found.high is None:
            return None if found is None else self.text(found.mean)
        reach = found.high - found.mean
        if not isclose(reach, found.mean - found.low, rel_tol=1e-6, abs_tol=1e-9):
            return f"{self._number(found.mean)} ({self.interval(found.low, found.high)})"
        return f"{self._number(found.mean)} ± {self.text(reach)}"

    def interval(self, low: float | None, high: float | None) -> str | None:
        """The ends of an interval, if it has any: "35.2 to 84.8%"."""
        if low is None or high is None:
            return None
        return f"{self._number(low)} to {self.text(high)}"


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
        return number_text(value, ".4g")
    is_count = isinstance(value, int) and not isinstance(value, bool)
    most = PROSE if isinstance(value, Prose) else LONGEST
    return visible(f"{value:,}" if is_count else str(value), most=most)
