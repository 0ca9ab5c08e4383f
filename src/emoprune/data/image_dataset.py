"""Pictures of a data set as samples of a network."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from emoprune.data.types import Preprocess

CACHE_BYTES = 2 * 1024**3
"""Decoded pictures of a data set are kept in memory up to this size."""


def to_array(image: Image.Image, preprocess: Preprocess) -> Tensor:
    """An RGB picture resized to the preprocess's size and color: (channels, height, width) uint8.

    Shrinking averages over all source pixels. Gray pictures are repeated where three channels are wanted.
    """
    height, width = preprocess.size
    if preprocess.color == "gray":
        image = image.convert("L")
    if image.size != (width, height):
        image = image.resize((width, height), Image.Resampling.BILINEAR)
    pixels = torch.from_numpy(np.array(image))
    planes = pixels[None] if pixels.ndim == 2 else pixels.permute(2, 0, 1)
    return planes.expand(preprocess.channels, -1, -1).contiguous()


class Photos:
    """Pictures of a data set as samples, decoded in threads and kept while all fit in memory.

    `picture` returns the one at an index as RGB; it runs in several threads at once.
    """

    def __init__(
        self, picture: Callable[[int], Image.Image], labels: Sequence[int] | Tensor, preprocess: Preprocess
    ) -> None:
        self.labels = torch.as_tensor(labels, dtype=torch.int64)
        self._source = picture
        self._preprocess = preprocess
        self._fits = len(labels) * preprocess.channels * math.prod(preprocess.size) <= CACHE_BYTES
        self._cache: dict[int, Tensor] = {}
        self._pool = ThreadPoolExecutor(os.cpu_count() or 1)

    def batch(self, indices: Tensor) -> Tensor:
        """The pictures at `indices`, (n, channels, height, width) uint8; BadImage for a broken file."""
        return torch.stack(list(self._pool.map(self._picture, indices.tolist())))

    def _picture(self, index: int) -> Tensor:
        if index in self._cache:
            return self._cache[index]
        found = to_array(self._source(index), self._preprocess)
        if self._fits:
            self._cache[index] = found
        return found


def to_input(batch: Tensor, preprocess: Preprocess) -> Tensor:
    """Raw samples as the network takes them: (n, channels, height, width) or (n, features) float32."""
    if preprocess.kind == "table":
        return batch.float()
    return standardize(unit_scale(batch), preprocess)


def unit_scale(images: Tensor) -> Tensor:
    """uint8 images as float32 in 0..1."""
    return images.float() / 255


def standardize(images: Tensor, preprocess: Preprocess) -> Tensor:
    """(x - mean) / std per channel, for images in 0..1; gray images are repeated where the mean has three."""
    mean = torch.tensor(preprocess.mean, device=images.device)[:, None, None]
    std = torch.tensor(preprocess.std, device=images.device)[:, None, None]
    return (images - mean) / std
