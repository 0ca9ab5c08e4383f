"""Training a network on a data set, to a checkpoint that can be pruned."""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from emoprune import events
from emoprune.data.augmentation import parse_augmentations
from emoprune.data.datasets import Data
from emoprune.data.loader import READING_BATCH, batches
from emoprune.data.randomness import generator_at
from emoprune.data.types import SplitRule
from emoprune.errors import UsageFault, at
from emoprune.evaluation.types import KNOWN
from emoprune.io import devices
from emoprune.networks import build, checkpoint
from emoprune.networks.costs import profiling
from emoprune.networks.types import Checkpoint, Epoch, Spec
from emoprune.training.config import OF_THE_NETWORK, OF_THE_SPLIT, SETTINGS, TrainConfig
from emoprune.training.log_folder import LogFolder
from emoprune.training.run import run
from emoprune.training.setup import Prepared, prepare
from emoprune.training.state import StateFile
from emoprune.training.steps import precision
from emoprune.training.steps.batch_norms import adapt_norms
from emoprune.training.steps.criterion import Teacher
from emoprune.training.types import Past, Trained
from emoprune.training.verdict import verdict

NOTABLE_BYTES = 100 * 2**20
LEARNED = 0.99
"""Training accuracy from which a few samples count as learned."""
ADAPTING = 2**33
"""Where the generator that mixes pictures for batch norms stands, beyond those of epochs and views."""
LICENSES = ("data_license", "weights_license")
UNRECORDED = {
    *("device", "memory", "new_classes", "penalty", "statistics", "save_every", "cache_dir"),
    *LICENSES,
}
RECORDED = SETTINGS.keys() - OF_THE_NETWORK - OF_THE_SPLIT - UNRECORDED
"""Settings in the history; the checkpoint holds what comes of the others."""


def train(
    data: Data,
    config: TrainConfig,
    *,
    past: Checkpoint | None = None,
    past_name: str = "the earlier checkpoint",
    rule: SplitRule | None = None,
    data_name: str | None = None,
    teacher: Checkpoint | None = None,
    teacher_name: str = "the teacher",
    state: StateFile | None = None,
    log: LogFolder | None = None,
    on_start: Callable[[Checkpoint], None] | None = None,
) -> Trained:
    """Train a network, then gather the statistics of its layers over the training part.

    `past` is a checkpoint to train on instead of a new network. The history calls it `past_name`, and the
    data `data_name`, by default their place. `rule` is how the config splits the data, if that is known.
    `teacher` is a network whose answers are learned along. `state` is where the training can be resumed from
    while it runs; it stays until `state.remove`. `log` gets the figures of each epoch. `on_start` gets the
    network, without statistics, before its first step. With a frozen backbone the head alone is trained, on
    features computed once; where the statistics of all layers do not fit in memory, they are those of the
    head. Raises UsageFault for settings that contradict each other or the data, Diverged, with what was
    learned before, where the loss does.
    """
    device = devices.device(config.device)
    if log is not None:
        log.check()
    earlier = Past(past, past_name) if past else None
    named = None if teacher is None else teacher_name
    prepared = prepare(data, config, past=earlier, rule=rule, data_name=data_name, teacher=named)
    config = at_precision(prepared.config, prepared.start.spec, device)
    prepared = dataclasses.replace(prepared, config=config)
    if log is not None and not prepared.config.epochs:
        raise UsageFault("`log_dir` needs at least one epoch", "leave it out")
    if config.adapt_bn:
        _adapt(prepared, device)
    first = copy.deepcopy(_checkpoint(prepared, ()))
    learned = None
    if teacher is not None:
        learned = Teacher.of(teacher, prepared.start.outputs, name=teacher_name, device=device)
    key, start = run_key(first, teacher), None
    if state is not None:
        state.check()
        start = state.read(key)
    if on_start is not None:
        on_start(first)
    with at(prepared.data_name), interruptible(state):
        ran = run(prepared, device, teacher=learned, state=state, run_key=key, begun=start, log=log)
    curve, seen = ran.curve, ran.seen
    _report_overfit(config.overfit, curve)
    made = dataclasses.replace(
        _checkpoint(prepared, curve),
        layers=ran.layers,
        statistics=seen.statistics,
        moments=seen.moments,
        sensitivities=ran.sensitivities,
    )
    size = sum(tensor.nbytes for _, tensor in checkpoint.statistics_tensors(made))
    if size > NOTABLE_BYTES:
        found = events.counted(len(ran.layers), "layer")
        events.note(f"the statistics of {found} take {size / 2**20:,.0f} MB of the file")
    parts = {name: len(indices) for name, indices in prepared.parts.items()}
    judged = None
    if curve or ran.answers:
        keep = prepared.config.keep or "last"
        judged = verdict(
            curve, ran.answers, made.classes, keep=keep, by=config.keep_by, overfit=bool(config.overfit)
        )
    trained = Trained(made, parts, prepared.settings, judged)
    if ran.fault is not None:
        raise ran.fault.keeping(trained)
    return trained


def at_precision(config: TrainConfig, spec: Spec, device: torch.device) -> TrainConfig:
    """The config with the precision of the steps of this network chosen."""
    macs = profiling.macs(build.blueprint(spec).eval(), spec.input) if config.epochs else 0
    return dataclasses.replace(
        config, precision=precision.resolved(config.precision, macs=macs, device=device)
    )


def _adapt(prepared: Prepared, device: torch.device) -> None:
    """Let the batch norms of the network start from the training part, in batches of all classes."""
    start, train = prepared.start, prepared.parts["train"]
    mixed = train[torch.randperm(len(train), generator=generator_at(prepared.config.seed, ADAPTING))]
    # of nearly one size, so that the last counts no more than others
    chunks = mixed.tensor_split(math.ceil(len(mixed) / READING_BATCH))
    inputs = (batch for chunk in chunks for batch in batches(start.samples, chunk, start.preprocess, device))
    adapt_norms(start.net.to(device), events.tracked(inputs, "batch norms", len(mixed), steps=len))


@contextmanager
def interruptible(state: StateFile | None) -> Iterator[None]:
    """Within, an interruption says how to go on."""
    try:
        yield
    except KeyboardInterrupt:
        if state is not None:
            state.note_kept()
        raise


def run_key(first: Checkpoint, teacher: Checkpoint | None) -> str:
    """What a training follows from: its settings, data, first weights, teacher and versions."""
    digest = hashlib.sha256(checkpoint.to_bytes(first))
    if teacher is not None:
        digest.update(checkpoint.to_bytes(teacher))
    return digest.hexdigest()


def _checkpoint(prepared: Prepared, curve: tuple[Epoch, ...]) -> Checkpoint:
    """The network as it is after the epochs of `curve`, without statistics."""
    start, config, past = prepared.start, prepared.config, prepared.past
    parameters = {
        **{name: getattr(config, name) for name in RECORDED},
        "augment": parse_augmentations(config.augment),
        "data": prepared.data_name,
        "data_fingerprint": prepared.rule.fingerprint,
        "preset": config.preset,
        "recipe": config.recipe,
        "weights": past.name if past else config.initial_weights,
        **({"teacher": prepared.teacher} if prepared.teacher else {}),
        **{name: getattr(config, name) for name in LICENSES if getattr(config, name) is not None},
        **({"classes": config.row_names} if config.classes else {}),
        **({"new_classes": config.new_classes} if config.new_classes else {}),
        "scale": _scale(past.checkpoint) if past else config.scale,
    }
    results = {"parts": {name: len(part) for name, part in prepared.parts.items()}}
    results |= dataclasses.asdict(curve[-1]) if curve else {}
    entry = checkpoint.history_entry("train", parameters, results)
    return Checkpoint(
        spec=start.spec,
        classes=start.outputs,
        preprocess=start.preprocess,
        split=prepared.rule,
        tensors=start.net.cpu().to(memory_format=torch.contiguous_format).state_dict(),
        history=(*(past.checkpoint.history if past else ()), entry),
        training=curve,
        masks=prepared.masks,
        trained=_trained(prepared, known=bool(curve) or config.adapt_bn or start.spec.arch == "svm"),
    )


def _trained(prepared: Prepared, *, known: bool) -> Tensor | None:
    """The keys of the samples that the network knows: from before and, if `known`, of this training."""
    keys = [] if prepared.start.trained is None else [prepared.start.trained]
    if known and prepared.keys is None:
        # some of what it knows is unknown
        return None
    if known and prepared.keys is not None:
        keys += [prepared.keys[prepared.parts[name]] for name in KNOWN if name in prepared.parts]
    return torch.cat(keys).unique() if keys else None


def _scale(past: Checkpoint) -> Any:
    """How the first training scaled the columns of its table; its history may be gone."""
    return next((entry.parameters.get("scale") for entry in past.history), None)


def _report_overfit(samples: int | None, curve: tuple[Epoch, ...]) -> None:
    """Whether the network overfits the few samples of a sanity check (wright2019, section 4.1)."""
    if not samples or not curve:
        return
    first = next((epoch.index for epoch in curve if (epoch.train_accuracy or 0) >= LEARNED), None)
    if first is None:
        best = max(epoch.train_accuracy or 0 for epoch in curve)
        events.warn(f"{samples} samples are not learned: at best {best:.1%} of them")
    else:
        events.note(f"{samples} samples are learned by epoch {first}")
