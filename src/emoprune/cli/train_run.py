"""The work of emoprune train: what the options mean together, and the run itself with its progress."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from emoprune.cli import console
from emoprune.core import nets
from emoprune.core.architectures import ARCHITECTURES
from emoprune.core.fitting import READING_BATCH, Recipe, TensorSamples, batches, fit, precompute
from emoprune.core.graph import channel_graph
from emoprune.core.heads import freeze_all_but_head, head_name, head_of
from emoprune.core.splits import declared_parts, parse_shares
from emoprune.core.statistics import collect
from emoprune.errors import BadData, UsageFault
from emoprune.records import (
    Catalogue,
    Epoch,
    HiddenLayer,
    Moments,
    Preprocess,
    Samples,
    Spec,
    SplitRule,
    UnitStatistics,
)
from emoprune.records.choices import Freeze, Keep
from emoprune.records.data import FOLDERS

DEFAULT_SPLIT = "80/20"
NOTABLE_BYTES = 100 * 2**20


def split_rule(catalogue: Catalogue, split: str | None, group_by: str | None, seed: int) -> SplitRule:
    """The rule that the options ask for; UsageFault where they contradict data that is split already."""
    declared = declared_parts(catalogue.names)
    if len(set(catalogue.labels)) < 2:
        raise BadData(
            f"holds one class only ({', '.join(catalogue.classes)})",
            "give at least two",
            place=catalogue.place,
        )
    if declared and (split or group_by):
        raise UsageFault(
            f"{catalogue.place} is split into {', '.join(declared)} already",
            "leave out --split and --group-by, or give one of its parts as the data",
        )
    if declared and "train" not in declared:
        raise BadData(
            f"has {', '.join(declared)} but no train",
            "add it, or give one part as the data",
            place=catalogue.place,
        )
    if split:
        parse_shares(split)
    shares = FOLDERS if declared else split or DEFAULT_SPLIT
    return SplitRule(shares, seed, group_by, catalogue.fingerprint)


def tell_split(rule: SplitRule) -> None:
    """Say what a random split does to photos that belong together."""
    if rule.shares != FOLDERS and rule.group_by is None:
        console.note(
            "random split; where photos share a film or a person, keep them together with --group-by"
        )


def kept_epoch(keep: Keep | None, parts: Mapping[str, object]) -> Keep:
    """Best where there is a validation part to tell it, else last; UsageFault for the impossible."""
    if keep == "best" and "val" not in parts:
        raise UsageFault("--keep best needs a validation part", "give --split 75/10/15")
    return keep or ("best" if "val" in parts else "last")


def check_combination(spec: Spec, weights: str, freeze: Freeze, augment: Mapping[str, float]) -> None:
    """Raise UsageFault for options that make no sense for the architecture or the data; warn of the odd."""
    nets.check_input(spec)
    if ARCHITECTURES[spec.arch].own and weights == "imagenet":
        raise UsageFault(f"there are no ImageNet weights of {spec.arch}", "give --weights none or a file")
    if spec.arch == "mlp" and freeze == "backbone":
        raise UsageFault("mlp has no backbone to freeze", "leave out --freeze")
    if len(spec.input) == 1 and augment:
        raise UsageFault("--augment changes photos, and this is a feature table", "leave it out")
    if freeze == "backbone" and weights == "none":
        console.warn("the frozen backbone has random weights; --weights gives it learned ones")


def tell_adoption(weights: str, fresh: tuple[str, ...], *, epochs: int) -> None:
    """Say which layers `weights` does not fill, loudly where no epoch will train them either."""
    if epochs == 0 and weights == "none":
        console.warn("no weights and no epochs leave the network as drawn at random")
    elif epochs == 0 and fresh:
        console.warn(f"{weights} has no weights for {', '.join(fresh)}: without epochs they stay random")
    elif fresh:
        console.note(f"{weights} has no weights for {', '.join(fresh)}: trained from the start")


@dataclass(frozen=True)
class Trained:
    """What training leaves behind, beside the network itself."""

    curve: tuple[Epoch, ...]
    layers: tuple[HiddenLayer, ...]
    statistics: dict[str, UnitStatistics]
    moments: dict[str, Moments]


def run(
    net: nn.Module,
    spec: Spec,
    samples: Samples,
    parts: Mapping[str, Tensor],
    preprocess: Preprocess,
    recipe: Recipe,
    *,
    freeze: Freeze,
    device: torch.device,
) -> Trained:
    """Train `net` in place, then gather the statistics of its layers over the training part.

    With a frozen backbone they are those of the head, and without augmentation the head alone is run, on
    features computed once.
    """
    if recipe.batch_size == 1 and freeze == "none" and any(map(_is_batch_norm, net.modules())):
        raise UsageFault("batch norm cannot learn from one sample", "give --batch-size 2 or more")
    graph = channel_graph(nets.blueprint(spec), spec.input)
    layers = graph.layers
    _read_the_rest(samples, parts)
    whole = _Feed(net, "", samples, dict(parts), preprocess)
    feed = whole
    if freeze == "backbone":
        freeze_all_but_head(net)
        layers = tuple(layer for layer in layers if layer.name.startswith(f"{head_name(net)}."))
        if recipe.augment:
            console.note("with --augment the frozen backbone has to run in every epoch")
        else:
            feed = _head_alone(whole, device)
    curve = _fit(feed, recipe, device)
    train = feed.parts["train"]
    inputs = console.tracked(
        batches(feed.samples, train, feed.preprocess, device), "statistics", len(train), steps=len
    )
    seen = collect(feed.net, graph, layers, inputs if layers else (), prefix=feed.prefix)
    size = sum(entry.gram.nbytes for entry in seen.statistics.values())
    size += sum(entry.covariance.nbytes // 2 for entry in seen.moments.values())
    if size > NOTABLE_BYTES:
        found = console.counted(len(layers), "layer")
        console.note(f"the statistics of {found} take {size / 2**20:,.0f} MB of the checkpoint")
    return Trained(curve, layers, seen.statistics, seen.moments)


def _read_the_rest(samples: Samples, parts: Mapping[str, Tensor]) -> None:
    """Read what training will not: a picture that cannot be evaluated later is to be refused now."""
    for chunk in parts["test"].split(READING_BATCH) if "test" in parts else ():
        samples.batch(chunk)


def _is_batch_norm(module: nn.Module) -> bool:
    return isinstance(module, nn.modules.batchnorm._BatchNorm)


@dataclass(frozen=True)
class _Feed:
    """A network, or the head of one, and what to feed it; `prefix` is the head's name with a dot."""

    net: nn.Module
    prefix: str
    samples: Samples
    parts: dict[str, Tensor]
    preprocess: Preprocess


def _head_alone(whole: _Feed, device: torch.device) -> _Feed:
    """The head of a network and the features it reads, of the parts that training looks at."""
    wanted = [part for part in ("train", "val") if part in whole.parts]
    indices = torch.cat([whole.parts[part] for part in wanted])
    inputs = batches(whole.samples, indices, whole.preprocess, device)
    rows = console.tracked(precompute(whole.net, inputs), "features", len(indices), steps=len)
    values = TensorSamples(torch.cat(list(rows)), whole.samples.labels[indices])
    lengths = [len(whole.parts[part]) for part in wanted]
    places = torch.arange(len(indices)).split(lengths)
    return _Feed(
        head_of(whole.net),
        f"{head_name(whole.net)}.",
        values,
        dict(zip(wanted, places, strict=True)),
        Preprocess(kind="table"),
    )


def _fit(feed: _Feed, recipe: Recipe, device: torch.device) -> tuple[Epoch, ...]:
    curve = []
    with console.progress("train", recipe.epochs) as advance:
        for epoch in fit(feed.net, feed.samples, feed.parts, feed.preprocess, recipe, device):
            advance(text=_line(epoch))
            curve.append(epoch)
    return tuple(curve)


def _line(epoch: Epoch) -> str:
    text = f"loss {epoch.train_loss:.3f}, accuracy {epoch.train_accuracy:.1%}"
    if epoch.val_loss is None or epoch.val_accuracy is None:
        return text
    return f"{text}; val {epoch.val_loss:.3f}, {epoch.val_accuracy:.1%}"
