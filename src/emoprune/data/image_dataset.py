"""Pictures of a data set as samples of a network."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from emoprune import events
from emoprune.data.types import Preprocess
from emoprune.io.array_files import mapped_array


@dataclass(frozen=True)
class Kept:
    """Where the decoded pictures of a data set are kept: in memory up to `most` bytes, or in `file`."""

    most: int
    file: Path | None = None


IN_MEMORY = Kept(2 * 1024**3)


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
    """Pictures of a data set as samples, decoded in threads, and only once if they can be kept.

    `picture` returns the one at an index as RGB; it runs in several threads at once. In a file all of them
    are kept: decoded into it first, or found there from an earlier run. Where they would take too much
    memory, and there is no file, a note says that they are decoded whenever they are read.
    """

    def __init__(
        self,
        picture: Callable[[int], Image.Image],
        labels: Sequence[int] | Tensor,
        preprocess: Preprocess,
        *,
        kept: Kept = IN_MEMORY,
    ) -> None:
        self.labels = torch.as_tensor(labels, dtype=torch.int64)
        self.picture = picture
        self._preprocess = preprocess
        self._shape = (len(labels), preprocess.channels, *preprocess.size)
        self._pool = ThreadPoolExecutor(os.cpu_count() or 1)
        self._pixels: Tensor | None = None
        self._decoded = torch.zeros(len(labels), dtype=torch.bool)
        if kept.file is not None:
            self._pixels = shared_tensor(mapped_array(kept.file, self._shape, np.uint8, self._decode_all))
            self._decoded[:] = True
        elif math.prod(self._shape) <= kept.most:
            # pages that nothing is written to take no memory
            self._pixels = torch.empty(self._shape, dtype=torch.uint8)
        else:
            size = f"{math.prod(self._shape) / 1e9:.3g} GB of pictures do not fit in memory"
            events.note(f"{size}: they are decoded in every epoch; `cache_dir` keeps them on disk")

    def batch(self, indices: Tensor) -> Tensor:
        """The pictures at `indices`, (n, channels, height, width) uint8; BadImage for a broken file."""
        if self._pixels is None:
            return torch.stack(list(self._pool.map(self._picture, indices.tolist())))
        missing = indices[~self._decoded[indices]].unique()
        for index, pixels in zip(missing, self._pool.map(self._picture, missing.tolist()), strict=True):
            self._pixels[index] = pixels
            self._decoded[index] = True
        return self._pixels[indices]

    def _picture(self, index: int) -> Tensor:
        return to_array(self.picture(index), self._preprocess)

    def _decode_all(self, pixels: NDArray[Any]) -> None:
        found = events.tracked(self._pool.map(self._picture, range(len(pixels))), "decode", len(pixels))
        for index, picture in enumerate(found):
            pixels[index] = picture.numpy()


def shared_tensor(array: NDArray[Any]) -> Tensor:
    """A tensor with the memory of an array that nothing writes to, such as a file that is mapped."""
    with warnings.catch_warnings():
        # torch has no tensors that cannot be written to, and says so
        warnings.simplefilter("ignore", UserWarning)
        return torch.from_numpy(array)


def to_input(batch: Tensor, preprocess: Preprocess) -> Tensor:
    """Raw samples as the network takes them: (n, channels, height, width) or (n, features) float32."""
    if preprocess.kind == "table":
        return batch.float()
    return standardize(unit_scale(batch), preprocess)


def to_pictures(batch: Tensor, preprocess: Preprocess) -> Tensor:
    """The pictures, (n, height, width, 3) uint8, that `to_input` made a batch of network input of."""
    mean, std = (torch.tensor(each)[:, None, None] for each in (preprocess.mean, preprocess.std))
    pixels = (255 * (batch.cpu() * std + mean)).round().clamp(0, 255).byte()
    return pixels.expand(-1, 3, -1, -1).permute(0, 2, 3, 1)


def unit_scale(images: Tensor) -> Tensor:
    """uint8 images as float32 in 0..1."""
    return images.float() / 255


def standardize(images: Tensor, preprocess: Preprocess) -> Tensor:
    """(x - mean) / std per channel, for images in 0..1; gray images are repeated where the mean has three."""
    mean = torch.tensor(preprocess.mean, device=images.device)[:, None, None]
    std = torch.tensor(preprocess.std, device=images.device)[:, None, None]
    return (images - mean) / std
