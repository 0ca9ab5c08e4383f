"""Locks between the processes of a search, which the system frees when one of them is killed."""

from __future__ import annotations

import fcntl
from pathlib import Path

from optuna.storages.journal import JournalFileOpenLock

from emoprune.errors import OutputFault

MUTEX = 0
"""The byte of the lock file that whoever changes the journal holds; the next ones are of running trials."""


class Locks(JournalFileOpenLock):
    """Locks on bytes of the file `journal`.lock; Optuna's own would outlive a killed process.

    Raises OutputFault where the disk cannot lock.
    """

    def __init__(self, journal: str) -> None:
        super().__init__(journal)
        self._place = journal
        self._stream = Path(f"{journal}.lock").open("ab")  # noqa: SIM115  # held for as long as the study
        self._depth = 0
        self._own: set[int] = set()

    def acquire(self) -> bool:
        """Wait for the journal; Optuna asks for it at every change, also within one of ours."""
        if not self._depth:
            self._lock(fcntl.LOCK_EX, MUTEX)
        self._depth += 1
        return True

    def release(self) -> None:
        """Let others have the journal, once every `acquire` was answered."""
        self._depth -= 1
        if not self._depth:
            fcntl.lockf(self._stream, fcntl.LOCK_UN, 1, MUTEX)

    def take(self, number: int) -> bool:
        """Take on a trial by Optuna's number; False where a living process has it, this one included."""
        if number in self._own:
            return False
        try:
            self._lock(fcntl.LOCK_EX | fcntl.LOCK_NB, 1 + number)
        except BlockingIOError:
            return False
        self._own.add(number)
        return True

    def give(self, number: int) -> None:
        """Let go of a trial."""
        self._own.discard(number)
        fcntl.lockf(self._stream, fcntl.LOCK_UN, 1, 1 + number)

    def _lock(self, how: int, byte: int) -> None:
        try:
            fcntl.lockf(self._stream, how, 1, byte)
        except BlockingIOError:
            raise
        except PermissionError as error:
            raise BlockingIOError from error  # how some systems say that another has it
        except OSError as error:
            fact = f"cannot be locked ({error.strerror})"
            raise OutputFault(fact, "put it on another disk", place=self._place) from error

    def close(self) -> None:
        """Let go of everything."""
        self._stream.close()
