"""Tables before they have a form; as terminal tables, Markdown and CSV."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from emoprune.io import csv_text
from emoprune.reporting.types import Estimate, Printed

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
    return table(sheet.title, sheet.columns, sheet.rows, left=sheet.left)


def to_markdown(sheet: Sheet) -> str:
    """A heading and a pipe table."""
    align = [":--" if index < sheet.left else "--:" for index in range(len(sheet.columns))]
    lines = [sheet.columns, align, *sheet.rows]
    body = "\n".join("| " + " | ".join(_escaped(value) for value in line) + " |" for line in lines)
    return f"### {sheet.title}\n\n{body}\n"


def _escaped(value: object) -> str:
    return cell(value).replace("|", "\\|").replace("\n", " ")


def to_csv(sheet: Sheet) -> str:
    """A header line and raw values; what is not there stays empty."""
    return csv_text.to_text([sheet.columns, *sheet.rows])


@dataclass(frozen=True)
class Unit:
    """How values are written: their format, what they are multiplied with before, and what comes after."""

    form: str
    factor: float = 1
    sign: str = ""

    def text(self, value: float) -> str:
        """One value."""
        return f"{self.factor * value:{self.form}}{self.sign}"

    def estimate(self, found: Estimate | None) -> str | None:
        """A mean, with how far its 95% interval reaches either side: "60.0 ± 24.8%"."""
        if found is None or found.high is None:
            return None if found is None else self.text(found.mean)
        reach = found.high - found.mean
        return f"{self.factor * found.mean:{self.form}} ± {self.text(reach)}"


SHARE = Unit(".1f", 100, "%")
DECIMALS = Unit(".3f")


def bounds(key: str, found: Estimate | None) -> dict[str, object]:
    """The two ends of an interval under the names that they have in CSV."""
    return {f"{key}_low": found.low if found else None, f"{key}_high": found.high if found else None}


def flat_printed(key: str, entry: Printed | None) -> dict[str, object]:
    """A paper's number and where it stands under the names that they have in CSV."""
    return {
        f"paper_{key}": entry.value if entry else None,
        f"paper_{key}_where": entry.where if entry else None,
    }


def told_apart(names: Iterable[str]) -> list[str]:
    """The names, numbered where one comes again."""
    names = list(names)
    counts, seen = Counter(names), Counter[str]()
    apart = []
    for name in names:
        seen[name] += 1
        apart.append(f"{name} #{seen[name]}" if counts[name] > 1 else name)
    return apart


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]], *, left: int = 1) -> Group:
    """A plain table under its title: the first `left` columns are text, the rest figures."""
    from rich import box
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    made = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for index, column in enumerate(columns):
        made.add_column(Text(column), justify="left" if index < left else "right", no_wrap=True)
    for row in rows:
        made.add_row(*(Text(cell(value)) for value in row))
    # beside the table, for a title within would break where the table is narrow
    return Group(Text(title, style="bold"), made) if title else Group(made)


def cell(value: object) -> str:
    """A value as people read it: 4 significant decimals, a dash for what is not there."""
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
