"""Samples in batches of network input."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from emoprune.data.image_dataset import to_input
from emoprune.data.types import Preprocess, Samples

READING_BATCH = 64
"""Samples per forward pass outside training; the size changes speed, not results."""


@dataclass(frozen=True)
class TensorSamples:
    """Samples in memory: table rows, or features computed once."""

    values: Tensor
    labels: Tensor

    def batch(self, indices: Tensor) -> Tensor:
        """The rows at `indices`."""
        return self.values[indices]


def spread(count: int, most: int) -> Tensor:
    """Up to `most` of so many indices, evenly spread, the first and the last among them."""
    return torch.linspace(0, count - 1, min(count, most)).round().long()


def batches(
    samples: Samples, indices: Tensor, preprocess: Preprocess, device: torch.device
) -> Iterator[Tensor]:
    """Network inputs of the samples at `indices`, in order, a batch at a time."""
    for chunk in indices.split(READING_BATCH):
        yield to_input(samples.batch(chunk).to(device), preprocess)
