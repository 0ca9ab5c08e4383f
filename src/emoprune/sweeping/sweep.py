"""A network pruned by every method to every amount, and what each pruned network is worth."""

from __future__ import annotations

import hashlib
import logging
import math
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from pathlib import PurePath
from typing import Any, cast

from emoprune import events
from emoprune.choices import Part
from emoprune.data.datasets import Data
from emoprune.data.splits import partition
from emoprune.errors import BadCheckpoint, TooLarge, TrainingFault, UsageFault
from emoprune.evaluation import model as models
from emoprune.evaluation.evaluate import evaluate
from emoprune.evaluation.model import ChosenPart
from emoprune.evaluation.types import Metrics
from emoprune.events import Told
from emoprune.io import devices, files, process_pool
from emoprune.io.json_records import EXACT
from emoprune.networks import build
from emoprune.networks.checkpoint import own_bytes
from emoprune.networks.costs import profiling
from emoprune.networks.losses import task_of
from emoprune.networks.memory import GIGABYTE, limit_bytes
from emoprune.networks.types import Checkpoint
from emoprune.pruning import prune
from emoprune.pruning.error_estimate import errors_of
from emoprune.pruning.prune import PruningRun
from emoprune.pruning.several import plan_again, shared_run
from emoprune.pruning.types import PruneConfig, PruneOutcome
from emoprune.sweeping import lines as sweep_lines
from emoprune.sweeping import rivals
from emoprune.sweeping.config import Combination, Rival, SweepConfig
from emoprune.sweeping.lines import WHOLE, Lines
from emoprune.training.config import train_config
from emoprune.training.train import train
from emoprune.version import __version__

WHOLE_LABEL = "whole network"
DIGITS = 6
"""Of the fractions in settings."""

OnLine = Callable[[Metrics], None]


@dataclass(frozen=True)
class Outputs:
    """Where a sweep writes its `lines`, and the folder of its checkpoints; None for what nobody wants.

    With `resume` it goes on where it was interrupted. What exists is replaced only with `force`.
    """

    lines: str | None = None
    save: str | None = None
    resume: bool = False
    force: bool = False


@dataclass(frozen=True)
class Sweep:
    """The metrics of the whole network, then of each combination, and why the `unmet` ones were not."""

    metrics: tuple[Metrics, ...]
    unmet: Mapping[str, str]


@dataclass(frozen=True)
class _Item:
    """A combination, and which of its lines are missing."""

    combination: Combination | Rival
    pruned: bool
    healed: bool


@dataclass(frozen=True)
class _Made:
    """What became of an item: lines and reasons by name, and what was told of it."""

    metrics: dict[str, Metrics] = field(default_factory=dict)
    unmet: dict[str, str] = field(default_factory=dict)
    told: list[Told] = field(default_factory=list)


@dataclass(frozen=True, eq=False)
class _Work:
    """What all items share; `key` stands for it. `part` is what `evaluate` is asked for."""

    model: Checkpoint
    model_name: str
    data: Data
    data_name: str | None
    config: SweepConfig
    part: Part | None
    calibrates: bool
    outputs: Outputs
    combinations: tuple[Combination | Rival, ...]
    of: Mapping[str, str]
    key: str
    jobs: int = 1

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Work) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)

    @property
    def memory(self) -> float | None:
        """What each process may take, in GB; they share what there is."""
        memory = self.config.memory
        return memory if self.jobs == 1 else limit_bytes(memory) / GIGABYTE / self.jobs

    def prune_config(self, combination: Combination) -> PruneConfig:
        """What `prune` is asked for."""
        return replace(combination.prune_config(self.config), memory=self.memory)

    def healed_name(self, combination: Combination | Rival) -> str:
        """The name of a combination that is trained on."""
        return f"{combination.name}.heal{self.config.heal}"

    def path(self, name: str) -> str:
        """The file of a pruned checkpoint, or what it would be called."""
        file = f"{PurePath(self.model_name).stem.strip('-') or 'model'}.{name}.st"
        return file if self.outputs.save is None else os.path.join(self.outputs.save, file)

    def is_kept(self, name: str, found: Lines) -> bool:
        """Whether there is a line of a pruned network and, where it is wanted, its checkpoint."""
        return name in found.metrics and (self.outputs.save is None or os.path.isfile(self.path(name)))

    def names(self) -> list[str]:
        """The names of all pruned networks, in order."""
        heals = self.config.heal is not None
        names = ((each.name, *([self.healed_name(each)] if heals else ())) for each in self.combinations)
        return [name for pair in names for name in pair]

    def measured(self, network: Checkpoint, place: str, label: str, settings: Mapping[str, Any]) -> Metrics:
        """The metrics of one of the networks."""
        device = devices.device(self.config.device)
        loaded = models.from_checkpoint(network, own_bytes(network), device, place=place)
        found = evaluate(
            loaded,
            self.data,
            part=self.part,
            latency=self.config.latency,
            label=label,
            settings={**settings, "seed": self.config.seed},
            data_name=self.data_name,
        )
        assert isinstance(found, Metrics)
        return found

    def whole(self) -> Metrics:
        """The metrics of the network before pruning; amounts say what it keeps, or that it loses nothing."""
        amount = self.config.asked[0].name
        kept = {amount: 1 if amount in ("macs", "params") else 0, "macs_left": 1, "units_left": 1, "heal": 0}
        return self.measured(self.model, self.model_name, WHOLE_LABEL, kept)


def sweep(
    model: Checkpoint,
    data: Data,
    config: SweepConfig,
    outputs: Outputs,
    *,
    jobs: int = 1,
    model_name: str = "model.st",
    data_name: str | None = None,
    on_line: OnLine = lambda metrics: None,
) -> Sweep:
    """Prune a network by every combination of the config, and evaluate each on the same part of `data`.

    Statistics and refits are on the training part of `data` where the model was trained on it, as with
    `prune`; `jobs` processes of one thread each gather them once each. `on_line` gets the metrics of each
    network as it is known. Combinations that cannot be met are noted and counted. Raises UsageFault for a
    network that does not classify and for the output of another sweep, BadData for data that the model was
    not trained on unless the part is "all", OutputFault for an output that exists without `resume` or
    `force`.
    """
    with events.once():
        work = _prepared(model, data, config, outputs, (model_name, data_name))
        found = _begun(work)
        try:
            _all_made(work, found, jobs, on_line)
        except KeyboardInterrupt:
            if found.path is not None:
                events.note(f"{found.path} keeps what is done; the same with `resume=True` goes on")
            raise
        finally:
            _shared.cache_clear()
    names = work.names()
    unmet = {name: found.unmet[name] for name in names if name in found.unmet}
    if unmet:
        count = events.counted(len(unmet), "combination")
        events.note(f"{count} of {len(names)} cannot be met")
    return Sweep(tuple(found.metrics[name] for name in (WHOLE, *names) if name in found.metrics), unmet)


def _prepared(
    model: Checkpoint, data: Data, config: SweepConfig, outputs: Outputs, names: tuple[str, str | None]
) -> _Work:
    """A sweep that can begin."""
    model_name, data_name = names
    if task_of(model.spec.arch) != "classify":
        fact = f"a sweep compares accuracies, and {model.spec.arch} does not classify"
        raise UsageFault(fact, "give another network", place=model_name)
    own = data.catalog.fingerprint == model.split.fingerprint
    if config.heal is not None and not own:
        fact = "`heal` trains on the training part of the data that the model was trained on"
        raise UsageFault(fact, "give all of that data, or leave it out", place=data.catalog.place)
    if config.rivals:
        rivals.check_installed()
    combinations = config.combinations()
    chosen = _compared(model, data, config)
    _tell_part(chosen, networks=1 + len(combinations) * (1 if config.heal is None else 2))
    part = config.part if data.part is not None else chosen.name
    of = {
        "model": hashlib.sha256(own_bytes(model)).hexdigest(),
        "data": data.catalog.fingerprint,
        "version": __version__,
        "part": chosen.name,
        **{name: str(getattr(config, name)) for name in ("layer", "samples", "seed", "latency")},
    }
    key = hashlib.sha256(repr((sorted(of.items()), config)).encode()).hexdigest()
    return _Work(
        model, model_name, data, data_name, config, cast(Part, part), own, outputs, combinations, of, key
    )


def _compared(model: Checkpoint, data: Data, config: SweepConfig) -> ChosenPart:
    """The part that networks are compared on: where there is a choice val, which is made for choosing."""
    asked = config.part
    if asked is None and data.part is None and data.catalog.fingerprint == model.split.fingerprint:
        asked = "val" if "val" in partition(data.catalog, model.split) else None
    return models.chosen_part(data, model.split, asked)


def _tell_part(chosen: ChosenPart, *, networks: int) -> None:
    """Say which part networks are compared on."""
    count = events.counted(len(chosen.indices), "sample")
    if chosen.is_test:
        fact = f"networks are compared on the test part ({count}), and {networks} looks at it are counted"
        events.warn(f"{fact}: the best of them looks better than it is")
    else:
        events.note(f"networks are compared on the {chosen.name} part ({count})")


def _begun(work: _Work) -> Lines:
    """What is known of the sweep before; raises what `lines.check` and `lines.read` do."""
    outputs = work.outputs
    if outputs.save is not None:
        names = [os.path.basename(work.path(name)) for name in work.names()]
        files.check_files(outputs.save, names, force=outputs.force or outputs.resume)
    if outputs.lines is None:
        return Lines(None, work.of)
    sweep_lines.check(outputs.lines, resume=outputs.resume, force=outputs.force)
    if not outputs.resume:
        return Lines(outputs.lines, work.of)
    place = work.data_name or work.data.catalog.place
    return sweep_lines.read(outputs.lines, work.of, model=work.model_name, data=place)


def _all_made(work: _Work, found: Lines, jobs: int, on_line: OnLine) -> None:
    """Make what is missing, and tell of each network as it is known."""
    if WHOLE not in found.metrics:
        found.add({WHOLE: work.whole()}, {})
    items = list(_missing(work, found))
    for name in (WHOLE, *work.names()):
        if name in found.metrics:
            on_line(found.metrics[name])
    if not items:
        return
    if work.outputs.save is not None:
        files.made_folder(work.outputs.save)
    jobs = min(jobs, len(items))
    results = process_pool.ordered(
        partial(_made, replace(work, jobs=jobs)),
        items,
        jobs=jobs,
        lost=_lost,
        preload=["emoprune.sweeping.sweep"],
        abandon=True,
    )
    with events.progress("sweep", len(items)) as advance:
        for item, made in zip(items, results, strict=True):
            found.add(made.metrics, made.unmet)
            _tell(item.combination.name, made)
            for metrics in made.metrics.values():
                on_line(metrics)
            best = max((each.accuracy for each in made.metrics.values()), default=None)
            advance(text=item.combination.name + ("" if best is None else f" {best:.1%}"))


def _missing(work: _Work, found: Lines) -> Iterator[_Item]:
    """The combinations that have not been tried, or whose healed network is missing."""
    known = [name for name in work.names() if name in found.unmet]
    if known:
        events.note(f"{events.counted(len(known), 'combination')} could not be met before: not tried again")
    for each in work.combinations:
        if each.name in found.unmet:
            continue
        pruned = not work.is_kept(each.name, found)
        name = work.healed_name(each)
        healed = work.config.heal is not None and name not in found.unmet and not work.is_kept(name, found)
        if pruned or healed:
            yield _Item(each, pruned, healed)


def _tell(name: str, made: _Made) -> None:
    """Warnings are of one combination, notes of all of them."""
    for level, text in made.told:
        events.tell([(level, f"{name}: {text}" if level >= logging.WARNING else text)])
    for unmet, reason in made.unmet.items():
        events.note(f"{unmet}: {reason}")


def _lost(item: _Item) -> _Made:
    fact = "its process was ended, perhaps as memory ran out"
    raise TooLarge(fact, "give fewer `jobs`, and `resume=True` to go on", place=item.combination.name)


@lru_cache(maxsize=1)
def _shared(work: _Work) -> PruningRun:
    """What all combinations have in common, once in each process."""
    configs = [work.prune_config(each) for each in work.combinations if isinstance(each, Combination)]
    return shared_run(work.model, configs, work.data if work.calibrates else None)


def _made(work: _Work, item: _Item) -> _Made:
    """Prune, evaluate and, where that is asked for, train on and evaluate again."""
    made = _Made()
    with events.gathered() as told:
        _make(work, item, made)
    made.told.extend(told)
    return made


def _make(work: _Work, item: _Item, made: _Made) -> None:
    one, shared = item.combination, _shared(work)
    try:
        pruned, settings = _rival(work, one) if isinstance(one, Rival) else _pruned(work, shared, one)
    except (UsageFault, BadCheckpoint) as fault:
        made.unmet[one.name] = fault.fact
        return
    if item.pruned:
        made.metrics[one.name] = _line(work, pruned, one.name, one.label, settings)
    if item.healed:
        name = work.healed_name(one)
        try:
            healed = _healed(work, pruned, work.path(one.name))
        except TrainingFault as fault:
            made.unmet[name] = fault.fact
            return
        label, more = f"{one.label}, healed", {**settings, "heal": work.config.heal}
        made.metrics[name] = _line(work, healed, name, label, more)


def _pruned(work: _Work, shared: PruningRun, one: Combination) -> tuple[Checkpoint, dict[str, Any]]:
    """A pruned network and its settings."""
    config = work.prune_config(one)
    planned = plan_again(shared, config)
    # the lines have predicted errors, and large ones are no surprise
    with events.muted():
        pruned = prune.prune(work.model, planned)
    _tell_removed(pruned.outcome)
    return pruned.checkpoint, _settings(one, config, pruned.outcome)


def _rival(work: _Work, one: Rival) -> tuple[Checkpoint, dict[str, Any]]:
    """The same of Torch-Pruning."""
    found = rivals.pruned_checkpoint(work.model, one.amount.value, ranking=one.ranking)
    costs, units = (
        [measure(each) for each in (work.model, found)] for measure in (_macs, profiling.hidden_units)
    )
    kept = {"macs_left": round(costs[1] / costs[0], DIGITS), "units_left": round(units[1] / units[0], DIGITS)}
    return found, {"method": one.label, one.amount.name: one.amount.value, **kept, "heal": 0}


def _macs(network: Checkpoint) -> int:
    return profiling.macs(build.blueprint(network.spec).eval(), network.spec.input)


def _tell_removed(outcome: PruneOutcome) -> None:
    """Warn of what the fractions in settings do not say."""
    spared = [layer.layer for layer in outcome.layers if layer.spared]
    if spared:
        events.warn(f"every unit of {events.counted(len(spared), 'layer')} would be removed; 1 is kept")
    if outcome.units.before == outcome.units.after and outcome.nonzero_parameters.before == (
        outcome.nonzero_parameters.after
    ):
        events.warn("nothing is removed")


def _settings(one: Combination, config: PruneConfig, outcome: PruneOutcome) -> dict[str, Any]:
    """What a network was made with, and how much is left of it."""
    macs, units = outcome.macs, outcome.units
    errors = errors_of(config, outcome.layers)
    largest = max(errors.values(), default=math.nan)
    return {
        "method": one.method,
        **({} if one.merge is None else {"merge": one.merge}),
        one.amount.name: one.amount.value,
        "macs_left": round((macs.after or 0) / (macs.before or 1), DIGITS),
        "units_left": round((units.after or 0) / (units.before or 1), DIGITS),
        **({"predicted_error": round(largest, DIGITS)} if largest < EXACT else {}),
        "heal": 0,
    }


def _line(work: _Work, network: Checkpoint, name: str, label: str, settings: Mapping[str, Any]) -> Metrics:
    """Evaluate a network, and keep its checkpoint where that is wanted."""
    path = work.path(name)
    if work.outputs.save is not None:
        network.save(path, force=work.outputs.force or work.outputs.resume)
    # what is to be said of the data was said of the whole network
    with events.muted():
        return work.measured(network, path, label, settings)


def _healed(work: _Work, pruned: Checkpoint, name: str) -> Checkpoint:
    """A pruned network after some epochs with the whole one as its teacher."""
    config = train_config(
        recipe="heal",
        epochs=work.config.heal,
        seed=work.config.seed,
        device=work.config.device,
        memory=work.memory,
        statistics=work.outputs.save is not None,
    )
    return train(
        work.data,
        config,
        past=pruned,
        past_name=name,
        data_name=work.data_name,
        teacher=work.model,
        teacher_name=work.model_name,
    ).checkpoint
