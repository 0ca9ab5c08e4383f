"""Network input and initial weights from settings: sizes, scaling, pre-trained files."""

from __future__ import annotations

import math
import sys

import torch
from torch import nn

from emoprune.data.datasets import Data
from emoprune.data.image_folders import Folder
from emoprune.data.types import LARGEST_SIDE, Preprocess, Table
from emoprune.errors import UsageFault, at
from emoprune.networks import build, heads
from emoprune.networks import pretrained as weights_files
from emoprune.networks.registry import ARCHITECTURES
from emoprune.networks.types import Spec

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


def preprocess(
    data: Data, arch: str, size: str | None, *, gray: bool, mean: str | None, std: str | None
) -> Preprocess:
    """How samples of `data` become input of `arch`; UsageFault for an impossible size, mean or std."""
    if isinstance(data, Table):
        return Preprocess(kind="table", fills=True, label=ARCHITECTURES[arch].task == "reconstruct")
    entry = ARCHITECTURES[arch]
    usual_mean, usual_std = ((0.5,), (0.5,)) if entry.own else (IMAGENET_MEAN, IMAGENET_STD)
    channels = 1 if gray and entry.own else 3
    return Preprocess(
        kind="image",
        size=parse_size(size) if size else entry.size,
        color="gray" if gray else "rgb",
        mean=_per_channel("mean", mean, usual_mean, channels),
        std=_per_channel("std", std, usual_std, channels),
        crop=data.crop if isinstance(data, Folder) else None,
    )


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


def pretrained(spec: Spec, weights: str, *, seed: int) -> tuple[nn.Module, tuple[str, ...]]:
    """The network of `spec`, initialized from `seed`, then filled with `weights`.

    `weights` is "imagenet", "none" or a path. Also returns the layers that they do not fill, which may be
    the output layer and our own dense hidden layers.
    """
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        net = build.build(spec)
    if weights == "none":
        return net, ()
    if weights == "imagenet":
        tensors = weights_files.imagenet_weights(spec.arch, progress=sys.stderr.isatty())
    else:
        tensors = weights_files.read(weights)
    with at(weights):
        fresh = heads.fresh_layers(net, own_head=bool(spec.hidden))
        missing = build.load_pretrained(net, tensors, fresh=fresh)
    return net, tuple(dict.fromkeys(name.rpartition(".")[0] for name in missing))
