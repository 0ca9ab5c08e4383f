"""From raw samples to network input."""

from __future__ import annotations

import torch
from torch import Tensor

from emoprune.data.types import Preprocess


def to_input(batch: Tensor, preprocess: Preprocess) -> Tensor:
    """Raw samples as the network takes them: (n, channels, height, width) or (n, features) float32."""
    if preprocess.kind == "table":
        return batch.float()
    return standardise(unit_scale(batch), preprocess)


def unit_scale(images: Tensor) -> Tensor:
    """uint8 images as float32 in 0..1."""
    return images.float() / 255


def standardise(images: Tensor, preprocess: Preprocess) -> Tensor:
    """(x - mean) / std per channel, for images in 0..1; grey images are repeated where the mean has three."""
    mean = torch.tensor(preprocess.mean, device=images.device)[:, None, None]
    std = torch.tensor(preprocess.std, device=images.device)[:, None, None]
    return (images - mean) / std
