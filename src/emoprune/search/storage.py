"""Optuna's storage as the memory of a search: several processes share it, and it outlives each of them.

Every trial has its parameters, state and value there, and its metrics as a user attribute, so that
optuna-dashboard shows a search.
"""

from __future__ import annotations

import glob
import hashlib
import os
import sqlite3
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Self

import optuna
from filelock import FileLock, Timeout
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import RandomSampler
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from emoprune.errors import OutputFault, UsageFault
from emoprune.io import json_records
from emoprune.search.space import Space, Trial, Value

NAME = "emoprune"
IDENTITY = "search"
NUMBER, WORKER, REASON, LINE, FINGERPRINT = "trial", "worker", "reason", "metrics", "fingerprint"
"""User attributes of a study (the first) and its trials.

Our number of a trial is not Optuna's, which counts interrupted trials as well.
"""
SQLITE, MEMORY = "sqlite:///", ":memory:"
OF_WORKER = ".worker-"
"""In the name of the file that a running process holds the lock of."""

Propose = Callable[[int, Sequence[Trial]], Sequence[Space] | None]


@dataclass(frozen=True)
class Claim:
    """A trial that this process runs; `values` by setting."""

    number: int
    values: Mapping[str, Value]
    handle: optuna.Trial


def file_of(storage: str) -> str:
    """The file of a storage: a journal, or the database that sqlite:///FILE names."""
    path = storage.removeprefix(SQLITE)
    if "://" in path or path in ("", MEMORY) or (path != storage and "?" in path):
        raise UsageFault(f"`storage={storage}` is not a file", f"give a file, or {SQLITE}FILE")
    return path


def draw(space: Space, *, seed: int, number: int) -> Value:
    """A random value of the space, which follows from the search's seed, the trial's number and the name."""
    digest = hashlib.sha256(f"{seed} {number} {space.name}".encode()).digest()
    study = optuna.create_study(sampler=RandomSampler(seed=int.from_bytes(digest[:4], "big")))
    value: Value = study.ask({space.name: _distribution(space)}).params[space.name]
    return value


def _distribution(space: Space) -> BaseDistribution:
    if space.kind == "choice":
        return CategoricalDistribution(space.choices)
    if space.whole:
        return IntDistribution(int(space.low), int(space.high), log=space.kind == "log")
    return FloatDistribution(space.low, space.high, log=space.kind == "log")


class Study:
    """A search in a storage, which is made if it does not exist; one at a time in a process.

    Every trial follows from `spaces`, `seed` and its number, whichever process runs it and however often one
    is killed. Beside the storage lies an empty file FILE.mutex, and another one for each process that runs.
    Raises OutputFault for a file that is not a storage.
    """

    def __init__(self, storage: str, *, spaces: Sequence[Space], seed: int) -> None:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        _check(storage)
        self._place, self._seed = storage, seed
        self._distributions = {space.name: _distribution(space) for space in spaces}
        # not FILE.lock, which Optuna takes for its own and removes
        self._lock = FileLock(f"{file_of(storage)}.mutex")
        self._alive = FileLock(f"{file_of(storage)}{OF_WORKER}{uuid.uuid4().hex}")
        with self.locked():
            _acquire(self._alive)
            try:
                self._study = _opened(storage, self._lock)
            except OutputFault:
                self.__exit__()
                raise
            self._file = _inode(storage)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._alive.release()
        Path(self._alive.lock_file).unlink(missing_ok=True)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Within, no other process changes the storage, or what is written along with it."""
        _acquire(self._lock)
        try:
            yield
        finally:
            self._lock.release()

    @contextmanager
    def _stored(self) -> Iterator[optuna.Study]:
        """The study while its file is in its place; OutputFault for what Optuna raises within."""
        if _inode(self._place) != self._file:
            fact = "was removed or replaced during the search"
            raise OutputFault(fact, "start the search again", place=file_of(self._place))
        with _readable(self._place):
            yield self._study

    def identity(self, ours: Mapping[str, str]) -> Mapping[str, str]:
        """What the search was begun with: what the first process said, which may be this one."""
        with self.locked(), self._stored() as study:
            if IDENTITY not in study.user_attrs:
                study.set_user_attr(IDENTITY, dict(ours))
            return json_records.decode(dict[str, str], study.user_attrs[IDENTITY])

    def trials(self) -> tuple[Trial, ...]:
        """All trials that have ended, but for interrupted ones, by number."""
        with self._stored() as study:
            ended = [entry for entry in _entries(study) if entry.state.is_finished()]
            found = [self._trial(entry) for entry in ended if not _was_interrupted(entry)]
        return tuple(sorted(found, key=lambda trial: trial.number))

    def fingerprints(self) -> frozenset[str]:
        """Those of all checkpoints that trials have made, also of trials that were interrupted after that."""
        with self._stored() as study:
            found = (entry.user_attrs.get(FINGERPRINT) for entry in _entries(study))
            return frozenset(fingerprint for fingerprint in found if fingerprint)

    def claim(self, total: int, propose: Propose) -> Claim | None:
        """The first free trial of `total`, drawn from what `propose` says for its number.

        None if no trial is free, or if the first free one must wait for others.
        """
        with self.locked():
            self._release_dead()
            with self._stored() as study:
                entries = _entries(study)
                is_waiting = any(entry.state == TrialState.WAITING for entry in entries)
                taken = {entry.user_attrs.get(NUMBER) for entry in entries if not _was_interrupted(entry)}
            # one that was put in the queue by a process killed right then comes first
            if not is_waiting:
                number = next((number for number in range(total) if number not in taken), None)
                spaces = None if number is None else propose(number, self.trials())
                if number is None or spaces is None:
                    return None
                values = {space.name: draw(space, seed=self._seed, number=number) for space in spaces}
                with self._stored() as study:
                    study.enqueue_trial(values, user_attrs={NUMBER: number})
            with self._stored() as study:
                handle = study.ask(self._distributions)
                handle.set_user_attr(WORKER, Path(self._alive.lock_file).name)
                # a storage may have been given more: what a trial is made of is for the search to say
                values = {name: handle.params[name] for name in self._distributions}
                return Claim(handle.user_attrs[NUMBER], values, handle)

    def made(self, claim: Claim, fingerprint: str) -> None:
        """Note the fingerprint of a trial's checkpoint, before the file is written anywhere."""
        with self._stored():
            claim.handle.set_user_attr(FINGERPRINT, fingerprint)

    def finish(self, claim: Claim, *, accuracy: float, line: str) -> None:
        """End a trial with its evaluation."""
        with self.locked(), self._stored() as study:
            claim.handle.set_user_attr(LINE, line)
            study.tell(claim.handle, accuracy)

    def fail(self, claim: Claim, reason: str) -> None:
        """End a trial that would fail again."""
        with self.locked(), self._stored() as study:
            claim.handle.set_user_attr(REASON, reason)
            study.tell(claim.handle, state=TrialState.FAIL)

    def _trial(self, entry: FrozenTrial) -> Trial:
        known = entry.user_attrs
        record = {
            "number": known[NUMBER],
            "values": {name: entry.params[name] for name in self._distributions},
        }
        if REASON not in known:
            record |= {"accuracy": entry.value, "line": _line(known[LINE]), "fingerprint": known[FINGERPRINT]}
        return json_records.decode(Trial, record)

    def _release_dead(self) -> None:
        """Fail the trials of processes that were killed, so that they are run again."""
        ours = Path(self._alive.lock_file)
        others = ours.parent.glob(f"{glob.escape(Path(file_of(self._place)).name)}{OF_WORKER}*")
        alive = {path.name for path in others if path == ours or _is_held(path)}
        with self._stored() as study:
            for entry in _entries(study):
                if entry.state == TrialState.RUNNING and entry.user_attrs.get(WORKER) not in alive:
                    study.tell(entry.number, state=TrialState.FAIL)


def _entries(study: optuna.Study) -> list[FrozenTrial]:
    return study.get_trials(deepcopy=False)


@cache
def _line(text: str) -> str:
    """The line of metrics, once it is known to be JSON."""
    json_records.loads(text)
    return text


def _inode(storage: str) -> tuple[int, int] | None:
    """What stays the same while a file is in its place; None where there is none."""
    try:
        found = os.stat(file_of(storage))
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _acquire(lock: FileLock) -> None:
    try:
        lock.acquire()
    except (OSError, NotImplementedError) as error:
        fact = f"cannot be locked ({getattr(error, 'strerror', None) or error})"
        raise OutputFault(
            fact, "remove it, or put the storage on another disk", place=lock.lock_file
        ) from error


def _was_interrupted(entry: FrozenTrial) -> bool:
    return entry.state == TrialState.FAIL and REASON not in entry.user_attrs


def _is_held(path: Path) -> bool:
    """Whether a process lives that holds this lock: the system takes it from one that is killed."""
    lock = FileLock(path)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        return True
    lock.release()
    path.unlink(missing_ok=True)
    return False


def _check(storage: str) -> None:
    """Raise OutputFault for a file that is not of a search; nothing is written to it or beside it."""
    path = Path(file_of(storage))
    if not path.exists() or not path.stat().st_size:
        return
    if not os.access(path, os.W_OK):
        raise OutputFault("cannot be written", "change its permissions", place=str(path))
    with _readable(storage):
        if storage.startswith(SQLITE):
            with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True)) as database:
                names = [name for (name,) in database.execute("SELECT study_name FROM studies")] or [NAME]
        else:
            # Optuna ignores a last line that is not whole: a text without line breaks has no study
            names = optuna.get_all_study_names(JournalStorage(JournalFileBackend(storage)))
        if NAME not in names:
            raise ValueError("of another program")


def _opened(storage: str, lock: FileLock) -> optuna.Study:
    with _readable(storage):
        if storage.startswith(SQLITE):
            opened: BaseStorage = RDBStorage(storage)
        else:
            # with our lock, which a killed process does not leave behind; only acquire and release are used
            backend = JournalFileBackend(storage, lock_obj=lock)  # type: ignore[arg-type]
            _cut_half_line(Path(storage))
            opened = JournalStorage(backend)
        # loaded if it exists: whoever only reads leaves the storage as it is
        if NAME not in optuna.get_all_study_names(opened):
            return optuna.create_study(study_name=NAME, storage=opened, direction="maximize")
        study = optuna.load_study(study_name=NAME, storage=opened)
        if study.directions != [StudyDirection.MAXIMIZE]:
            raise ValueError("of another program")
        return study


@contextmanager
def _readable(storage: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # whatever Optuna, its database and the records raise for a foreign file
        fact = "is not a storage of a search, or is damaged"
        raise OutputFault(fact, "give another `storage`", place=file_of(storage)) from error


def _cut_half_line(path: Path) -> None:
    """Cut off a last line that a crash left half-written: the next entry would be lost with it."""
    data = path.read_bytes()
    torn = len(data) - (data.rfind(b"\n") + 1)
    if torn:
        with path.open("r+b") as stream:
            stream.truncate(len(data) - torn)
