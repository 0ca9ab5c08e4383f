"""The work of emoprune search: trial after trial, until there are as many as were asked for."""

from __future__ import annotations

import hashlib
import json
import shlex
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from emoprune import events
from emoprune.cli import output
from emoprune.errors import OutputFault, TrainingFault, UsageFault
from emoprune.evaluation import model
from emoprune.evaluation.evaluate import evaluate
from emoprune.evaluation.types import Metrics
from emoprune.io import devices, files
from emoprune.networks import checkpoint
from emoprune.reporting import records_io, tables
from emoprune.search.sampler import SAMPLERS
from emoprune.search.search_setup import Search
from emoprune.search.space import Space, Trial, Value
from emoprune.search.storage import Claim, Study
from emoprune.training import setup, train

POLL_S = 0.2
"""How often to look whether others have ended the trials that we wait for."""
SHOWN = 10
"""Trials in the final table."""


def run(search: Search, outputs: Outputs, *, as_json: bool) -> None:
    """Run trials until all are done, by whichever process; print each of ours, and tell the best."""
    asked = search.asked
    with Study(outputs.storage, spaces=search.spaces, seed=asked.seed) as study, events.once():
        _check_same(study.asked(search.identity), search, outputs)
        with study.locked():
            outputs.check_best(study.fingerprints())
            outputs.catch_up(study.trials())
        ended = _until_done(search, outputs, study, as_json=as_json)
    _conclude(search, outputs, ended, as_json=as_json)


def _until_done(search: Search, outputs: Outputs, study: Study, *, as_json: bool) -> Sequence[Trial]:
    def propose(number: int, ended: Sequence[Trial]) -> Sequence[Space] | None:
        return SAMPLERS[search.asked.sampler](search.spaces, number, search.total, ended)

    with events.progress("search", search.total) as advance:
        ended = study.trials()
        advance(len(ended), _so_far(ended))
        while len(ended) < search.total:
            claim = study.claim(search.total, propose)
            if claim is None:
                time.sleep(POLL_S)
            else:
                _try(search, outputs, study, claim, as_json=as_json)
            before, ended = ended, study.trials()
            advance(len(ended) - len(before), _so_far(ended))
    return ended


def _check_same(known: Mapping[str, str], search: Search, outputs: Outputs) -> None:
    """Raise UsageFault where the journal is of a search that was asked for otherwise."""
    for key in dict.fromkeys((*known, *search.identity)):
        theirs, ours = known.get(key, "nothing"), search.identity.get(key, "nothing")
        if theirs != ours and key == "data":
            fact = f"is of a search on other data than {search.asked.data}"
            raise UsageFault(fact, "give that data, or another --storage", place=outputs.storage)
        if theirs != ours:
            fact = f"is of a search with {key} {theirs}, not {ours}"
            raise UsageFault(fact, "give the same, or another --storage", place=outputs.storage)


def _try(search: Search, outputs: Outputs, study: Study, claim: Claim, *, as_json: bool) -> None:
    values = search.values(claim.number, claim.values)
    try:
        data, result = _trained(search, f"{outputs.storage}#{claim.number}", claim.number, values)
    except (TrainingFault, UsageFault) as error:
        # options that do not go together, like a rate that is too high, are the fault of this trial alone
        study.fail(claim, error.fact)
        spelled = " ".join(f"{name}={value}" for name, value in values.items())
        events.warn(f"trial {claim.number} failed, {error.fact}: {spelled}")
        return
    record = records_io.to_record(result)
    with study.locked():
        # its checkpoint is known as the search's before it is there, and there before its trial has ended
        study.made(claim, hashlib.sha256(data).hexdigest())
        outputs.offer(data, result.accuracy, study.trials())
        study.finish(claim, accuracy=result.accuracy, line=json.dumps(record, allow_nan=False))
        outputs.catch_up(study.trials())
    output.emit([record], lambda: (), as_json=as_json)


def _trained(search: Search, name: str, number: int, values: Mapping[str, Value]) -> tuple[bytes, Metrics]:
    """A trial's checkpoint, and how it does on the val part."""
    settings = search.options.settings(values)
    data = checkpoint.to_bytes(train.run(setup.set_up(settings, search.found, search.rule), settings))
    loaded = model.from_bytes(data, devices.device(search.asked.device), place=name)
    result = evaluate(
        loaded,
        search.found,
        part="val",
        label=search.label,
        settings={**values, "trial": number, "seed": search.asked.seed},
        data_name=search.asked.data,
    )
    assert isinstance(result, Metrics)
    return data, result


def _so_far(ended: Sequence[Trial]) -> str:
    best = min(ended, key=lambda trial: trial.rank, default=None)
    return "" if best is None or best.accuracy is None else f"best {best.accuracy:.1%}, trial {best.number}"


def _conclude(search: Search, outputs: Outputs, ended: Sequence[Trial], *, as_json: bool) -> None:
    """The best as a table on a terminal, and the command that trains the best one on stderr."""
    ranked = sorted(ended, key=lambda trial: trial.rank)
    best = ranked[0]
    if best.accuracy is None:
        fact = f"all {len(ended)} trials failed"
        raise TrainingFault(fact, "search lower rates, with another --storage", place=outputs.storage)
    output.emit([], lambda: _table(search, ranked), as_json=as_json)
    failed = sum(trial.accuracy is None for trial in ended)
    if failed:
        events.note(f"{failed} of {events.counted(len(ended), 'trial')} failed")
    if outputs.best is not None and not outputs.holds(best):
        events.warn(f"{outputs.best} is not of the best trial, which a process without --keep-best has run")
    share = f"{best.accuracy:.1%} of the val part"
    events.note(f"best of {events.counted(len(ended), 'trial')}: {share}, trial {best.number}; to train it:")
    output.paste(shlex.join(search.options.line(search.values_of(best), "model.st")))


def _table(search: Search, ranked: Sequence[Trial]) -> Iterator[tables.Table]:
    names = list(search.values_of(ranked[0]))
    rows: list[list[object]] = [
        [str(trial.number), f"{trial.accuracy:.1%}", *map(search.values_of(trial).get, names)]
        for trial in ranked[:SHOWN]
        if trial.accuracy is not None
    ]
    yield tables.table(f"Best of {len(ranked)} trials", ["trial", "val accuracy", *names], rows)


@dataclass(frozen=True)
class Outputs:
    """Where a search remembers, and where it writes the lines of its trials and its best checkpoint."""

    storage: str
    lines: str | None
    best: str | None
    force: bool

    def check(self) -> None:
        """Raise OutputFault for a place that could not be written when the first trial has ended."""
        places = [path for path in (self.storage, self.lines, self.best) if path]
        files.check_apart(places)
        for path in places:
            if path == files.STANDARD or (Path(path).exists() and not Path(path).is_file()):
                raise OutputFault("is no file that a search can come back to", "name a file", place=path)
            files.check_output(path, force=True)
        if not Path(self.storage).exists():
            self.check_best(frozenset())

    def check_best(self, known: Collection[str]) -> None:
        """Raise OutputFault where the best would replace what, by its fingerprint, is not of the search."""
        held = self._held()
        if held is not None and held not in known and not self.force:
            raise OutputFault(
                "exists, and is no checkpoint of this search",
                "give --force to replace it",
                place=self.best or "",
            )

    def catch_up(self, trials: Sequence[Trial]) -> None:
        """Add the lines of trials that are not there: also those that a killed process could not write."""
        if self.lines is None:
            return
        there = b"" if not Path(self.lines).exists() else files.read_bytes(self.lines)
        known = set(there.splitlines())
        lines = [trial.line.encode() for trial in trials if trial.line is not None]
        missing = [line for line in lines if line not in known]
        if missing:
            end = b"\n" if there and not there.endswith(b"\n") else b""
            # whole, not appended: an interruption leaves no half line
            files.write_bytes(self.lines, there + end + b"\n".join([*missing, b""]), force=True)

    def offer(self, checkpoint: bytes, accuracy: float, trials: Sequence[Trial]) -> None:
        """Keep a checkpoint if it is better than the one there, or that one is of no trial that has ended."""
        if self.best is None:
            return
        held = self._held()
        there = [
            trial.accuracy for trial in trials if trial.fingerprint == held and trial.accuracy is not None
        ]
        if not there or accuracy > max(there):
            files.write_bytes(self.best, checkpoint, force=True)

    def holds(self, trial: Trial) -> bool:
        """Whether the checkpoint kept is that trial's."""
        return self._held() == trial.fingerprint

    def _held(self) -> str | None:
        if self.best is None or not Path(self.best).exists():
            return None
        return hashlib.sha256(files.read_bytes(self.best)).hexdigest()
