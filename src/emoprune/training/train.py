"""Training a network on a data set, to a checkpoint that can be pruned."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from emoprune import events
from emoprune.choices import Task
from emoprune.data.augmentation import parse_augmentations
from emoprune.data.datasets import Data
from emoprune.data.loader import READING_BATCH, TensorSamples, batches
from emoprune.data.types import Preprocess, Samples, SplitRule
from emoprune.errors import UsageFault, at
from emoprune.io import devices
from emoprune.networks import build, checkpoint
from emoprune.networks.activation_statistics import Collector, collect
from emoprune.networks.graph import channel_graph
from emoprune.networks.heads import freeze_all_but_head, head_name, head_of
from emoprune.networks.losses import task_of
from emoprune.networks.types import Checkpoint, Epoch, HiddenLayer, HistoryEntry
from emoprune.training.config import OF_THE_NETWORK, OF_THE_SPLIT, SETTINGS, TrainConfig
from emoprune.training.loop import fit, precompute
from emoprune.training.setup import Past, Prepared, prepare
from emoprune.training.types import Trained

NOTABLE_BYTES = 100 * 2**20
LEARNED = 0.99
"""Training accuracy from which a few samples count as learned."""
RECORDED = SETTINGS.keys() - OF_THE_NETWORK - OF_THE_SPLIT - {"device", "penalty"}
"""Settings in the history; the checkpoint holds what comes of the others."""


def train(
    data: Data,
    config: TrainConfig,
    *,
    past: Checkpoint | None = None,
    past_name: str = "the earlier checkpoint",
    rule: SplitRule | None = None,
    data_name: str | None = None,
    keep_initial: bool = False,
) -> Trained:
    """Train a network, then gather the statistics of its layers over the training part.

    `past` is a checkpoint to train on instead of a new network. The history calls it `past_name`, and the
    data `data_name`, by default their place. `rule` is how the config splits the data, if that is known.
    With a frozen backbone the statistics are those of the head, and without augmentation the head alone is
    run, on features computed once. Raises UsageFault for settings that contradict each other or the data,
    TrainingFault where the loss diverges.
    """
    device = devices.device(config.device)
    prepared = prepare(
        data, config, past=Past(past, past_name) if past else None, rule=rule, data_name=data_name
    )
    net, initial = prepared.start.net, None
    if keep_initial:
        # training changes tensors in place
        initial = _checkpoint(prepared, {name: value.clone() for name, value in net.state_dict().items()}, ())
    with at(prepared.data_name):
        curve, layers, seen = _run(net.to(device), prepared, device)
    _report_overfit(prepared.config, curve)
    trained = dataclasses.replace(
        _checkpoint(prepared, net.cpu().state_dict(), curve),
        layers=layers,
        statistics=seen.statistics,
        moments=seen.moments,
    )
    return Trained(trained, {name: len(indices) for name, indices in prepared.parts.items()}, initial)


def _checkpoint(prepared: Prepared, tensors: Mapping[str, Tensor], curve: tuple[Epoch, ...]) -> Checkpoint:
    """The network as it is after the epochs of `curve`, without statistics."""
    start, past = prepared.start, prepared.past
    return Checkpoint(
        spec=start.spec,
        classes=start.outputs,
        preprocess=start.preprocess,
        split=prepared.rule,
        tensors=tensors,
        history=(*(past.checkpoint.history if past else ()), _entry(prepared, curve)),
        training=curve,
        masks=_masks(prepared),
    )


def _masks(prepared: Prepared) -> Mapping[str, Tensor]:
    return prepared.past.checkpoint.masks if prepared.past else {}


def _entry(prepared: Prepared, curve: tuple[Epoch, ...]) -> HistoryEntry:
    config, past = prepared.config, prepared.past
    parameters = {
        **{name: getattr(config, name) for name in RECORDED},
        "augment": parse_augmentations(config.augment),
        "data": prepared.data_name,
        "preset": config.preset,
        "weights": past.name if past else config.initial_weights,
        "scale": past.checkpoint.history[0].parameters.get("scale") if past else config.scale,
    }
    return checkpoint.history_entry("train", parameters, dataclasses.asdict(curve[-1]) if curve else {})


def _report_overfit(config: TrainConfig, curve: tuple[Epoch, ...]) -> None:
    """Whether the network overfits the few samples of a sanity check (wright2019, section 4.1)."""
    if not config.overfit or not curve or curve[-1].train_accuracy is None:
        return
    first = next((epoch.index for epoch in curve if (epoch.train_accuracy or 0) >= LEARNED), None)
    if first is None:
        best = max(epoch.train_accuracy or 0 for epoch in curve)
        events.warn(f"{config.overfit} samples are not learned: at best {best:.1%} of them")
    else:
        events.note(f"{config.overfit} samples are learned by epoch {first}")


def _run(
    net: nn.Module, prepared: Prepared, device: torch.device
) -> tuple[tuple[Epoch, ...], tuple[HiddenLayer, ...], Collector]:
    config, spec, samples = prepared.config, prepared.start.spec, prepared.start.samples
    frozen = config.freeze == "backbone"
    if not frozen:
        _check_batch_norm(net, config, learned=len(prepared.parts["train"]))
    graph = channel_graph(build.blueprint(spec), spec.input)
    layers = graph.layers
    _read_test_part(samples, prepared.parts)
    feed = whole = _Feed(net, "", samples, prepared.parts, prepared.start.preprocess, _masks(prepared))
    if frozen:
        freeze_all_but_head(net)
        layers = tuple(layer for layer in layers if layer.name.startswith(f"{head_name(net)}."))
        if parse_augmentations(config.augment):
            events.note("with `augment` the frozen backbone has to run in every epoch")
        else:
            feed = _head_alone(whole, device)
    curve = _fit(feed, config, device, task=task_of(spec.arch))
    train = feed.parts["train"]
    inputs = events.tracked(
        batches(feed.samples, train, feed.preprocess, device), "statistics", len(train), steps=len
    )
    seen = collect(feed.net, graph, layers, inputs if layers else (), prefix=feed.prefix)
    _report_size(seen, len(layers))
    return curve, layers, seen


def _check_batch_norm(net: nn.Module, config: TrainConfig, *, learned: int) -> None:
    """Raise UsageFault where batch norm would see one sample at a time."""
    one = config.epochs and min(config.batch_size or learned, learned) == 1
    if one and any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in net.modules()):
        raise UsageFault("batch norm cannot learn from one sample", "give `batch_size=2` or more")


def _read_test_part(samples: Samples, parts: Mapping[str, Tensor]) -> None:
    """Refuse a picture now that could not be evaluated later: training reads the other parts only."""
    for chunk in parts["test"].split(READING_BATCH) if "test" in parts else ():
        samples.batch(chunk)


def _report_size(seen: Collector, layers: int) -> None:
    size = sum(entry.gram.nbytes for entry in seen.statistics.values())
    size += sum(entry.covariance.nbytes // 2 for entry in seen.moments.values())
    if size > NOTABLE_BYTES:
        found = events.counted(layers, "layer")
        events.note(f"the statistics of {found} take {size / 2**20:,.0f} MB of the checkpoint")


@dataclass(frozen=True)
class _Feed:
    """A network, or the head of one, with its samples; `prefix` is the head's name with a dot.

    `masks` are by the names of the whole network.
    """

    net: nn.Module
    prefix: str
    samples: Samples
    parts: Mapping[str, Tensor]
    preprocess: Preprocess
    masks: Mapping[str, Tensor]


def _head_alone(whole: _Feed, device: torch.device) -> _Feed:
    """The head of a network and the features it reads, of the parts that training reads."""
    wanted = [part for part in ("train", "val") if part in whole.parts]
    indices = torch.cat([whole.parts[part] for part in wanted])
    inputs = batches(whole.samples, indices, whole.preprocess, device)
    rows = events.tracked(precompute(whole.net, inputs), "features", len(indices), steps=len)
    values = TensorSamples(torch.cat(list(rows)), whole.samples.labels[indices])
    lengths = [len(whole.parts[part]) for part in wanted]
    places = torch.arange(len(indices)).split(lengths)
    return _Feed(
        head_of(whole.net),
        f"{head_name(whole.net)}.",
        values,
        dict(zip(wanted, places, strict=True)),
        Preprocess(kind="table"),
        whole.masks,
    )


def _fit(feed: _Feed, config: TrainConfig, device: torch.device, *, task: Task) -> tuple[Epoch, ...]:
    curve = []
    masks = {
        name.removeprefix(feed.prefix): mask
        for name, mask in feed.masks.items()
        if name.startswith(feed.prefix)
    }
    epochs = fit(feed.net, feed.samples, feed.parts, feed.preprocess, config, device, task=task, masks=masks)
    with events.progress("train", config.epochs) as advance:
        for epoch in epochs:
            advance(text=_line(epoch))
            curve.append(epoch)
    return tuple(curve)


def _line(epoch: Epoch) -> str:
    """One epoch, as progress shows it."""

    def part(loss: float, accuracy: float | None) -> str:
        return f"{loss:.3f}" if accuracy is None else f"{loss:.3f}, {accuracy:.1%}"

    text = f"loss {part(epoch.train_loss, epoch.train_accuracy)}"
    return text if epoch.val_loss is None else f"{text}; val {part(epoch.val_loss, epoch.val_accuracy)}"
