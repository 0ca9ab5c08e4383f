"""Features of a frozen backbone, computed once: of each picture as it is, and of changed copies."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from emoprune import events
from emoprune.data.augmentation import parse_augmentations
from emoprune.data.image_dataset import shared_tensor, standardize, unit_scale
from emoprune.data.loader import READING_BATCH, batches
from emoprune.data.randomness import generator_at
from emoprune.data.types import Preprocess, Samples
from emoprune.data.warping import augment
from emoprune.errors import BadCheckpoint, TooLarge, at
from emoprune.io import files, safetensors_files
from emoprune.io.array_files import mapped_array
from emoprune.networks.build import features
from emoprune.networks.statistics.activation_statistics import Collector
from emoprune.training.config import TrainConfig

VIEWS = 2**31
"""Where the generators of views begin, beyond those of epochs."""


@dataclass(frozen=True)
class FeatureBank:
    """Samples of a head: `values` (samples, features...) of the pictures as they are.

    `views` (training samples, views, features...) are those of changed copies, None without any; `places`
    are the rows of samples in it.
    """

    values: Tensor
    labels: Tensor
    views: Tensor | None = None
    places: Tensor | None = None

    def batch(self, indices: Tensor) -> Tensor:
        """Features of the pictures at `indices` as they are."""
        return self.values[indices]

    def draw(self, indices: Tensor, generator: torch.Generator) -> Tensor:
        """Features of one changed copy of each picture at `indices`, if there are copies."""
        if self.views is None or self.places is None:
            return self.batch(indices)
        drawn = torch.randint(self.views.shape[1], (len(indices),), generator=generator)
        return self.views[self.places[indices], drawn]


@dataclass(frozen=True)
class Backbone:
    """A frozen network, and how pictures become its input; `dtype` is that of products, None float32.

    `key` says which it is: networks and pictures with the same key have the same features.
    """

    net: nn.Module
    preprocess: Preprocess
    device: torch.device
    dtype: torch.dtype | None
    key: str

    def features(self, inputs: Tensor, *, exact: bool) -> Tensor:
        """The input of the head, float32 on the CPU."""
        fast = self.dtype is not None and not exact
        with torch.no_grad(), torch.autocast(self.device.type, self.dtype, enabled=fast):
            return features(self.net.eval(), inputs.to(self.device)).float().cpu()


def feature_bank(
    backbone: Backbone,
    samples: Samples,
    parts: Mapping[str, Tensor],
    config: TrainConfig,
    *,
    limit: int,
    seen: Collector,
) -> tuple[FeatureBank, dict[str, Tensor]]:
    """The bank of the samples in `parts`, and the indices of these parts in it.

    "train" gets `views` changed copies of each sample, if `augment` asks for any. `seen` takes what the
    layers of the backbone read of "train" as it is. With `cache_dir` all this is in files there, which a
    later call for the same features reads instead. Raises TooLarge for more than `limit` bytes without it.
    """
    strengths = parse_augmentations(config.augment)
    views = config.views if strengths and config.views > 1 else 0
    ordered = {part: parts[part] for part in ("train", "val") if part in parts}
    train, indices = ordered["train"], torch.cat([*ordered.values()])
    first = next(batches(samples, train[:1], backbone.preprocess, backbone.device))
    probe = backbone.features(first, exact=True)
    shape, copies = (len(indices), *probe.shape[1:]), (len(train), views, *probe.shape[1:])
    needed = 4 * (math.prod(shape) + math.prod(copies))
    if config.cache_dir is None and needed > limit:
        fact = f"the features take {needed / 1e9:.3g} GB, and {limit / 1e9:.3g} GB may be taken"
        raise TooLarge(fact, "give `cache_dir`, fewer `views`, or more `memory`")

    reader = _Reader(backbone, samples, ordered, config.seed)
    chosen = {part: places.tolist() for part, places in ordered.items()}
    # the features of one picture stand for code that the key does not know, as of a user's network
    probed = probe.numpy().tobytes()
    key = _digest(backbone.key, chosen, [each.name for each in seen.layer_inputs], probed)
    folder = None if config.cache_dir is None else files.made_folder(config.cache_dir)
    known = None if folder is None else folder / f"statistics-{key}.st"

    def as_they_are(rows: NDArray[Any]) -> None:
        reader.read(rows, seen)
        if known is not None:
            # before the features, so that where those are these are too
            files.write_bytes(known, safetensors.torch.save(seen.tensors()), force=True)

    values = _made(folder, f"features-{key}.npy", shape, as_they_are)
    if known is not None:
        with at(str(known)):
            seen.restore(safetensors_files.load(files.read_bytes(str(known), fault=BadCheckpoint))[0])
    labels = samples.labels[indices]
    found = dict(zip(ordered, torch.arange(len(indices)).split([*map(len, ordered.values())]), strict=True))
    if not views:
        return FeatureBank(values, labels), found
    changes = _digest(key, strengths, views, config.seed, backbone.dtype)
    made = _made(
        folder, f"views-{changes}.npy", copies, lambda rows: reader.read_changed(rows, strengths, views)
    )
    places = torch.full((len(indices),), -1)
    places[: len(train)] = torch.arange(len(train))
    return FeatureBank(values, labels, made, places), found


@dataclass(frozen=True)
class _Reader:
    """Reads the features of samples in `parts` into arrays."""

    backbone: Backbone
    samples: Samples
    parts: Mapping[str, Tensor]
    seed: int

    def read(self, rows: NDArray[Any], seen: Collector) -> None:
        """Features of pictures as they are, part by part; `seen` watches those of "train"."""
        backbone, start = self.backbone, 0
        for part, chosen in self.parts.items():
            inputs = batches(self.samples, chosen, backbone.preprocess, backbone.device)
            with seen.watching(backbone.net) if part == "train" else nullcontext():
                for batch in events.tracked(inputs, f"features of {part}", len(chosen), steps=len):
                    rows[start : start + len(batch)] = backbone.features(batch, exact=True).numpy()
                    start += len(batch)
        seen.finish()

    def read_changed(self, rows: NDArray[Any], strengths: Mapping[str, float], views: int) -> None:
        """Features of changed copies of "train"."""
        backbone, train = self.backbone, self.parts["train"]
        with events.progress("features of changed copies", views * len(train)) as advance:
            for number, chunk in enumerate(train.split(READING_BATCH)):
                start = number * READING_BATCH
                raw = unit_scale(self.samples.batch(chunk).to(backbone.device))
                for view in range(views):
                    generator, fill = generator_at(self.seed, VIEWS, number, view), backbone.preprocess.mean
                    pictures = augment(raw, strengths, generator=generator, fill=fill)
                    inputs = standardize(pictures, backbone.preprocess)
                    rows[start : start + len(chunk), view] = backbone.features(inputs, exact=False).numpy()
                    advance(len(chunk))


def _made(
    folder: Path | None, name: str, shape: tuple[int, ...], fill: Callable[[NDArray[Any]], None]
) -> Tensor:
    """An array that `fill` writes, or that an earlier call has left in the folder."""
    if folder is None:
        array = np.empty(shape, np.float32)
        fill(array)
        return torch.from_numpy(array)
    return shared_tensor(mapped_array(folder / name, shape, np.float32, fill))


def _digest(*parts: object) -> str:
    """Few letters that stand for these parts alone."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]
