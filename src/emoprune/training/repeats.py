"""Several trainings that differ in seed or split: a mean with its interval, not one lucky number."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from statistics import stdev
from typing import Any

import torch

from emoprune import events
from emoprune.choices import Part
from emoprune.data.config import SplitConfig
from emoprune.data.datasets import Data
from emoprune.data.splits import fold_rules
from emoprune.data.types import SplitRule
from emoprune.errors import BadCheckpoint, TrainingFault, UsageFault, at
from emoprune.evaluation.confidence import FRACTION, Estimate, estimate
from emoprune.evaluation.folds import evaluate_folds
from emoprune.evaluation.types import Metrics
from emoprune.events import Told
from emoprune.io import content_hash, devices, files, json_records, process_pool
from emoprune.networks import checkpoint
from emoprune.networks.cards import canonical
from emoprune.networks.losses import task_of
from emoprune.networks.memory import GIGABYTE, limit_bytes
from emoprune.networks.types import Checkpoint
from emoprune.training import setup
from emoprune.training.config import SETTINGS, TrainConfig
from emoprune.training.loop import Diverged
from emoprune.training.outputs import Outputs
from emoprune.training.train import at_precision, train
from emoprune.training.types import Past
from emoprune.training.verdict import JUDGED, Verdict
from emoprune.version import __version__

SCHEMA, DONE_SCHEMA = "emoprune.repeats/1", "emoprune.training-done/1"
UNDECIDING = {"memory", "save_every", "cache_dir", "seed"}
"""Settings that change no file, and the seed, of which each training has its own."""
LARGEST = 2**20
"""Bytes of the record of a training."""


@dataclass(frozen=True)
class Repeat:
    """One of several trainings: the `name` in its files, its seed, and how the data is split."""

    name: str
    seed: int
    rule: SplitRule


@dataclass(frozen=True)
class Outcome:
    """What one of several trainings has come to; `path` is the file of its checkpoint."""

    name: str
    seed: int
    path: str
    verdict: Verdict

    @property
    def accuracy(self) -> float:
        """On val or, without that part, on train."""
        found = self.verdict
        accuracy = found.train_accuracy if found.val_accuracy is None else found.val_accuracy
        assert accuracy is not None
        return accuracy

    def record(self) -> dict[str, Any]:
        """It as JSON has it."""
        own = {"name": self.name, "seed": self.seed, "path": self.path}
        return own | {name: getattr(self.verdict, name) for name in JUDGED}


@dataclass(frozen=True)
class Repeats:
    """What several trainings have come to, two at least, by their accuracies on `part`."""

    outcomes: tuple[Outcome, ...]

    @property
    def part(self) -> Part:
        """The part of the accuracies."""
        return "train" if self.outcomes[0].verdict.val_accuracy is None else "val"

    @property
    def accuracy(self) -> Estimate:
        """The mean, with the 95% interval of a mean over trainings (Student's t, cut at 0 and 100%)."""
        return estimate((outcome.accuracy for outcome in self.outcomes), limits=FRACTION)

    @property
    def deviation(self) -> float:
        """The standard deviation of one training."""
        return stdev(outcome.accuracy for outcome in self.outcomes)

    @property
    def best(self) -> Outcome:
        """The first of those with the highest accuracy; that is not an estimate of anything."""
        return max(self.outcomes, key=lambda outcome: outcome.accuracy)

    def tell(self) -> None:
        """Give mean and best to those who listen to events."""
        found, best, count = self.accuracy, self.best, len(self.outcomes)
        interval = f"95% interval of the mean {found.low:.1%} to {found.high:.1%}"
        mean = f"mean {found.mean:.1%} of {self.part}, standard deviation {self.deviation:.1%}, {interval}"
        events.note(f"{count} trainings: {mean}")
        chosen = f"best of {count}, chosen on {self.part}, not an estimate"
        events.note(f"{best.path}: {best.accuracy:.1%}, {chosen}")

    def record(self) -> dict[str, Any]:
        """It as JSON has it, without a schema."""
        best = self.best
        return {
            "part": self.part,
            **asdict(self.accuracy),
            "deviation": self.deviation,
            "best": {"path": best.path, "accuracy": best.accuracy, "of": len(self.outcomes)},
            "trainings": [outcome.record() for outcome in self.outcomes],
        }


@dataclass(frozen=True)
class _Done:
    """A training that is finished: `run` says which, `sha256` is that of its checkpoint."""

    schema: str
    run: str
    sha256: str
    outcome: Outcome


def by_seed(
    data: Data, config: TrainConfig, count: int, *, past: Checkpoint | None = None
) -> tuple[Repeat, ...]:
    """Trainings with the seed of the config and those that follow it, all on the split of the first.

    Raises UsageFault for fewer than two, and for a network that no seed changes.
    """
    if count < 2:
        raise UsageFault(f"`repeats={count}` has no deviation", "give 2 or more")
    if config.arch == "svm" and past is None:
        raise UsageFault("svm is fitted in one go, the same with every seed", "leave out `repeats`")
    # the last seed may be out of range
    replace(config, seed=config.seed + count - 1)
    rule = setup.rule_of(data, config, Past(past, "") if past else None)
    return tuple(Repeat(f"seed{seed}", seed, rule) for seed in range(config.seed, config.seed + count))


def by_fold(
    data: Data,
    config: TrainConfig,
    count: int,
    *,
    past: Checkpoint | None = None,
    teacher: Checkpoint | None = None,
) -> tuple[Repeat, ...]:
    """Trainings with the seed of the config, of which each has another of so many folds as its val part.

    Raises UsageFault where `past` has been trained on the same data, as then no fold is unseen.
    """
    if past is not None and past.split.fingerprint == data.catalog.fingerprint:
        fact = "`folds` of data that `past` was trained on have all been seen"
        raise UsageFault(fact, "train the folds from the start, or on other data")
    if teacher is not None and teacher.split.fingerprint == data.catalog.fingerprint:
        events.warn("the teacher was trained on this data: on folds its pupils look better than they are")
    if config.keep == "best" or config.patience is not None:
        events.warn(
            "`keep=best` and `patience` choose on the fold that is reported: it looks better than it is"
        )
    asked = setup.without_unused(data, config, Past(past, "") if past else None)
    rules = fold_rules(replace(data, split=SplitConfig.of(asked)), count, seed=config.seed)
    return tuple(Repeat(f"fold{number}", config.seed, rule) for number, rule in enumerate(rules, 1))


def train_folds(
    data: Data, config: TrainConfig, count: int, outputs: Outputs, *, jobs: int = 1, **more: Any
) -> tuple[Repeats, Metrics]:
    """Train on so many folds, and evaluate all samples, each by the network that has not seen it.

    The last epoch is kept, unless the config asks for another. Arguments are otherwise those of
    `train_repeats`.
    """
    folds = by_fold(data, config, count, past=more.get("past"), teacher=more.get("teacher"))
    config = replace(config, keep=config.keep or "last")
    found = train_repeats(data, config, folds, outputs, jobs=jobs, keep_records=True, **more)
    made = (checkpoint.read(each.path, config.arch) for each in found.outcomes)
    name = more.get("data_name")
    # what is noted of the data was said when it was trained on
    with events.muted():
        metrics = evaluate_folds(made, data, device=config.device, model_name=outputs.model, data_name=name)
    forget(outputs, folds)
    return found, metrics


@dataclass(frozen=True)
class _Work:
    """What all trainings share; `key` stands for it."""

    data: Data
    config: TrainConfig
    past: Checkpoint | None
    past_name: str
    teacher: Checkpoint | None
    teacher_name: str
    data_name: str | None
    key: str
    jobs: int

    def config_of(self, repeat: Repeat) -> TrainConfig:
        """The config of one of them; processes share what memory there is."""
        memory = self.config.memory
        if self.jobs > 1:
            memory = limit_bytes(memory) / GIGABYTE / self.jobs
        return replace(self.config, seed=repeat.seed, memory=memory)

    def run(self, repeat: Repeat) -> str:
        """What says which training one of them is."""
        return hashlib.sha256(f"{self.key}{canonical(repeat)}".encode()).hexdigest()


def train_repeats(
    data: Data,
    config: TrainConfig,
    repeats: Sequence[Repeat],
    outputs: Outputs,
    *,
    jobs: int = 1,
    past: Checkpoint | None = None,
    past_name: str = "the earlier checkpoint",
    teacher: Checkpoint | None = None,
    teacher_name: str = "the teacher",
    data_name: str | None = None,
    keep_records: bool = False,
) -> Repeats:
    """Train once for each of `repeats`, in `jobs` processes of one thread each; with one in this process.

    The outputs of each have its name in theirs. With `resume` finished trainings are not trained again, and
    interrupted ones go on; the records of finished ones are removed at the end, unless they are kept for
    `forget`. Arguments are otherwise those of `train`. Raises what that does, and TrainingFault
    for the first loss that diverges.
    """
    _check(data, config, past, past_name)
    own = {repeat: outputs.named(repeat.name, first=repeat is repeats[0]) for repeat in repeats}
    _check_outputs(outputs, own.values(), config, past=past is not None)
    outputs.check_names(data)
    earlier = Past(past, past_name) if past else None
    config = at_precision(config, setup.spec_of(data, config, earlier), devices.device(config.device))
    key = _key(config, past, teacher)
    work = _Work(data, config, past, past_name, teacher, teacher_name, data_name, key, jobs)
    _begin(outputs, own.values())
    outcomes = tuple(_outcomes(work, own, jobs))
    if outputs.curve is not None:
        curves = {each.path: checkpoint.read(each.path).training for each in outcomes}
        replace(outputs, force=outputs.force or outputs.resume).write_curves(curves)
    if not keep_records:
        forget(outputs, repeats)
    return Repeats(outcomes)


def forget(outputs: Outputs, repeats: Sequence[Repeat]) -> None:
    """Remove what says which of the trainings are done."""
    for repeat in repeats:
        Path(outputs.named(repeat.name, first=False).done).unlink(missing_ok=True)


def _check(data: Data, config: TrainConfig, past: Checkpoint | None, past_name: str) -> None:
    """Raise UsageFault for trainings that have no accuracy."""
    spec = setup.spec_of(data, config, Past(past, past_name) if past else None)
    if task_of(spec.arch) != "classify":
        raise UsageFault(
            f"several trainings are compared by accuracy, and {spec.arch} does not classify", "train one"
        )
    if not config.epochs and spec.arch != "svm":
        raise UsageFault("without epochs several trainings are all the same", "give `epochs`, or train one")


def _check_outputs(outputs: Outputs, own: Collection[Outputs], config: TrainConfig, *, past: bool) -> None:
    """Refuse now what any of the trainings could not write."""
    outputs.check_asked(config, past=past)
    shared = [] if outputs.curve is None else [outputs.curve]
    files.check_apart([path for each in own for path in each.paths] + shared)
    for path in shared:
        files.check_output(path, force=outputs.force or outputs.resume)
    if outputs.log_dir is not None:
        files.check_files(outputs.log_dir, (), force=False)
    # logs are below that folder, which need not be there yet
    logged = outputs.log_dir is not None and os.path.isdir(outputs.log_dir)
    for each in own:
        (each if logged else replace(each, log_dir=None)).check_places()


def _begin(outputs: Outputs, own: Collection[Outputs]) -> None:
    """Make way for the trainings, or say what there is of them."""
    if outputs.log_dir is not None:
        files.made_folder(outputs.log_dir)
    if not outputs.resume:
        # only `force` lets them be here
        for each in own:
            each.remove_state()
            Path(each.done).unlink(missing_ok=True)
        return
    done = sum(os.path.exists(each.done) for each in own)
    begun = sum(each.state is not None and os.path.exists(each.state.path) for each in own)
    events.note(f"goes on: of {len(own)} trainings {done} are done, and {begun} were interrupted")


def _key(config: TrainConfig, past: Checkpoint | None, teacher: Checkpoint | None) -> str:
    """What stands for all that decides the trainings but their seeds, the split and its data."""
    asked = {name: getattr(config, name) for name in SETTINGS if name not in UNDECIDING}
    digest = hashlib.sha256(canonical([asked, __version__, torch.__version__]).encode())
    for given in (past, teacher):
        digest.update(b"" if given is None else checkpoint.to_bytes(given))
    if config.weights is not None and os.path.isfile(config.weights):
        digest.update(content_hash.file_hash(config.weights).encode())
    return digest.hexdigest()


def _outcomes(work: _Work, own: Mapping[Repeat, Outputs], jobs: int) -> Iterator[Outcome]:
    """What each training has come to, in order, told as it comes."""
    one = partial(_gathered if jobs > 1 else _alone, work)
    results = process_pool.ordered(
        one,
        own.items(),
        jobs=min(jobs, len(own)),
        lost=_lost,
        preload=["emoprune.training.repeats"],
        abandon=True,
    )
    try:
        with events.once(), events.progress("trainings", len(own), told=True) as advance:
            for outcome, told in results:
                events.tell(told)
                found = outcome.verdict
                events.note(f"{outcome.name}: {found.fact}")
                for warning in found.warnings:
                    events.warn(f"{outcome.name}: {warning}")
                advance(text=f"{outcome.name} {outcome.accuracy:.1%}")
                yield outcome
    except KeyboardInterrupt:
        events.note("the same with `resume=True` goes on from what is done")
        raise


def _alone(work: _Work, one: tuple[Repeat, Outputs]) -> tuple[Outcome, list[Told]]:
    return _outcome(work, *one), []


def _gathered(work: _Work, one: tuple[Repeat, Outputs]) -> tuple[Outcome, list[Told]]:
    """In another process, where nobody listens."""
    with events.gathered() as told:
        return _outcome(work, *one), told


def _lost(one: tuple[Repeat, Outputs]) -> tuple[Outcome, list[Told]]:
    fact = "its process was ended, perhaps as memory ran out"
    raise TrainingFault(fact, "give fewer `jobs`, and `resume=True` to go on", place=one[0].name)


def _outcome(work: _Work, repeat: Repeat, outputs: Outputs) -> Outcome:
    """Train one, or find what it has come to before."""
    run = work.run(repeat)
    done = _done(outputs, run)
    if done is not None:
        return done
    # those of an earlier attempt: what is of another training is gone, or refused
    outputs = replace(outputs, resume=True)
    state = outputs.state
    if state is not None and not os.path.exists(state.path):
        state = replace(state, resume=False)
    try:
        trained = train(
            work.data,
            work.config_of(repeat),
            past=work.past,
            past_name=work.past_name,
            rule=repeat.rule,
            data_name=work.data_name,
            teacher=work.teacher,
            teacher_name=work.teacher_name,
            state=state,
            log=outputs.log,
            on_start=outputs.write_first,
        )
    except Diverged as fault:
        # it cannot be sent from one process to another, nor be one of a mean
        raise TrainingFault(fault.fact, fault.remedy, place=repeat.name) from None
    assert trained.verdict is not None
    settings = {**trained.settings, "memory": work.config.memory}
    outputs.write(replace(trained, settings=settings), work.data)
    outcome = Outcome(repeat.name, repeat.seed, outputs.model, trained.verdict)
    record = _Done(DONE_SCHEMA, run, content_hash.file_hash(outputs.model), outcome)
    files.write_bytes(outputs.done, canonical(record).encode(), force=True)
    outputs.remove_state()
    return outcome


def _done(outputs: Outputs, run: str) -> Outcome | None:
    """What a training has come to that was finished before, and whose checkpoint is still there.

    Raises BadCheckpoint for another training.
    """
    if not os.path.exists(outputs.done):
        return None
    with at(outputs.done):
        data = files.read_bytes(outputs.done, fault=BadCheckpoint, most=LARGEST)
        try:
            found = json_records.decode(_Done, json_records.loads(data.decode()))
        except ValueError:
            raise BadCheckpoint("not the record of a training", "remove it") from None
        if (found.schema, found.run) != (DONE_SCHEMA, run):
            fact = "of another training: its settings, data or first weights are not these"
            raise BadCheckpoint(fact, "give the same as before, or start over without `resume`")
    same = os.path.isfile(outputs.model) and content_hash.file_hash(outputs.model) == found.sha256
    return replace(found.outcome, path=outputs.model) if same else None
