"""Notes, warnings and progress of long work.

The library prints nothing: notes and warnings go to the logger "emoprune" of the standard library, progress
to the hook that `showing` sets. The command line shows both; a notebook asks for the first with
`logging.basicConfig(level="INFO")`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Protocol, TypeVar

T = TypeVar("T")

LOGGER = logging.getLogger("emoprune")
# without a handler of its own, logging would print warnings to stderr
LOGGER.addHandler(logging.NullHandler())


def note(text: str) -> None:
    """Report something that a user may like to know."""
    LOGGER.info(text)


def warn(text: str) -> None:
    """Report something that a user should know."""
    LOGGER.warning(text)


@contextmanager
def _filtered(accepts: Callable[[logging.LogRecord], bool]) -> Iterator[None]:
    """Within, what a filter refuses is dropped; before those around it have seen it."""
    LOGGER.filters.insert(0, accepts)
    try:
        yield
    finally:
        LOGGER.removeFilter(accepts)


@contextmanager
def once() -> Iterator[None]:
    """Within, a repeated note or warning is dropped."""
    seen = set[tuple[int, str]]()

    def is_new(record: logging.LogRecord) -> bool:
        known, key = len(seen), (record.levelno, record.getMessage())
        seen.add(key)
        return len(seen) > known

    with _filtered(is_new):
        yield


@contextmanager
def muted() -> Iterator[None]:
    """Within, notes and warnings are dropped: they are of something that the user did not ask for."""

    with _filtered(lambda record: False):
        yield


Told = tuple[int, str]
"""A note or a warning: its level in logging, and its text."""


@contextmanager
def gathered() -> Iterator[list[Told]]:
    """Within, notes and warnings are gathered for `tell`, in another process perhaps, instead of told."""
    found, level = list[Told](), LOGGER.level

    def gather(record: logging.LogRecord) -> bool:
        found.append((record.levelno, record.getMessage()))
        return False

    LOGGER.setLevel(logging.INFO)
    try:
        with _filtered(gather):
            yield found
    finally:
        LOGGER.setLevel(level)


def tell(told: Iterable[Told]) -> None:
    """Tell what was gathered."""
    for level, text in told:
        LOGGER.log(level, "%s", text)


class Advance(Protocol):
    """Moves a progress line on; `text` replaces what stands beside it."""

    def __call__(self, steps: int = 1, text: str | None = None) -> None:
        """Move on by `steps`."""


@dataclass(frozen=True)
class Work:
    """Work whose progress is shown: `total` steps, None where nobody knows, of which `done` were done before.

    Where `told`, its first step and its last are in a log too, however short it is.
    """

    label: str
    total: int | None
    done: int = 0
    told: bool = False


ProgressHook = Callable[[Work], AbstractContextManager[Advance]]


@contextmanager
def _silent(work: Work) -> Iterator[Advance]:
    yield lambda steps=1, text=None: None


_hook: ContextVar[ProgressHook] = ContextVar("_hook", default=_silent)


@contextmanager
def showing(hook: ProgressHook) -> Iterator[None]:
    """Within, `hook` shows all progress."""
    token = _hook.set(hook)
    try:
        yield
    finally:
        _hook.reset(token)


def progress(
    label: str, total: int | None, *, done: int = 0, told: bool = False
) -> AbstractContextManager[Advance]:
    """The progress of some Work; nothing is shown where the total is 0."""
    work = Work(label, total, done, told)
    return _silent(work) if total == 0 else _hook.get()(work)


def tracked(
    items: Iterable[T], label: str, total: int | None, *, steps: Callable[[T], int] = lambda item: 1
) -> Iterator[T]:
    """`items` one by one, while progress moves on by `steps` for each."""
    with progress(label, total) as advance:
        for item in items:
            yield item
            advance(steps(item))


def counted(number: int, noun: str) -> str:
    """A number with its noun, in the plural unless it is 1: "1 layer", "1,024 layers"."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def listed(names: Iterable[str], most: int = 12) -> str:
    """Names for a sentence; of many the first, and how many more there are."""
    names = [*names]
    more = f" and {len(names) - most:,} more" * (len(names) > most)
    return ", ".join(names[:most]) + more
