"""Training a network on a data set, to a checkpoint that can be pruned."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from emoprune import events
from emoprune.choices import Task
from emoprune.data.augmentation import parse_augmentations
from emoprune.data.datasets import Data
from emoprune.data.loader import TensorSamples, batches, spread
from emoprune.data.types import Preprocess, Samples, SplitRule
from emoprune.errors import at
from emoprune.evaluation.seen import KNOWN
from emoprune.io import devices
from emoprune.networks import build, checkpoint, memory
from emoprune.networks.graph import channel_graph
from emoprune.networks.heads import freeze_all_but_head, head_alone, head_name
from emoprune.networks.losses import predict, task_of
from emoprune.networks.statistics.activation_statistics import Collector
from emoprune.networks.statistics.sensitivity import SAMPLES, consumers_of, sensitivities
from emoprune.networks.types import Checkpoint, Epoch, HiddenLayer
from emoprune.training.config import OF_THE_NETWORK, OF_THE_SPLIT, SETTINGS, TrainConfig
from emoprune.training.loop import fit, precompute
from emoprune.training.setup import Past, Prepared, prepare
from emoprune.training.types import Trained
from emoprune.training.verdict import Answers, verdict

NOTABLE_BYTES = 100 * 2**20
LEARNED = 0.99
"""Training accuracy from which a few samples count as learned."""
RECORDED = (
    SETTINGS.keys()
    - OF_THE_NETWORK
    - OF_THE_SPLIT
    - {
        *("device", "memory", "new_classes", "penalty", "statistics"),
    }
)
"""Settings in the history; the checkpoint holds what comes of the others."""


def train(
    data: Data,
    config: TrainConfig,
    *,
    past: Checkpoint | None = None,
    past_name: str = "the earlier checkpoint",
    rule: SplitRule | None = None,
    data_name: str | None = None,
    on_start: Callable[[Checkpoint], None] | None = None,
) -> Trained:
    """Train a network, then gather the statistics of its layers over the training part.

    `past` is a checkpoint to train on instead of a new network. The history calls it `past_name`, and the
    data `data_name`, by default their place. `rule` is how the config splits the data, if that is known.
    `on_start` gets the network, without statistics, before its first step. With a frozen backbone and
    without augmentation the head alone is trained, on features computed once; where the statistics of all
    layers do not fit in memory, they are those of the head. Raises UsageFault for settings that contradict
    each other or the data, TrainingFault where the loss diverges.
    """
    device = devices.device(config.device)
    earlier = Past(past, past_name) if past else None
    prepared = prepare(data, config, past=earlier, rule=rule, data_name=data_name)
    if on_start is not None:
        # training changes tensors in place
        on_start(copy.deepcopy(_checkpoint(prepared, ())))
    with at(prepared.data_name):
        curve, layers, seen, answers = _run(prepared, device)
        matrices = _sensitivities(prepared, seen, device)
    _report_overfit(config.overfit, curve)
    made = dataclasses.replace(
        _checkpoint(prepared, curve),
        layers=layers,
        statistics=seen.statistics,
        moments=seen.moments,
        sensitivities=matrices,
    )
    size = sum(tensor.nbytes for _, tensor in checkpoint.statistics_tensors(made))
    if size > NOTABLE_BYTES:
        found = events.counted(len(layers), "layer")
        events.note(f"the statistics of {found} take {size / 2**20:,.0f} MB of the file")
    parts = {name: len(indices) for name, indices in prepared.parts.items()}
    judged = None
    if curve or answers:
        keep = prepared.config.keep or "last"
        judged = verdict(curve, answers, made.classes, keep=keep, overfit=bool(config.overfit))
    return Trained(made, parts, prepared.settings, judged)


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
        **({"classes": config.row_names} if config.classes else {}),
        **({"new_classes": config.new_classes} if config.new_classes else {}),
        "scale": _scale(past.checkpoint) if past else config.scale,
    }
    entry = checkpoint.history_entry("train", parameters, dataclasses.asdict(curve[-1]) if curve else {})
    return Checkpoint(
        spec=start.spec,
        classes=start.outputs,
        preprocess=start.preprocess,
        split=prepared.rule,
        tensors=start.net.cpu().state_dict(),
        history=(*(past.checkpoint.history if past else ()), entry),
        training=curve,
        masks=prepared.masks,
        trained=_trained(prepared, known=bool(curve) or start.spec.arch == "svm"),
    )


def _trained(prepared: Prepared, *, known: bool) -> Tensor | None:
    """The keys of the samples that the network knows: from before and, if `known`, of this training."""
    keys = [] if prepared.start.trained is None else [prepared.start.trained]
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


@dataclass(frozen=True)
class _Feed:
    """A network, or the head of one, with its samples; `prefix` is the head's name with a dot."""

    net: nn.Module
    prefix: str
    samples: Samples
    parts: Mapping[str, Tensor]
    preprocess: Preprocess
    masks: Mapping[str, Tensor]


def _run(
    prepared: Prepared, device: torch.device
) -> tuple[tuple[Epoch, ...], tuple[HiddenLayer, ...], Collector, dict[str, Answers]]:
    config, start = prepared.config, prepared.start
    net, spec, limit = start.net.to(device), start.spec, memory.limit_bytes(config.memory)
    blueprint = build.blueprint(spec)
    graph = channel_graph(blueprint, spec.input)
    layers = graph.layers if config.statistics else ()
    feed = _Feed(net, "", start.samples, prepared.parts, start.preprocess, prepared.masks)
    if config.freeze == "backbone":
        freeze_all_but_head(net)
        if memory.statistics_bytes(graph, layers) > limit:
            layers = tuple(layer for layer in layers if layer.name.startswith(f"{head_name(net)}."))
            memory.note_fewer(graph, layers)
    memory.check_statistics(graph, layers, limit=limit, remedy="give `statistics=False`, or free memory")
    seen = Collector(graph, layers)
    if config.freeze == "backbone":
        if parse_augmentations(config.augment):
            events.note("with `augment` the frozen backbone has to run in every epoch")
        else:
            feed = _head_alone(feed, device, seen)
    elif device.type == "cpu" and config.epochs:
        batch = min(config.batch_size or len(feed.parts["train"]), len(feed.parts["train"]))
        memory.check_training(blueprint, spec.input, batch=batch, limit=limit)
    curve = _fit(feed, config, device, task=task_of(spec.arch))
    train = feed.parts["train"]
    inputs = batches(feed.samples, train, feed.preprocess, device)
    tracked = events.tracked(inputs, "statistics", len(train), steps=len)
    judged = task_of(spec.arch) == "classify" and (bool(curve) or spec.arch == "svm")
    # a frozen backbone was seen when it made the features
    left = any(each.name.startswith(feed.prefix) for each in seen.layer_inputs)
    with seen.watching(feed.net, feed.prefix), torch.inference_mode():
        predicted = [feed.net(read).argmax(1).cpu() for read in (tracked if left or judged else ())]
        seen.finish()
    return curve, layers, seen, _answers(feed, predicted, spec.classes, device) if judged else {}


def _answers(feed: _Feed, on_train: list[Tensor], classes: int, device: torch.device) -> dict[str, Answers]:
    """What the network answers on the parts that training reads; those `on_train` are known already."""
    predicted = {"train": on_train}
    if "val" in feed.parts:
        inputs = batches(feed.samples, feed.parts["val"], feed.preprocess, device)
        predicted["val"] = [logits.argmax(1) for logits in predict(feed.net, inputs)]
    return {
        part: Answers.of(feed.samples.labels[feed.parts[part]], torch.cat(each), classes)
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


def _head_alone(whole: _Feed, device: torch.device, seen: Collector) -> _Feed:
    """The head of a network and the features it reads, of the parts that training reads.

    `seen` takes what the layers of the backbone read of the training part.
    """
    parts = {part: whole.parts[part] for part in ("train", "val") if part in whole.parts}
    indices = torch.cat([*parts.values()])
    rows = list[Tensor]()
    with events.progress("features", len(indices)) as advance:
        for part, chosen in parts.items():
            inputs = batches(whole.samples, chosen, whole.preprocess, device)
            with seen.watching(whole.net) if part == "train" else nullcontext():
                for features in precompute(whole.net, inputs):
                    rows.append(features)
                    advance(len(features))
    samples = TensorSamples(torch.cat(rows), whole.samples.labels[indices])
    places = torch.arange(len(indices)).split([len(part) for part in parts.values()])
    head, prefix = head_alone(whole.net), f"{head_name(whole.net)}."
    masks = {name.removeprefix(prefix): mask for name, mask in whole.masks.items() if name.startswith(prefix)}
    read = dict(zip(parts, places, strict=True))
    return _Feed(head, prefix, samples, read, Preprocess(kind="table"), masks)


def _fit(feed: _Feed, config: TrainConfig, device: torch.device, *, task: Task) -> tuple[Epoch, ...]:
    def figures(loss: float, accuracy: float | None) -> str:
        return f"{loss:.3f}" if accuracy is None else f"{loss:.3f}, {accuracy:.1%}"

    curve = []
    epochs = fit(
        feed.net, feed.samples, feed.parts, feed.preprocess, config, device, task=task, masks=feed.masks
    )
    with events.progress("train", config.epochs) as advance:
        for epoch in epochs:
            text = f"loss {figures(epoch.train_loss, epoch.train_accuracy)}"
            if epoch.val_loss is not None:
                text += f"; val {figures(epoch.val_loss, epoch.val_accuracy)}"
            advance(text=text)
            curve.append(epoch)
    return tuple(curve)
