"""A photo at smaller and smaller scales, in rows as the strips of its summed-area table come."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from emoprune.faces.mtcnn.integral_image import AreaSums, Strip, averages, normalized, spans

SMALLEST_FACE = 20
"""Side in pixels of facenet-pytorch's smallest face, and of the smallest photo that is scanned."""
FIELD = 12
"""Pixels of the square on which the first network decides."""
FACTOR = 0.709


def scales(width: int, height: int) -> list[float]:
    """The scales at which faces are searched, largest first: none below a side of 20 pixels."""
    found = []
    scale = FIELD / SMALLEST_FACE
    # the side is multiplied step by step: facenet-pytorch's own rounding
    side = min(width, height) * scale
    while side >= FIELD:
        found.append(scale)
        scale *= FACTOR
        side *= FACTOR
    return found


def largest_cell(width: int, height: int) -> int:
    """The most pixels that one pixel of any level of the pyramid averages over."""
    return int(max(1 / scale for scale in scales(width, height)) + 2) ** 2


class Level:
    """A photo of (width, height) shrunk to one scale."""

    def __init__(self, size: tuple[int, int], scale: float) -> None:
        self.scale = scale
        width, height = size
        self.shape = (int(height * scale + 1), int(width * scale + 1))
        self._tops, self._bottoms = spans(height, self.shape[0])
        self._lefts, self._rights = spans(width, self.shape[1])
        self._open: NDArray[np.signedinteger] | None = None
        self._done = 0

    @property
    def complete(self) -> bool:
        """Whether all rows have been given."""
        return self._done == self.shape[0]

    def rows(self, sums: AreaSums, strip: Strip) -> NDArray[np.float32]:
        """The rows that `strip` completes, (rows, width, 3), normalized; strips come in order, each once."""
        begun = self._done + (0 if self._open is None else self._open.shape[1])
        opened = int(np.searchsorted(self._tops, strip.bottom))
        closed = int(np.searchsorted(self._bottoms, strip.bottom, side="right"))
        above = strip.table.take(self._tops[begun:opened] - strip.top, axis=1)
        if self._open is not None:
            above = np.concatenate([self._open, above], axis=1)
        chosen = slice(self._done, closed)
        self._done, count = closed, closed - self._done
        self._open = above[:, count:].copy()
        difference = strip.table.take(self._bottoms[chosen] - strip.top, axis=1)
        difference -= above[:, :count]
        words = difference.take(self._rights, axis=2)
        words -= difference.take(self._lefts, axis=2)
        heights = self._bottoms[chosen] - self._tops[chosen]
        return normalized(averages(sums.packing.unpack(words), heights, self._rights - self._lefts))
