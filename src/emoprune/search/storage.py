"""Optuna's journal as the memory of a search: several processes share it, and it outlives each of them."""

from __future__ import annotations

import fcntl
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.samplers import BaseSampler, RandomSampler
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.trial import FrozenTrial, TrialState

from emoprune.errors import OutputFault
from emoprune.search.space import Space, Trial, Value

NAME = "emoprune"
ASKED, NUMBER, REASON, LINE, FINGERPRINT = "asked", "number", "reason", "line", "fingerprint"
"""Optuna's attributes of a study (the first) and its trials.

Our number of a trial is not Optuna's, which counts what was interrupted as well.
"""
BEGINNING = b'{"op_code":'
OPERATIONS = range(11)
"""What Optuna writes in a journal, by number."""

Propose = Callable[[int, Sequence[Trial]], Sequence[Space] | None]


@dataclass(frozen=True)
class Claim:
    """A trial that this process has taken on; `values` by option."""

    number: int
    values: Mapping[str, Value]
    handle: optuna.Trial


class _Drawn(BaseSampler):
    """Draws each value at random from its space, by the search's seed, the trial's number and the name."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self.number = 0
        self.spaces: Mapping[str, Space] = {}

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """None: values are drawn apart from one another."""
        return {}

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """None, as there is no such space."""
        return {}

    def sample_independent(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """A value of the space as it is by now, which may be less than what the study was made with."""
        digest = hashlib.sha256(f"{self._seed} {self.number} {param_name}".encode()).digest()
        source = RandomSampler(seed=int.from_bytes(digest[:4], "big"))
        now = _distribution(self.spaces[param_name])
        return source.sample_independent(study, trial, param_name, now)


def _distribution(space: Space) -> BaseDistribution:
    if space.kind == "choice":
        return CategoricalDistribution(space.choices)
    if space.whole:
        return IntDistribution(int(space.low), int(space.high), log=space.kind == "log")
    return FloatDistribution(space.low, space.high, log=space.kind == "log")


class Study:
    """A search in the journal `path`, which is made where it is not there; one at a time in a process.

    Every trial is what `spaces`, `seed` and its number make it, whichever process runs it and however often
    one is killed. Beside the journal lies an empty file `path`.lock. Raises OutputFault for a file that is
    no journal.
    """

    def __init__(self, path: str, *, spaces: Sequence[Space], seed: int) -> None:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        _check(Path(path))
        self._distributions = {space.name: _distribution(space) for space in spaces}
        self._drawn = _Drawn(seed)
        self._locks = Locks(path)
        with self.locked():
            _mend(Path(path))
            storage = JournalStorage(JournalFileBackend(path, lock_obj=self._locks))
            # loaded where it is: whoever only looks leaves the journal as it was
            known = NAME in optuna.get_all_study_names(storage)
            self._study = (
                optuna.load_study(study_name=NAME, storage=storage, sampler=self._drawn)
                if known
                else optuna.create_study(
                    study_name=NAME, storage=storage, sampler=self._drawn, direction="maximize"
                )
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._locks.close()

    @contextmanager
    def locked(self) -> Iterator[None]:
        """No other process changes the journal, or what is written along with it, meanwhile."""
        self._locks.acquire()
        try:
            yield
        finally:
            self._locks.release()

    def asked(self, what: Mapping[str, str]) -> Mapping[str, str]:
        """What the search was begun with: what another process said before, or else `what`."""
        with self.locked():
            known: Mapping[str, str] | None = self._study.user_attrs.get(ASKED)
            if known is None:
                self._study.set_user_attr(ASKED, dict(what))
            return known or what

    def trials(self) -> tuple[Trial, ...]:
        """All that have ended, but for those cut short, by number."""
        found = [self._trial(entry) for entry in self._entries() if _has_ended(entry)]
        return tuple(sorted(found, key=lambda trial: trial.number))

    def fingerprints(self) -> frozenset[str]:
        """Those of all checkpoints that its trials have made, also where they were cut short after that."""
        found = (entry.user_attrs.get(FINGERPRINT) for entry in self._entries())
        return frozenset(fingerprint for fingerprint in found if fingerprint)

    def claim(self, total: int, propose: Propose) -> Claim | None:
        """The first trial of `total` that none has taken on, drawn from what `propose` says for its number.

        None where all are taken, or the first that is not must wait for others.
        """
        with self.locked():
            self._bury()
            taken = {entry.user_attrs.get(NUMBER) for entry in self._entries() if _counts(entry)}
            number = next((number for number in range(total) if number not in taken), None)
            spaces = None if number is None else propose(number, self.trials())
            if number is None or spaces is None:
                return None
            self._drawn.number = number
            self._drawn.spaces = {space.name: space for space in spaces}
            handle = self._study.ask(self._distributions)
            self._locks.take(handle.number)
            handle.set_user_attr(NUMBER, number)
            return Claim(number, {name: handle.params[name] for name in self._distributions}, handle)

    def made(self, claim: Claim, fingerprint: str) -> None:
        """Note the fingerprint of a trial's checkpoint, before the file is written anywhere."""
        claim.handle.set_user_attr(FINGERPRINT, fingerprint)

    def finish(self, claim: Claim, *, accuracy: float, line: str) -> None:
        """End a trial with its evaluation."""
        with self.locked():
            claim.handle.set_user_attr(LINE, line)
            self._study.tell(claim.handle, accuracy)
            self._locks.give(claim.handle.number)

    def fail(self, claim: Claim, reason: str) -> None:
        """End a trial that would fail again."""
        with self.locked():
            claim.handle.set_user_attr(REASON, reason)
            self._study.tell(claim.handle, state=TrialState.FAIL)
            self._locks.give(claim.handle.number)

    def _entries(self) -> list[FrozenTrial]:
        return self._study.get_trials(deepcopy=False)

    def _trial(self, entry: FrozenTrial) -> Trial:
        known = entry.user_attrs
        values = {name: entry.params[name] for name in self._distributions}
        if REASON in known:
            return Trial(known[NUMBER], values)
        return Trial(known[NUMBER], values, entry.value, known[LINE], known[FINGERPRINT])

    def _bury(self) -> None:
        """End the trials of processes that are no more."""
        for entry in self._entries():
            if entry.state == TrialState.RUNNING and self._locks.take(entry.number):
                self._study.tell(entry.number, state=TrialState.FAIL)
                self._locks.give(entry.number)


def _has_ended(entry: FrozenTrial) -> bool:
    """A failure without a reason was cut short."""
    failed = entry.state == TrialState.FAIL and REASON in entry.user_attrs
    return entry.state == TrialState.COMPLETE or failed


def _counts(entry: FrozenTrial) -> bool:
    return entry.state == TrialState.RUNNING or _has_ended(entry)


def _check(path: Path) -> None:
    """Raise OutputFault for a file that Optuna did not write; a last line may be half-written."""
    data = path.read_bytes() if path.exists() else b""
    if not data.startswith(BEGINNING[: len(data)]):
        raise OutputFault("is no journal of a search", "give another --storage", place=str(path))
    for number, line in enumerate(data.split(b"\n")[:-1], start=1):
        if not _is_entry(line):
            fact = f"is no journal of a search, or damaged in line {number}"
            raise OutputFault(fact, "give another --storage", place=str(path))


def _mend(path: Path) -> None:
    """Cut off a last line that a crash left half-written: what comes next would be lost with it."""
    data = path.read_bytes() if path.exists() else b""
    torn = len(data) - (data.rfind(b"\n") + 1)
    if torn:
        with path.open("r+b") as stream:
            stream.truncate(len(data) - torn)


def _is_entry(line: bytes) -> bool:
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        # ValueError also stands for bytes that are no text
        return False
    return isinstance(entry, dict) and entry.get("op_code") in OPERATIONS and "worker_id" in entry


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
