"""Network input and initial weights from settings: sizes, scaling, pre-trained files."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from typing import Protocol

import torch
from torch import Tensor, nn

from emoprune import events
from emoprune.choices import Source
from emoprune.data.datasets import Data
from emoprune.data.formats.image_folders import Folder
from emoprune.data.types import LARGEST_SIDE, Preprocess, Table
from emoprune.errors import BadCheckpoint, UsageFault, at
from emoprune.networks import build
from emoprune.networks.registry import architecture
from emoprune.networks.sources import facenet_networks, timm_networks, torchvision_networks
from emoprune.networks.types import Card, PictureInput, Spec
from emoprune.networks.weights import pretrained as weights_files
from emoprune.networks.weights.adoption import Adoption, adopt
from emoprune.networks.weights.pretrained import Weights

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class Publisher(Protocol):
    """What a library that publishes weights is asked for."""

    def published(self, spec: Spec, weights: str, *, progress: bool) -> dict[str, Tensor]:
        """The tensors of the weights with that name; Unavailable if they cannot be had."""

    def pictures(self, arch: str, weights: str) -> PictureInput | None:
        """The pictures that weights were trained for, as far as that is known; a name, a file, or "none"."""


PUBLISHERS: Mapping[Source, Publisher] = {
    "torchvision": torchvision_networks,
    "facenet": facenet_networks,
    "timm": timm_networks,
}


def preprocess(
    data: Data,
    arch: str,
    size: str | None,
    *,
    gray: bool,
    mean: str | None,
    std: str | None,
    weights: str = "none",
) -> Preprocess:
    """How samples of `data` become input of `arch`; UsageFault for an impossible size, mean or std.

    What is None is as published `weights` were trained, or else the architecture's own.
    """
    if isinstance(data, Table):
        return Preprocess(kind="table", fills=True, label=architecture(arch).task == "reconstruct")
    entry = architecture(arch)
    usual_size, usual_mean, usual_std = _usual_input(arch, weights)
    channels = 1 if gray and entry.takes_gray else 3
    return Preprocess(
        kind="image",
        size=parse_size(size) if size else usual_size,
        color="gray" if gray else "rgb",
        mean=_per_channel("mean", mean, usual_mean, channels),
        std=_per_channel("std", std, usual_std, channels),
        crop=data.crop if isinstance(data, Folder) else None,
    )


def _usual_input(arch: str, weights: str) -> PictureInput:
    """Size, mean and deviation of pictures where none are asked for."""
    entry = architecture(arch)
    if entry.takes_gray:
        return entry.size, (0.5,), (0.5,)
    published = PUBLISHERS[entry.source].pictures(arch, weights)
    return published or (entry.size, IMAGENET_MEAN, IMAGENET_STD)


def note_usual_input(arch: str, weights: str, size: str | None, *, mean: str | None, std: str | None) -> None:
    """Note where published `weights` bring a size, mean or deviation that is not the usual one of `arch`."""
    names = {"size": size, "mean": mean, "std": std}
    pairs = zip(names, _usual_input(arch, weights), _usual_input(arch, "none"), strict=True)
    taken = [
        f"`{name}={_written(name, own)}`" for name, own, usual in pairs if not names[name] and own != usual
    ]
    if taken:
        whose = "the ImageNet weights" if weights == "imagenet" else f"the weights in {weights}"
        events.note(f"{whose} of {arch} were trained with {' '.join(taken)}, so it is taken")


def _written(name: str, values: Sequence[float]) -> str:
    """Values as the argument of that name says them."""
    texts = [f"{value:g}" for value in values]
    return texts[0] if len(set(values)) == 1 else ("x" if name == "size" else ",").join(texts)


def input_shape(data: Data, preprocess: Preprocess) -> tuple[int, ...]:
    """(features,) or (channels, height, width)."""
    if isinstance(data, Table):
        return (len(data.columns) + preprocess.label,)
    return (preprocess.channels, *preprocess.size)


def parse_size(text: str) -> tuple[int, int]:
    """Height and width from "224" or "576x720"; UsageFault for anything else."""
    sides = text.lower().split("x")
    if len(sides) not in (1, 2) or not all(side.isdecimal() and int(side) for side in sides):
        raise UsageFault(f"`size={text}` is not a size", "write 224, or 576x720 for height and width")
    height, width = int(sides[0]), int(sides[-1])
    if max(height, width) > LARGEST_SIDE:
        raise UsageFault(f"`size={text}` is too large", f"give at most {LARGEST_SIDE} pixels a side")
    return height, width


def _per_channel(name: str, text: str | None, usual: tuple[float, ...], channels: int) -> tuple[float, ...]:
    try:
        values = usual if text is None else tuple(float(number) for number in text.split(","))
    except ValueError:
        values = ()
    if not values or not all(map(math.isfinite, values)) or (name == "std" and min(values) <= 0):
        raise UsageFault(f"`{name}={text}` is not a list of numbers", "write 0.5, or three as 0.5,0.4,0.3")
    if len(values) not in (1, channels):
        raise UsageFault(
            f"`{name}` has {len(values)} numbers for {channels} channels", "give one or one each"
        )
    return values * (channels // len(values))


def pretrained(
    spec: Spec,
    weights: str,
    *,
    seed: int,
    classes: Sequence[str] = (),
    rows: Sequence[str] = (),
    preprocess: Preprocess | None = None,
) -> tuple[nn.Module, Adoption | None]:
    """The network of `spec`, initialized from `seed`, then filled with `weights`.

    `weights` is a name of published ones, "none" or a path. `classes` are those of the network, `rows` those
    of the weights, as `adopt` takes them. Also returns what the weights have filled, None for "none". A note
    says where a checkpoint was trained with another `preprocess`. Raises BadCheckpoint for weights of another
    network, UsageFault for `rows` that do not fit.
    """
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        net = build.build(spec)
    if weights == "none":
        return net, None
    entry = architecture(spec.arch)
    if weights in entry.weights:
        tensors = PUBLISHERS[entry.source].published(spec, weights, progress=sys.stderr.isatty())
        found = Weights(weights, tensors)
    else:
        found = weights_files.read(weights)
    with at(weights):
        if found.card is not None:
            _check_card(found.card, spec, classes, preprocess, place=weights)
        return net, adopt(net, found, own_head=bool(spec.hidden), classes=classes, rows=rows)


def _check_card(
    card: Card, spec: Spec, classes: Sequence[str], preprocess: Preprocess | None, *, place: str
) -> None:
    """Raise BadCheckpoint for a network of other widths or columns; note other pictures."""
    if card.spec.widths:
        fact = f"is a pruned {card.spec.arch}, narrower than {spec.arch}"
        raise BadCheckpoint(fact, "train it on as it is: `past`")
    if architecture(spec.arch).task == "reconstruct" and card.classes != tuple(classes):
        fact = f"reconstructs other columns ({', '.join(card.classes)})"
        raise BadCheckpoint(fact, "give a table that has them in that order")
    read = card.preprocess
    if preprocess is None or read.kind == "table" or preprocess.kind == "table":
        return
    pairs = {"size": (read.size, preprocess.size), "mean": (read.mean, preprocess.mean)}
    pairs |= {"std": (read.std, preprocess.std)}
    other = [f"`{name}={_written(name, theirs)}`" for name, (theirs, ours) in pairs.items() if theirs != ours]
    if read.color != preprocess.color:
        other.append(f"{read.color} pictures")
    if other:
        events.note(f"{place} was trained with {', '.join(other)}, unlike this network")
