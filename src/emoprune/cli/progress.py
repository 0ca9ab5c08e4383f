"""Progress on stderr: live lines on a terminal, and a line now and then in a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from typing import TYPE_CHECKING

from emoprune.events import Advance, Work
from emoprune.io.visible_text import PROSE, visible

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

PAUSE_S = 10.0
"""Between two lines of a log."""
SHORT_S = 1.0
"""How long work within other work takes before it gets a line on a terminal."""
MINUTE_S, HOUR_S = 60, 3600
BAR = 20
"""Characters of a bar."""


def progress(work: Work) -> AbstractContextManager[Advance]:
    """Show the progress of some work: a hook of events."""
    return _on_terminal(work) if sys.stderr.isatty() else _in_log(work)


_shown: ContextVar[Progress | None] = ContextVar("_shown", default=None)


@contextmanager
def _on_terminal(work: Work) -> Iterator[Advance]:
    """A live line; within the work of another one it stands below that, and goes when it is done."""
    outer = _shown.get()
    with nullcontext(outer) if outer else _lines() as lines:
        line = _Line(lines, work, time.monotonic() + (SHORT_S if outer else 0))
        token = _shown.set(lines)
        try:
            yield line.advance
        finally:
            _shown.reset(token)
            if outer:
                line.remove()


class _Line:
    """A line on a terminal, which is there from the time `due` on."""

    def __init__(self, lines: Progress, work: Work, due: float) -> None:
        self._lines, self._work, self._due = lines, work, due
        self._done, self._text = work.done, ""
        self._task = None if due > time.monotonic() else self._add()

    def advance(self, steps: int = 1, text: str | None = None) -> None:
        self._done += steps
        if text is not None:
            self._text = visible(text)
        if self._task is not None:
            self._lines.update(self._task, completed=self._done, text=self._text)
        elif time.monotonic() >= self._due:
            self._task = self._add()

    def remove(self) -> None:
        if self._task is not None:
            self._lines.remove_task(self._task)

    def _add(self) -> TaskID:
        work = self._work
        return self._lines.add_task(
            visible(work.label), total=work.total, completed=self._done, text=self._text
        )


def _lines() -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
    from rich.table import Column

    # where room is scarce the text goes on below, and no figure is cut
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(BAR),
        MofNCompleteColumn(table_column=Column(no_wrap=True)),
        TimeRemainingColumn(table_column=Column(no_wrap=True)),
        TextColumn("{task.fields[text]}", markup=False, table_column=Column(no_wrap=False)),
    )
    # lines of data that come meanwhile: above the live ones on a terminal, and else where they belong
    console, redirect = Console(stderr=True), sys.stdout.isatty()
    # some steps take hours, and two are needed to say how long the others take
    return Progress(*columns, console=console, redirect_stdout=redirect, speed_estimate_period=float("inf"))


_logged: ContextVar[_Log | None] = ContextVar("_logged", default=None)


@contextmanager
def _in_log(work: Work) -> Iterator[Advance]:
    """Lines for work that takes long, no more than one in ten seconds.

    Work within other work has lines only where both are to be told.
    """
    outer = _logged.get()
    if outer is not None and not (outer.work.told and work.told):
        yield lambda steps=1, text=None: None
        return
    log = _Log(work, outer)
    token = _logged.set(log)
    try:
        yield log.advance
    finally:
        _logged.reset(token)
    log.end()


class _Log:
    def __init__(self, work: Work, outer: _Log | None) -> None:
        self.work, self._outer = work, outer
        self._done, self._text = work.done, ""
        self._began = time.monotonic()
        # the first step of work that is told is due at once
        self._due = self._began + (0 if work.told else PAUSE_S)
        self._lines, self._waiting = 0, False

    def advance(self, steps: int = 1, text: str | None = None) -> None:
        self._done += steps
        self._text = self._text if text is None else text
        self._waiting = True
        if time.monotonic() >= self._due:
            self._write()

    def end(self) -> None:
        """Write the last step, if any step was to be written."""
        if self._waiting and (self._lines or self.work.told):
            self._write()

    @property
    def place(self) -> str:
        """How far the work is: "epoch 7/50"."""
        total = "" if self.work.total is None else f"/{self.work.total:,}"
        return f"{self.work.label} {self._done:,}{total}"

    def _write(self) -> None:
        places = [log.place for log in (self._outer, self) if log is not None]
        line = ", ".join(places) + (f": {self._text}" if self._text else "")
        left = self._left()
        line = line if left is None else f"{line}; {duration(left)} left"
        sys.stderr.write(f"{visible(line, most=PROSE)}\n")
        sys.stderr.flush()
        self._due = time.monotonic() + PAUSE_S
        self._lines, self._waiting = self._lines + 1, False

    def _left(self) -> float | None:
        """Seconds, if the other steps take as long as those before."""
        done, total = self._done - self.work.done, self.work.total
        if total is None or done <= 0 or self._done >= total:
            return None
        return (time.monotonic() - self._began) / done * (total - self._done)


def duration(seconds: float) -> str:
    """A time as people say it: "40 s", "12 min", "3 h 20 min"."""
    if seconds < MINUTE_S:
        return f"{seconds:.0f} s"
    if seconds < HOUR_S:
        return f"{seconds / MINUTE_S:.0f} min"
    hours, rest = divmod(seconds, HOUR_S)
    return f"{hours:.0f} h {rest // MINUTE_S:.0f} min"
