"""Averages over rectangles of a photo from its summed-area table (Crow 1984, section 2).

They equal torch's `interpolate(mode="area")` to the last bit: sums of whole numbers are exact in either, and
the divisions are the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Indices = NDArray[np.int64]
Words = NDArray[Any]
"""int64 or int32, with a leading axis of planes: see `Packing`."""

CHANNELS = 3
STRIP_PIXELS = 1_000_000
"""Larger photos are read in strips of so many pixels; bounds the memory of their tables."""


@dataclass(frozen=True)
class Packing:
    """How sums of three channels are packed in integers: `lanes` of them in a word, `bits` each.

    Tables may overflow: additions and subtractions wrap alike, so the sum over a rectangle is right as long
    as it fits its lane.
    """

    dtype: type[np.signedinteger[Any]]
    lanes: int
    bits: int

    @property
    def largest(self) -> int:
        """Pixels of the largest rectangle whose sums fit."""
        return int(2**self.bits - 1) // 255

    def pack(self, pixels: NDArray[np.uint8]) -> Words:
        """Pixels (rows, columns, 3) as words (planes, rows, columns)."""
        if self.lanes == 1:
            return pixels.transpose(2, 0, 1).astype(self.dtype, order="C")
        words = pixels[..., CHANNELS - 1].astype(self.dtype)
        for channel in reversed(range(CHANNELS - 1)):
            words <<= self.bits
            words |= pixels[..., channel]
        return words[None]

    def zeros(self, *shape: int) -> Words:
        """Words (planes, *shape) of zeros."""
        return np.zeros((CHANNELS // self.lanes, *shape), dtype=self.dtype)

    def unpack(self, words: Words) -> NDArray[np.float32]:
        """Sums (..., 3) of words (planes, ...)."""
        sums = np.empty((*words.shape[1:], CHANNELS), dtype=np.float32)
        for channel in range(CHANNELS):
            lane = words[channel // self.lanes] >> (channel % self.lanes * self.bits)
            sums[..., channel] = lane & (2**self.bits - 1)
        return sums


NARROW = Packing(np.int64, lanes=3, bits=21)
"""Takes a third of the memory accesses; for rectangles that are not too large."""
WIDE = Packing(np.int32, lanes=1, bits=31)


@dataclass(frozen=True)
class Strip:
    """Rows of a table: `table[:, r - top, c]` sums all pixels above row r and left of column c.

    `table` is (planes, bottom - top + 1, width + 1): it includes the rows on both ends.
    """

    top: int
    bottom: int
    table: Words


@dataclass(frozen=True)
class AreaSums:
    """The summed-area table of an RGB photo, strip by strip.

    `largest` is the number of pixels of the largest rectangle to be summed.
    """

    image: Image.Image
    largest: int
    strip_pixels: int = STRIP_PIXELS

    @property
    def packing(self) -> Packing:
        """How the sums lie in the words of the tables."""
        return NARROW if self.largest <= NARROW.largest else WIDE

    def strips(self, top: int = 0, bottom: int | None = None) -> Iterator[Strip]:
        """The table of the rows from `top` to `bottom`, or more, downwards in strips.

        Each strip begins with the last row of the one before. A strip that holds the whole photo is made
        once; of several strips each overwrites the one before.
        """
        width, height = self.image.size
        if width * height <= self.strip_pixels:
            yield self._whole
            return
        bottom = height if bottom is None else bottom
        rows = max(1, self.strip_pixels // width)
        table = self._blank(rows)
        for first in range(top, bottom, rows):
            strip = self._strip(first, min(first + rows, bottom), table)
            yield strip
            table[:, 0] = strip.table[:, -1]

    @cached_property
    def _whole(self) -> Strip:
        return self._strip(0, self.image.height, self._blank(self.image.height))

    def _blank(self, rows: int) -> Words:
        return self.packing.zeros(rows + 1, self.image.width + 1)

    def _strip(self, top: int, bottom: int, table: Words) -> Strip:
        """The strip of these rows in `table`, whose first row sums all rows above."""
        width, height = self.image.size
        whole = (top, bottom) == (0, height)
        pixels = np.asarray(self.image if whole else self.image.crop((0, top, width, bottom)))
        table = table[:, : bottom - top + 1]
        words = self.packing.pack(pixels)
        np.cumsum(words, axis=2, out=words)
        words[:, 0] += table[:, 0, 1:]
        np.cumsum(words, axis=1, out=table[:, 1:, 1:])
        return Strip(top, bottom, table)


def spans(source: Indices | int, target: int) -> tuple[Indices, Indices]:
    """Where each of `target` cells begins and ends in a line of `source` pixels: (..., target) twice.

    Cells begin at floor(i * source / target) and end at ceil((i + 1) * source / target), so neighbors may
    share a pixel.
    """
    index = np.arange(target)
    source = np.asarray(source)[..., None]
    return index * source // target, -(-(index + 1) * source // target)


def averages(sums: NDArray[np.float32], heights: Indices, widths: Indices) -> NDArray[np.float32]:
    """Sums (..., rows, columns, 3) over cells of heights (..., rows) and widths (..., columns), in place."""
    sums /= heights.astype(np.float32)[..., :, None, None]
    sums /= widths.astype(np.float32)[..., None, :, None]
    return sums


def normalized(pixels: NDArray[np.float32]) -> NDArray[np.float32]:
    """Pixels of 0 to 255 as MTCNN takes them, about -1 to 1, in place."""
    pixels -= 127.5
    pixels *= 1 / 128
    return pixels
