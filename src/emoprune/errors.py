"""The error tree: faults of the input, which users can correct, as place, fact and remedy."""

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


def first_line(error: BaseException) -> str:
    """What an error of another's code says, in one line."""
    return str(error).strip().partition("\n")[0] or type(error).__name__


class UsageFault(EmopruneError):
    """Options that contradict each other or the input."""

    exit_code = 2


class InvalidRecord(EmopruneError):
    """Values that a record of this kind cannot have."""


class BadData(EmopruneError):
    """A folder of faces or a feature table that cannot be used as asked."""


class BadImage(BadData):
    """A file that is not a whole picture."""


class BadSettings(EmopruneError):
    """A file of settings that cannot be used."""


class BadCheckpoint(EmopruneError):
    """A checkpoint or weights file that is broken, foreign or contradicts itself."""


class BadMetrics(EmopruneError):
    """A line that is not metrics."""


class OutputFault(EmopruneError):
    """An output that already exists, or a place that cannot be written."""


class TrainingFault(EmopruneError):
    """A training run that cannot go on."""


class ToleranceExceeded(EmopruneError):
    """An exported network that does not compute the same as its checkpoint."""


class Unavailable(EmopruneError):
    """Something that this machine lacks: a download, a device."""


class TooLarge(Unavailable):
    """Work that needs more memory than it may take."""


@contextmanager
def at(place: str) -> Iterator[None]:
    """Within, errors without a place get this one."""
    try:
        yield
    except EmopruneError as error:
        error.place = error.place or place
        raise
