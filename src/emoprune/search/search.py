"""The search for the settings of a training that do best on the val part."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from emoprune import events
from emoprune.data.datasets import Data
from emoprune.errors import TooLarge, TrainingFault, UsageFault
from emoprune.evaluation import model
from emoprune.evaluation.evaluate import evaluate
from emoprune.evaluation.types import Metrics
from emoprune.io import devices
from emoprune.networks import checkpoint
from emoprune.reporting import records_io
from emoprune.search.config import SearchConfig
from emoprune.search.outputs import Outputs
from emoprune.search.sampler import proposed
from emoprune.search.setup import Plan, prepare
from emoprune.search.space import Space, Trial, Value
from emoprune.search.storage import Claim, Study
from emoprune.training.config import TrainConfig
from emoprune.training.train import train

POLL_S = 0.2
"""How often to check whether other processes have ended their trials."""

OnTrial = Callable[[Metrics], None]


@dataclass(frozen=True)
class SearchResult:
    """All trials of a search, the best first and failed ones last, and the training of the best."""

    ranked: tuple[Trial, ...]
    best: TrainConfig


def search(data: Data, config: SearchConfig, outputs: Outputs, *, on_trial: OnTrial) -> SearchResult:
    """Run trials until all are done, by whichever process; `on_trial` gets the metrics of each of ours.

    The same search with the same storage continues. Raises UsageFault for settings that no
    training can have or that are not those of the storage, TrainingFault if all trials fail.
    """
    plan = prepare(data, config)
    outputs.check()
    with Study(outputs.storage, spaces=plan.spaces, seed=config.seed) as study, events.once():
        _check_same(study.identity(plan.identity), plan, outputs)
        with study.locked():
            outputs.check_best(study.fingerprints())
            outputs.catch_up(study.trials())
        ended = _until_done(plan, outputs, study, on_trial)
    return _concluded(plan, outputs, ended)


def _until_done(plan: Plan, outputs: Outputs, study: Study, on_trial: OnTrial) -> Sequence[Trial]:
    def propose(number: int, ended: Sequence[Trial]) -> Sequence[Space] | None:
        return proposed(plan.config.sampler, plan.spaces, number, plan.total, ended)

    with events.progress("search", plan.total) as advance:
        ended = study.trials()
        advance(len(ended), _so_far(ended))
        while len(ended) < plan.total:
            claim = study.claim(plan.total, propose)
            if claim is None:
                time.sleep(POLL_S)
            else:
                _try(plan, outputs, study, claim, on_trial)
            before, ended = ended, study.trials()
            advance(len(ended) - len(before), _so_far(ended))
    return ended


def _check_same(known: Mapping[str, str], plan: Plan, outputs: Outputs) -> None:
    """Raise UsageFault where the storage is of another search."""
    for key in dict.fromkeys((*known, *plan.identity)):
        theirs, ours = known.get(key, "nothing"), plan.identity.get(key, "nothing")
        if theirs == ours:
            continue
        name, _, rest = key.partition(" ")
        fact = f"is of a search with `{name}`{rest and ' ' + rest} {theirs}, not {ours}"
        remedy = "give the same, or another `storage`"
        if key == "data":
            fact = f"is of a search on other data than {plan.data.catalog.place}"
            remedy = "give that data, or another `storage`"
        raise UsageFault(fact, remedy, place=outputs.storage)


def _try(plan: Plan, outputs: Outputs, study: Study, claim: Claim, on_trial: OnTrial) -> None:
    values = plan.values(claim.number, claim.values)
    try:
        data, metrics = _trained(plan, f"{outputs.storage}#{claim.number}", claim.number, values)
    except (TooLarge, TrainingFault, UsageFault) as error:
        # settings that contradict each other, or are too high or too large, are the fault of this trial alone
        study.fail(claim, error.fact)
        written = " ".join(f"{name}={value}" for name, value in values.items())
        events.warn(f"trial {claim.number} failed, {error.fact}: {written}")
        return
    record = records_io.to_record(metrics)
    with study.locked():
        # its fingerprint is known before the checkpoint is written, and that before the trial has ended
        study.made(claim, hashlib.sha256(data).hexdigest())
        outputs.offer(data, metrics.accuracy, study.trials())
        study.finish(claim, accuracy=metrics.accuracy, line=json.dumps(record, allow_nan=False))
        outputs.catch_up(study.trials())
    on_trial(metrics)


def _trained(plan: Plan, name: str, number: int, values: Mapping[str, Value]) -> tuple[bytes, Metrics]:
    """A trial's checkpoint, and its metrics on the val part."""
    trained = train(plan.data, plan.train_config(values), rule=plan.rule)
    data = checkpoint.to_bytes(trained.checkpoint)
    metrics = evaluate(
        model.from_checkpoint(trained.checkpoint, data, devices.device(plan.config.device), place=name),
        plan.data,
        part="val",
        label=plan.label,
        settings={**values, "trial": number, "seed": plan.config.seed},
    )
    assert isinstance(metrics, Metrics)
    return data, metrics


def _so_far(ended: Sequence[Trial]) -> str:
    best = min(ended, key=lambda trial: trial.rank, default=None)
    return "" if best is None or best.accuracy is None else f"best {best.accuracy:.1%}, trial {best.number}"


def _concluded(plan: Plan, outputs: Outputs, ended: Sequence[Trial]) -> SearchResult:
    ranked = tuple(
        replace(trial, values=plan.values(trial.number, trial.values))
        for trial in sorted(ended, key=lambda trial: trial.rank)
    )
    best = ranked[0]
    failed = sum(trial.accuracy is None for trial in ended)
    if best.accuracy is None:
        fact = f"all {failed} trials failed"
        raise TrainingFault(fact, "search lower rates, with another `storage`", place=outputs.storage)
    if failed:
        events.note(f"{failed} of {events.counted(len(ended), 'trial')} failed")
    if outputs.best is not None and not outputs.holds(best):
        events.warn(f"{outputs.best} is not of the best trial, which a process without `keep_best` has run")
    return SearchResult(ranked, plan.train_config(best.values))
