"""What people see: tables and progress on a terminal, JSON lines in a pipe, notes on stderr."""

from __future__ import annotations

import json
import logging
import os
import re
import shlex
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

from emoprune import events
from emoprune.cli.progress import progress
from emoprune.io.files import explained
from emoprune.io.visible_text import PROSE, visible

if TYPE_CHECKING:
    from emoprune.reporting.tables import Table

PLAIN = frozenset(range(ord(" "), ord("~") + 1)) - frozenset(b"\\'")
"""Bytes that stand for themselves between $' and '."""

ROWS, COLUMNS = 2_000, 100
"""Of all tables together, and of each: what a terminal shows."""


def write(text: str) -> None:
    """Print `text`, to a terminal without control characters."""
    if sys.stdout.isatty():
        text = "\n".join(visible(line, most=None) for line in text.split("\n"))
    sys.stdout.write(text)
    sys.stdout.flush()


def emit(
    records: Iterable[Mapping[str, Any]], render: Callable[[], Iterable[Table | str]], *, as_json: bool
) -> None:
    """Print `records` as JSON lines in a pipe or when asked, else what `render` makes of them."""
    if as_json or not sys.stdout.isatty():
        for record in records:
            # a report of many runs is hundreds of megabytes
            write(json.dumps(record, allow_nan=False))
            write("\n")
    else:
        show(render())


def show(parts: Iterable[Table | str], stream: IO[str] | None = None) -> None:
    """Print tables and lines; on a terminal in its styles, and no more of them than people read."""
    from rich.console import Console
    from rich.text import Text

    from emoprune.reporting.tables import to_lines

    stream = stream or sys.stdout
    terminal = Console(file=stream) if stream.isatty() else None
    for part in _beginning(parts) if terminal else parts:
        width = terminal.width if terminal else None
        for line, style in [(_sentence(part), "")] if isinstance(part, str) else to_lines(part, width=width):
            if terminal and style:
                # a terminal too narrow for a column wraps whole lines; figures cut short would be lost
                terminal.print(Text(line, style=style), soft_wrap=True)
            else:
                stream.write(f"{line}\n")
    stream.flush()


def _beginning(parts: Iterable[Table | str]) -> Iterator[Table | str]:
    """As much of the tables as people read on a terminal, and how much is missing."""
    room, rows, columns = ROWS, 0, 0
    for part in parts:
        if isinstance(part, str):
            yield part
            continue
        first = tuple(row[:COLUMNS] for row in part.rows[:room])
        if first or not part.rows:
            yield replace(part, columns=part.columns[:COLUMNS], rows=first)
        room -= len(first)
        rows += len(part.rows) - len(first)
        columns = max(columns, len(part.columns) - COLUMNS)
    counts = [events.counted(rows, "row")] * bool(rows)
    counts += [events.counted(columns, "column")] * (columns > 0)
    if counts:
        yield f"  not shown: {' and '.join(counts)}; --json prints all"


def tell(text: str) -> None:
    """One line on stderr."""
    sys.stderr.write(f"{_sentence(text)}\n")


def _sentence(text: str) -> str:
    return visible(as_options(text), most=PROSE)


def paste(words: Iterable[str]) -> None:
    """A command on one line of stderr, ready to be run."""
    sys.stderr.write(f"{' '.join(map(quoted, words))}\n")


def quoted(word: str) -> str:
    """A word of a command line as shells read it, without control characters."""
    if visible(word, most=None) == word:
        return shlex.quote(word)
    letters = (chr(byte) if byte in PLAIN else f"\\x{byte:02x}" for byte in os.fsencode(word))
    return f"$'{''.join(letters)}'"


class _StandardError(logging.Handler):
    """Writes notes and warnings to stderr, wherever that leads by then."""

    def emit(self, record: logging.LogRecord) -> None:
        kind = "warning" if record.levelno >= logging.WARNING else "note"
        tell(f"{kind}: {record.getMessage()}")


class _Guarded:
    """A stream that gives what it cannot write to `failed`, whoever writes to it."""

    def __init__(self, stream: IO[str], failed: Callable[[IO[str], OSError], None]) -> None:
        self._stream, self._failed = stream, failed

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """As any stream does."""
        try:
            self._stream.write(text)
        except OSError as error:
            self._failed(self._stream, error)
        return len(text)

    def flush(self) -> None:
        """As any stream does."""
        try:
            self._stream.flush()
        except OSError as error:
            self._failed(self._stream, error)


def _refuse(_: IO[str], error: OSError) -> None:
    with explained(Path("standard output")):
        raise error


def _discard(stream: IO[str], _: object = None) -> None:
    """Lead a stream nowhere, also what it holds back: Python complains of that when it ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


@contextmanager
def guarded() -> Iterator[None]:
    """Within, OutputFault for data that cannot be written; messages that cannot be end and change nothing."""
    out, err = sys.stdout, sys.stderr
    with (
        redirect_stdout(cast(IO[str], _Guarded(out, _refuse))),
        redirect_stderr(cast(IO[str], _Guarded(err, _discard))),
    ):
        try:
            yield
        finally:
            sys.stderr.flush()
            try:
                out.flush()
            except OSError:
                _discard(out)


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
        return spelled(name) + ("" if value in (None, "True") else f" {shlex.quote(value)}")

    return ARGUMENT.sub(option, text)


def spelled(name: str) -> str:
    """An argument of the library as the option that sets it."""
    return OPTIONS.get(name, f"--{name.replace('_', '-')}")
