"""Training batches: which samples, and changed how.

All of it follows from the seed, the epoch and the step, so that a training can go on at any step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor

from emoprune.choices import Balance
from emoprune.data.augmentation import parse_augmentations
from emoprune.data.image_dataset import standardize, to_input, unit_scale
from emoprune.data.randomness import drawing_from
from emoprune.data.types import Preprocess, Samples
from emoprune.data.warping import augment
from emoprune.training.config import TrainConfig
from emoprune.training.feature_bank import FeatureBank


def epoch_order(train: Tensor, labels: Tensor, *, balance: Balance, generator: torch.Generator) -> Tensor:
    """The indices `train` in the order of an epoch.

    With the "sampler" they are as many again, drawn so that each class comes up equally often.
    """
    if balance != "sampler":
        return train[torch.randperm(len(train), generator=generator)]
    weights = class_weights(labels[train])[labels[train]]
    return train[torch.multinomial(weights, len(train), replacement=True, generator=generator)]


def class_weights(labels: Tensor, classes: int | None = None) -> Tensor:
    """A weight for each class, inverse to how many samples it has; 1 on average over samples."""
    counts = torch.bincount(labels, minlength=classes or 0)
    present = int((counts > 0).sum())
    return torch.where(counts > 0, len(labels) / (present * counts.clamp(min=1)), 0.0)


def training_batches(indices: Tensor, batch_size: int) -> Sequence[Tensor]:
    """`indices` in chunks; a last chunk of one joins the one before, as batch norm cannot learn from one."""
    chunks = list(indices.split(batch_size or len(indices)))
    if len(chunks) > 1 and len(chunks[-1]) == 1:
        chunks[-2:] = [torch.cat(chunks[-2:])]
    return chunks


@dataclass(frozen=True)
class Batch:
    """Input of the network, its targets, and the pictures in 0..1 that the input was made of.

    `targets` are class indices (n,) or, of mixed samples, fractions (n, classes). `pictures` is None for
    what is not made of pictures.
    """

    inputs: Tensor
    targets: Tensor
    pictures: Tensor | None


@dataclass(frozen=True)
class BatchMaker:
    """Reads samples and changes them as a config asks for."""

    samples: Samples
    preprocess: Preprocess
    config: TrainConfig
    classes: int
    device: torch.device

    def __call__(self, chunk: Tensor, generator: torch.Generator) -> Batch:
        """The samples at `chunk` with changes drawn from `generator`."""
        if isinstance(self.samples, FeatureBank):
            raw = self.samples.draw(chunk, generator).to(self.device)
        else:
            raw = self.samples.batch(chunk).to(self.device)
        targets = self.samples.labels[chunk].to(self.device)
        if self.preprocess.kind == "table":
            inputs, targets = self._mixed(to_input(raw, self.preprocess), targets, generator)
            return Batch(inputs, targets, None)
        strengths = parse_augmentations(self.config.augment)
        pictures = augment(unit_scale(raw), strengths, generator=generator, fill=self.preprocess.mean)
        pictures, targets = self._mixed(pictures, targets, generator)
        return Batch(standardize(pictures, self.preprocess), targets, pictures)

    def _mixed(self, inputs: Tensor, labels: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Samples mixed in pairs by `mixup` or `cutmix`, with the fractions of their classes."""
        mixup, cutmix = self.config.mixup, self.config.cutmix
        if not (mixup or cutmix) or self.classes < 2:
            return inputs, labels
        # takes as long to import as torch itself
        from torchvision.transforms import v2

        ways = [
            way(alpha=alpha, num_classes=self.classes)
            for way, alpha in ((v2.MixUp, mixup), (v2.CutMix, cutmix))
            if alpha
        ]
        way = ways[int(torch.randint(len(ways), (), generator=generator))]
        # it takes pictures alone
        shaped = inputs[..., None, None] if inputs.ndim == 2 else inputs
        with drawing_from(generator):
            mixed, targets = cast(tuple[Tensor, Tensor], way(shaped, labels))
        return mixed.reshape(inputs.shape), targets
