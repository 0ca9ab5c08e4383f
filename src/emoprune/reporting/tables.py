"""Tables of values, and how they are written: for a terminal, as Markdown, as CSV."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from emoprune.io import csv_text
from emoprune.reporting.types import Estimate

if TYPE_CHECKING:
    from rich.console import Group


@dataclass(frozen=True)
class Table:
    """A titled table: the first `left` columns are text, the rest numbers."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[object, ...], ...]
    left: int = 1


def table(title: str, columns: Iterable[str], rows: Iterable[Iterable[object]], *, left: int = 1) -> Table:
    """A Table of any rows."""
    return Table(title, tuple(columns), tuple(tuple(row) for row in rows), left)


def from_rows(title: str, rows: Sequence[Mapping[str, object]]) -> Table:
    """A table with every column that some row has."""
    columns = dict.fromkeys(key for row in rows for key in row)
    return table(title, columns, ((row.get(key) for key in columns) for row in rows))


def from_cells(title: str, rows: Iterable[Iterable[tuple[str, object]]]) -> Table:
    """A table of rows of (column, value), with the columns of the first; a column may come twice."""
    cells = [[*row] for row in rows]
    return table(title, (name for name, _ in cells[0]), ([value for _, value in row] for row in cells))


def to_rich(made: Table) -> Group:
    """The table as rich prints it on a terminal."""
    from rich import box
    from rich.console import Group
    from rich.table import Table as RichTable
    from rich.text import Text

    shown = RichTable(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for index, column in enumerate(made.columns):
        shown.add_column(Text(column), justify="left" if index < made.left else "right", no_wrap=True)
    for row in made.rows:
        shown.add_row(*(Text(cell(value)) for value in row))
    # beside the table, for a title within would break where the table is narrow
    return Group(Text(made.title, style="bold"), shown) if made.title else Group(shown)


def to_markdown(made: Table) -> str:
    """A heading and a pipe table."""
    align = [":--" if index < made.left else "--:" for index in range(len(made.columns))]
    lines = [made.columns, align, *made.rows]
    cells = ([cell(value).replace("|", "\\|").replace("\n", " ") for value in line] for line in lines)
    body = "\n".join(f"| {' | '.join(line)} |" for line in cells)
    return f"### {made.title}\n\n{body}\n"


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
    return asdict(found) if found else None


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
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
