"""What people see: tables and progress on a terminal, JSON lines in a pipe, notes on stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Protocol, TypeVar

from emoprune.io.files import explained

if TYPE_CHECKING:
    from rich.console import Group
    from rich.progress import Progress, TaskID

T = TypeVar("T")


def write(text: str) -> None:
    """Print `text` as it is; OutputFault where standard output cannot take it."""
    with explained(Path("standard output")):
        sys.stdout.write(text)
        sys.stdout.flush()


def emit(
    records: Sequence[Mapping[str, Any]], render: Callable[[], Iterable[Group | str]], *, as_json: bool
) -> None:
    """Print `records` as JSON lines in a pipe or when asked, else what `render` makes of them."""
    if as_json or not sys.stdout.isatty():
        write("".join(json.dumps(record, allow_nan=False) + "\n" for record in records))
    else:
        show(render())


def show(parts: Iterable[Group | str], stream: IO[str] | None = None) -> None:
    """Print tables and lines, in color where the stream is a terminal that wants it."""
    from rich.console import Console

    stream = stream or sys.stdout
    parts = list(parts)
    if stream.isatty():
        console = Console(file=stream)
        # a terminal too narrow wraps whole lines; cells broken or cut short would be figures lost
        free = console.options.update(width=10_000)
        console.width = max([console.width, *(console.measure(part, options=free).maximum for part in parts)])
    else:
        console = Console(file=stream, width=10_000, force_terminal=False, color_system=None)
    with explained(Path("standard output")):
        for part in parts:
            console.print(part, markup=False, highlight=False)
        stream.flush()


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


def counted(number: int, noun: str) -> str:
    """A number with its noun, in the plural unless it is 1: "1 layer", "1,024 layers"."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def note(text: str) -> None:
    """One line on stderr that a user may like to know."""
    _tell(f"note: {text}\n")


def warn(text: str) -> None:
    """One line on stderr that a user should know."""
    _tell(f"warning: {text}\n")


_told: ContextVar[set[str] | None] = ContextVar("_told", default=None)


@contextmanager
def once() -> Iterator[None]:
    """Within, a note or warning is told the first time only: for work that is done again and again."""
    token = _told.set(set())
    try:
        yield
    finally:
        _told.reset(token)


def paste(line: str) -> None:
    """One line on stderr as it is: a command, ready to be run."""
    sys.stderr.write(f"{line}\n")


def _tell(line: str) -> None:
    told = _told.get()
    if told is not None and line in told:
        return
    if told is not None:
        told.add(line)
    sys.stderr.write(line)


class Advance(Protocol):
    """Moves a progress line on; `text` replaces what stands beside it."""

    def __call__(self, steps: int = 1, text: str | None = None) -> None:
        """Move on by `steps`."""


_shown: ContextVar[Progress | None] = ContextVar("_shown", default=None)


@contextmanager
def progress(label: str, total: int | None) -> Iterator[Advance]:
    """A live line on stderr while long work runs; none without work or where stderr is no terminal.

    Within the work of another line it stands below that one, and goes when it is done.
    """
    if total == 0 or not sys.stderr.isatty():
        yield lambda steps=1, text=None: None
        return
    outer = _shown.get()
    if outer is not None:
        task = outer.add_task(label, total=total, text="")
        try:
            yield _advance(outer, task)
        finally:
            outer.remove_task(task)
        return
    with _lines() as lines:
        token = _shown.set(lines)
        try:
            yield _advance(lines, lines.add_task(label, total=total, text=""))
        finally:
            _shown.reset(token)


def _lines() -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[text]}", markup=False),
    )
    # lines of data that come meanwhile: above the live ones on a terminal, and else where they belong
    return Progress(*columns, console=Console(stderr=True), redirect_stdout=sys.stdout.isatty())


def _advance(lines: Progress, task: TaskID) -> Advance:
    def advance(steps: int = 1, text: str | None = None) -> None:
        lines.advance(task, steps)
        if text is not None:
            lines.update(task, text=text)

    return advance


def tracked(
    items: Iterable[T], label: str, total: int | None, *, steps: Callable[[T], int] = lambda item: 1
) -> Iterator[T]:
    """`items` one by one, with a progress line that moves by `steps` for each."""
    with progress(label, total) as advance:
        for item in items:
            yield item
            advance(steps(item))
