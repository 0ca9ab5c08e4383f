"""The work of emoprune train: the run itself, with its progress."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from emoprune import events
from emoprune.choices import Task
from emoprune.data.loader import READING_BATCH, TensorSamples, batches
from emoprune.data.types import Preprocess, Samples
from emoprune.errors import UsageFault, at
from emoprune.io import devices
from emoprune.networks import build, checkpoint
from emoprune.networks.activation_statistics import Collector, collect
from emoprune.networks.graph import channel_graph
from emoprune.networks.heads import freeze_all_but_head, head_name, head_of
from emoprune.networks.losses import task_of
from emoprune.networks.types import Checkpoint, Epoch, HiddenLayer, HistoryEntry
from emoprune.training.config import Settings
from emoprune.training.loop import Recipe, fit, precompute
from emoprune.training.setup import Setup
from emoprune.training.types import TRAINING_SCHEMA, LearningCurve

NOTABLE_BYTES = 100 * 2**20
LEARNED = 0.99
"""Training accuracy from which a few samples count as learned."""


def initial(setup: Setup, settings: Settings) -> Checkpoint:
    """The network before its first step, without statistics."""
    return _so_far(setup, settings, setup.start.net, ())


def run(setup: Setup, settings: Settings) -> Checkpoint:
    """Train the network in place, then gather the statistics of its layers over the training part.

    With a frozen backbone they are those of the head, and without augmentation the head alone is run, on
    features computed once.
    """
    device = devices.device(settings.device)
    net = setup.start.net.to(device)
    with at(settings.data):
        curve, layers, seen = _run(net, setup, settings, device)
    _tell_learned(settings, curve)
    trained = _so_far(setup, settings, net.cpu(), curve)
    return dataclasses.replace(trained, layers=layers, statistics=seen.statistics, moments=seen.moments)


def _so_far(setup: Setup, settings: Settings, net: nn.Module, curve: tuple[Epoch, ...]) -> Checkpoint:
    """The network as it is after the epochs of `curve`, without statistics."""
    start = setup.start
    return Checkpoint(
        spec=start.spec,
        classes=start.outputs,
        preprocess=start.preprocess,
        split=setup.rule,
        tensors=net.state_dict(),
        history=(*_past(setup), _entry(setup, settings, curve)),
        training=curve,
        masks=_masks(setup),
    )


def learning_curve(trained: Checkpoint, model: str, label: str | None) -> bytes:
    """Loss and accuracy per epoch, of which there must be one, as a line (schema emoprune.training/1)."""
    record = {"schema": TRAINING_SCHEMA, **dataclasses.asdict(LearningCurve(model, trained.training, label))}
    return (json.dumps(record) + "\n").encode()


def _masks(setup: Setup) -> Mapping[str, Tensor]:
    return setup.past.masks if setup.past else {}


def _past(setup: Setup) -> tuple[HistoryEntry, ...]:
    return setup.past.history if setup.past else ()


def _entry(setup: Setup, settings: Settings, curve: tuple[Epoch, ...]) -> HistoryEntry:
    parameters = {
        "data": settings.data,
        "weights": settings.start,
        "preset": settings.preset,
        "freeze": settings.freeze,
        "scale": _past(setup)[0].parameters.get("scale") if setup.past else settings.scale,
        "overfit": settings.overfit,
        **dataclasses.asdict(setup.recipe),
    }
    return checkpoint.entry("train", parameters, dataclasses.asdict(curve[-1]) if curve else {})


def _tell_learned(settings: Settings, curve: tuple[Epoch, ...]) -> None:
    """Whether the few samples of a sanity check were learned by heart (wright2019, section 4.1)."""
    if not settings.overfit or not curve or curve[-1].train_accuracy is None:
        return
    first = next((epoch.index for epoch in curve if (epoch.train_accuracy or 0) >= LEARNED), None)
    if first is None:
        best = max(epoch.train_accuracy or 0 for epoch in curve)
        events.warn(f"{settings.overfit} samples are not learned: at best {best:.1%} of them")
    else:
        events.note(f"{settings.overfit} samples are learned by epoch {first}")


def _run(
    net: nn.Module, setup: Setup, settings: Settings, device: torch.device
) -> tuple[tuple[Epoch, ...], tuple[HiddenLayer, ...], Collector]:
    recipe, spec, samples = setup.recipe, setup.start.spec, setup.start.samples
    frozen = settings.freeze == "backbone"
    learned = len(setup.parts["train"])
    if (
        recipe.epochs
        and min(recipe.batch_size or learned, learned) == 1
        and not frozen
        and any(map(_is_batch_norm, net.modules()))
    ):
        raise UsageFault("batch norm cannot learn from one sample", "give --batch-size 2 or more")
    graph = channel_graph(build.blueprint(spec), spec.input)
    layers = graph.layers
    _read_the_rest(samples, setup.parts)
    feed = whole = _Feed(net, "", samples, dict(setup.parts), setup.start.preprocess, _masks(setup))
    if frozen:
        freeze_all_but_head(net)
        layers = tuple(layer for layer in layers if layer.name.startswith(f"{head_name(net)}."))
        if recipe.augment:
            events.note("with --augment the frozen backbone has to run in every epoch")
        else:
            feed = _head_alone(whole, device)
    curve = _fit(feed, recipe, device, task=task_of(spec.arch))
    train = feed.parts["train"]
    inputs = events.tracked(
        batches(feed.samples, train, feed.preprocess, device), "statistics", len(train), steps=len
    )
    seen = collect(feed.net, graph, layers, inputs if layers else (), prefix=feed.prefix)
    size = sum(entry.gram.nbytes for entry in seen.statistics.values())
    size += sum(entry.covariance.nbytes // 2 for entry in seen.moments.values())
    if size > NOTABLE_BYTES:
        found = events.counted(len(layers), "layer")
        events.note(f"the statistics of {found} take {size / 2**20:,.0f} MB of the checkpoint")
    return curve, layers, seen


def _read_the_rest(samples: Samples, parts: Mapping[str, Tensor]) -> None:
    """Read what training will not: a picture that cannot be evaluated later is to be refused now."""
    for chunk in parts["test"].split(READING_BATCH) if "test" in parts else ():
        samples.batch(chunk)


def _is_batch_norm(module: nn.Module) -> bool:
    return isinstance(module, nn.modules.batchnorm._BatchNorm)


@dataclass(frozen=True)
class _Feed:
    """A network, or the head of one, and what to feed it; `prefix` is the head's name with a dot.

    `masks` are by the names of the whole network.
    """

    net: nn.Module
    prefix: str
    samples: Samples
    parts: dict[str, Tensor]
    preprocess: Preprocess
    masks: Mapping[str, Tensor]


def _head_alone(whole: _Feed, device: torch.device) -> _Feed:
    """The head of a network and the features it reads, of the parts that training looks at."""
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


def _fit(feed: _Feed, recipe: Recipe, device: torch.device, *, task: Task) -> tuple[Epoch, ...]:
    curve = []
    masks = {
        name.removeprefix(feed.prefix): mask
        for name, mask in feed.masks.items()
        if name.startswith(feed.prefix)
    }
    epochs = fit(feed.net, feed.samples, feed.parts, feed.preprocess, recipe, device, task=task, masks=masks)
    with events.progress("train", recipe.epochs) as advance:
        for epoch in epochs:
            advance(text=_line(epoch))
            curve.append(epoch)
    return tuple(curve)


def _line(epoch: Epoch) -> str:
    """One epoch as people watch it."""

    def part(loss: float, accuracy: float | None) -> str:
        return f"{loss:.3f}" if accuracy is None else f"{loss:.3f}, {accuracy:.1%}"

    text = f"loss {part(epoch.train_loss, epoch.train_accuracy)}"
    return text if epoch.val_loss is None else f"{text}; val {part(epoch.val_loss, epoch.val_accuracy)}"
