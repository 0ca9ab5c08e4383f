"""The error tree: every fault that is the user's to mend, in one line of place, fact and remedy."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class EmopruneError(Exception):
    """A fault of the input: prints as `place: fact; remedy` and ends the program with `exit_code`."""

    exit_code = 1

    def __init__(self, fact: str, remedy: str, *, place: str = "") -> None:
        super().__init__(fact, remedy)
        self.fact = fact
        self.remedy = remedy
        self.place = place

    def __str__(self) -> str:
        line = f"{self.fact}; {self.remedy}"
        return f"{self.place}: {line}" if self.place else line


class UsageFault(EmopruneError):
    """Options that contradict each other or the input."""

    exit_code = 2


class InvalidRecord(EmopruneError):
    """Values that no record of this kind can have."""


class BadData(EmopruneError):
    """A folder of faces or a feature table that cannot be used as asked."""


class BadImage(BadData):
    """A file that should be a picture and is not a whole one."""


class BadCheckpoint(EmopruneError):
    """A checkpoint or weights file that is broken, foreign or contradicts itself."""


class BadMetrics(EmopruneError):
    """A line of metrics that is not one."""


class OutputFault(EmopruneError):
    """An output that exists already, or a place that cannot be written."""


class TrainingFault(EmopruneError):
    """A training run that cannot go on."""


class ToleranceExceeded(EmopruneError):
    """An exported network that does not compute what its checkpoint computes."""


class Unavailable(EmopruneError):
    """Something that this machine does not have: a download, a device."""


@contextmanager
def at(place: str) -> Iterator[None]:
    """Give errors that left `place` open the file or folder that they are about."""
    try:
        yield
    except EmopruneError as error:
        error.place = error.place or place
        raise
