"""One training from its prepared start to its last epoch, and the statistics of what it made."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import safetensors.torch
import torch
from torch import Tensor

from emoprune import events
from emoprune.data.loader import batches, spread
from emoprune.data.types import Preprocess
from emoprune.errors import InvalidRecord, TrainingFault
from emoprune.networks import build, memory
from emoprune.networks.cards import canonical
from emoprune.networks.graph import channel_graph
from emoprune.networks.heads import freeze_all_but_head, has_head, head_alone, head_name, head_of
from emoprune.networks.losses import predict, task_of
from emoprune.networks.statistics.activation_statistics import Collector
from emoprune.networks.statistics.sensitivity import SAMPLES, consumers_of, sensitivities
from emoprune.networks.table_networks import TABLENETS
from emoprune.networks.types import Epoch, HiddenLayer
from emoprune.training.config import TrainConfig
from emoprune.training.feature_bank import Backbone, feature_bank
from emoprune.training.log_folder import LogFolder
from emoprune.training.loop import Diverged, Feed, fit
from emoprune.training.setup import Prepared
from emoprune.training.state import Progress, State, StateFile
from emoprune.training.steps.criterion import Teacher
from emoprune.training.steps.precision import DTYPES
from emoprune.training.verdict import Answers
from emoprune.training.watch import Watched, watched
from emoprune.version import __version__


@dataclass(frozen=True)
class Ran:
    """What a training has learned; `fault` is why it ended early, None where it did not."""

    curve: tuple[Epoch, ...]
    layers: tuple[HiddenLayer, ...]
    seen: Collector
    sensitivities: dict[str, Tensor]
    answers: dict[str, Answers]
    fault: Diverged | None


def run(
    prepared: Prepared,
    device: torch.device,
    *,
    teacher: Teacher | None = None,
    state: StateFile | None = None,
    run_key: str = "",
    begun: State | None = None,
    log: LogFolder | None = None,
) -> Ran:
    """Train the network of `prepared` in place, and gather its statistics over the training part.

    Raises Diverged where the first epoch does, TooLarge for what does not fit in memory.
    """
    config, start = prepared.config, prepared.start
    pictures = start.preprocess.kind == "image"
    net = start.net.to(device)
    if pictures:
        # how convolutions read fastest
        net = net.to(memory_format=torch.channels_last)
    blueprint = build.blueprint(start.spec)
    graph, limit = channel_graph(blueprint, start.spec.input), memory.limit_bytes(config.memory)
    layers = graph.layers if config.statistics else ()
    if config.freeze == "backbone":
        freeze_all_but_head(net)
    if config.banked and memory.statistics_bytes(graph, layers) > limit:
        layers = tuple(layer for layer in layers if layer.name.startswith(f"{head_name(net)}."))
        memory.note_fewer(graph, layers)
    memory.check_statistics(graph, layers, limit=limit, remedy="give `statistics=False`, or free memory")
    seen = Collector(graph, layers)
    head = head_of(net) if start.spec.arch not in TABLENETS and has_head(net) else net
    task = task_of(start.spec.arch)
    feed = Feed(
        net, head, start.samples, prepared.parts, start.preprocess, start.spec.classes, task, prepared.masks
    )
    assert config.precision != "auto", "chosen before"
    dtype = DTYPES[config.precision]
    if config.banked:
        key = backbone_key(prepared)
        feed = _head_alone(feed, Backbone(net, start.preprocess, device, dtype, key), config, seen, limit)
        dtype = None
    elif device.type == "cpu" and config.epochs:
        batch = min(config.batch_size or len(feed.parts["train"]), len(feed.parts["train"]))
        memory.check_training(blueprint, start.spec.input, batch=batch, limit=limit)
    noun = "pictures" if pictures else "rows"
    curve, fault = _fit(feed, config, device, teacher, dtype, state, run_key, begun, log, noun)
    judged = task == "classify" and (bool(curve) or start.spec.arch == "svm")
    try:
        answers = _gather(
            feed, seen, device, prefix=f"{head_name(net)}." if config.banked else "", judged=judged
        )
        return Ran(curve, layers, seen, _sensitivities(prepared, seen, device), answers, fault)
    except (TrainingFault, InvalidRecord):
        if fault is None:
            raise
        # the epoch before was no longer sound either
        raise fault from None


def backbone_key(prepared: Prepared) -> str:
    """What decides the features of a frozen backbone: data, pictures, network."""
    start = prepared.start
    digest = hashlib.sha256(f"{__version__} {torch.__version__} {prepared.rule.fingerprint}".encode())
    digest.update(canonical([start.spec, start.preprocess]).encode())
    head = f"{head_name(start.net)}."
    kept = {name: value for name, value in start.net.state_dict().items() if not name.startswith(head)}
    digest.update(safetensors.torch.save({name: value.cpu().contiguous() for name, value in kept.items()}))
    return digest.hexdigest()


def _head_alone(feed: Feed, backbone: Backbone, config: TrainConfig, seen: Collector, limit: int) -> Feed:
    """The head of a network and the features it reads, of the parts that training reads.

    `seen` takes what the layers of the backbone read of the training part.
    """
    bank, parts = feature_bank(backbone, feed.samples, feed.parts, config, limit=limit, seen=seen)
    prefix = f"{head_name(feed.net)}."
    masks = {name.removeprefix(prefix): mask for name, mask in feed.masks.items() if name.startswith(prefix)}
    table = Preprocess(kind="table")
    head = head_alone(feed.net)
    return Feed(head, head, bank, parts, table, feed.classes, feed.task, masks)


def _fit(
    feed: Feed,
    config: TrainConfig,
    device: torch.device,
    teacher: Teacher | None,
    dtype: torch.dtype | None,
    state: StateFile | None,
    run_key: str,
    start: State | None,
    log: LogFolder | None,
    noun: str,
) -> tuple[tuple[Epoch, ...], Diverged | None]:
    save = None if state is None else state.save
    epochs = fit(feed, config, device, teacher=teacher, dtype=dtype, run=run_key, start=start, save=save)
    training = Watched(config, feed.parts["train"], noun, start.progress if start else Progress())
    curve: list[Epoch] = []
    try:
        for epoch in watched(epochs, training, log):
            curve.append(epoch)
    except Diverged as fault:
        if not fault.good:
            raise
        return fault.good, fault
    return tuple(curve), None


def _gather(
    feed: Feed, seen: Collector, device: torch.device, *, prefix: str, judged: bool
) -> dict[str, Answers]:
    """Statistics of the layers that begin with `prefix`, and answers on the parts if they are `judged`.

    A frozen backbone was seen before.
    """
    left = any(each.name.startswith(prefix) for each in seen.layer_inputs)
    train = feed.parts["train"]
    inputs = batches(feed.samples, train, feed.preprocess, device)
    tracked = events.tracked(inputs, "statistics", len(train), steps=len)
    with seen.watching(feed.net, prefix), torch.inference_mode():
        predicted = {
            "train": [feed.net(read).argmax(1).cpu() for read in (tracked if left or judged else ())]
        }
        seen.finish()
    if not judged:
        return {}
    if "val" in feed.parts:
        inputs = batches(feed.samples, feed.parts["val"], feed.preprocess, device)
        predicted["val"] = [logits.argmax(1) for logits in predict(feed.net, inputs)]
    return {
        part: Answers.of(feed.samples.labels[feed.parts[part]], torch.cat(each), feed.classes)
        for part, each in predicted.items()
    }


def _sensitivities(prepared: Prepared, seen: Collector, device: torch.device) -> dict[str, Tensor]:
    """How much the answer depends on each layer that reads units, from some of the training part."""
    start, train = prepared.start, prepared.parts["train"]
    chosen = train[spread(len(train), SAMPLES)]
    names = consumers_of(seen.layer_inputs)
    inputs = batches(start.samples, chosen, start.preprocess, device)
    return sensitivities(
        start.net,
        names,
        events.tracked(inputs, "sensitivity", len(chosen), steps=len) if names else (),
        task=task_of(start.spec.arch),
        generator=torch.Generator().manual_seed(prepared.config.seed),
    )
