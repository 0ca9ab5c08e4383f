"""What people see: tables and progress on a terminal, JSON lines in a pipe, notes on stderr."""

from __future__ import annotations

import json
import logging
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from emoprune import events
from emoprune.events import Advance
from emoprune.io.files import explained

if TYPE_CHECKING:
    from rich.progress import Progress

    from emoprune.reporting.tables import Table


def write(text: str) -> None:
    """Print `text` as it is; OutputFault where standard output cannot take it."""
    with explained(Path("standard output")):
        sys.stdout.write(text)
        sys.stdout.flush()


def emit(
    records: Sequence[Mapping[str, Any]], render: Callable[[], Iterable[Table | str]], *, as_json: bool
) -> None:
    """Print `records` as JSON lines in a pipe or when asked, else what `render` makes of them."""
    if as_json or not sys.stdout.isatty():
        write("".join(json.dumps(record, allow_nan=False) + "\n" for record in records))
    else:
        show(render())


def show(parts: Iterable[Table | str], stream: IO[str] | None = None) -> None:
    """Print tables and lines, in color where the stream is a terminal that wants it."""
    from rich.console import Console

    from emoprune.reporting.tables import to_rich

    stream = stream or sys.stdout
    made = [as_options(part) if isinstance(part, str) else to_rich(part) for part in parts]
    if stream.isatty():
        console = Console(file=stream)
        # a terminal too narrow wraps whole lines; cells broken or cut short would be figures lost
        free = console.options.update(width=10_000)
        console.width = max([console.width, *(console.measure(part, options=free).maximum for part in made)])
    else:
        console = Console(file=stream, width=10_000, force_terminal=False, color_system=None)
    with explained(Path("standard output")):
        for part in made:
            console.print(part, markup=False, highlight=False)
        stream.flush()


def paste(line: str) -> None:
    """One line on stderr as it is: a command, ready to be run."""
    sys.stderr.write(f"{line}\n")


_shown: ContextVar[Progress | None] = ContextVar("_shown", default=None)


@contextmanager
def progress(label: str, total: int | None) -> Iterator[Advance]:
    """A live line on stderr while long work runs, if stderr is a terminal: a hook of events.

    Within the work of another line it stands below that one, and goes when it is done.
    """
    if not sys.stderr.isatty():
        yield lambda steps=1, text=None: None
        return
    outer = _shown.get()
    with nullcontext(outer) if outer else _lines() as lines:
        task = lines.add_task(label, total=total, text="")

        def advance(steps: int = 1, text: str | None = None) -> None:
            lines.advance(task, steps)
            if text is not None:
                lines.update(task, text=text)

        token = _shown.set(lines)
        try:
            yield advance
        finally:
            _shown.reset(token)
            if outer:
                lines.remove_task(task)


def _lines() -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    label = TextColumn("{task.description}", markup=False)
    beside = TextColumn("{task.fields[text]}", markup=False)
    columns = (label, BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), beside)
    # lines of data that come meanwhile: above the live ones on a terminal, and else where they belong
    return Progress(*columns, console=Console(stderr=True), redirect_stdout=sys.stdout.isatty())


class _StandardError(logging.Handler):
    """Writes notes and warnings to stderr, wherever that leads by then."""

    def emit(self, record: logging.LogRecord) -> None:
        kind = "warning" if record.levelno >= logging.WARNING else "note"
        sys.stderr.write(f"{kind}: {as_options(record.getMessage())}\n")


@contextmanager
def telling() -> Iterator[None]:
    """Within, notes, warnings and progress of the library are shown; once, however deep it is nested."""
    if any(isinstance(handler, _StandardError) for handler in events.LOGGER.handlers):
        yield
        return
    handler, level = _StandardError(), events.LOGGER.level
    events.LOGGER.addHandler(handler)
    events.LOGGER.setLevel(logging.INFO)
    try:
        with events.showing(progress):
            yield
    finally:
        events.LOGGER.removeHandler(handler)
        events.LOGGER.setLevel(level)


ARGUMENT = re.compile(r"`([a-z_]+)(?:=([^`]*))?`")
OPTIONS = {"past": "--from", "fixed": "--set", "part": "--split", "kinds": "--kind"}
"""Options that are not called as the argument of the library that they set."""


def as_options(text: str) -> str:
    """A message of the library with its arguments, as `angle_deg=15`, written as options: --angle-deg 15."""

    def option(found: re.Match[str]) -> str:
        name, value = found.groups()
        if value == "False":
            return spelled(f"no_{name}")
        return spelled(name) + ("" if value in (None, "True") else f" {value}")

    return ARGUMENT.sub(option, text)


def spelled(name: str) -> str:
    """An argument of the library as the option that sets it."""
    return OPTIONS.get(name, f"--{name.replace('_', '-')}")
