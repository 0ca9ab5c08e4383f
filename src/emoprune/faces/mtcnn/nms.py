"""The best of the boxes around one face: greedy non-maximum suppression (Zhang et al. 2016, section 2)."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Corners = NDArray[np.float32]
Indices = NDArray[np.int64]
Overlap = Callable[[Corners, Corners], Corners]
"""The overlap of boxes (n, 1, 4) with boxes (m, 4): (n, m), from 0 to 1."""

BLOCK = 64
"""Boxes compared at once with all that may overlap them; bounds memory."""


def iou(first: Corners, second: Corners) -> Corners:
    """Intersection over union."""
    common = _common(first, second, np.float32(0))
    return np.asarray(common / (_area(first, np.float32(0)) + _area(second, np.float32(0)) - common))


def overlap_of_smaller(first: Corners, second: Corners) -> Corners:
    """The common area as a fraction of the smaller box; both include the pixels on their far edges."""
    one = np.float32(1)
    least = np.minimum(_area(first, one), _area(second, one))
    return np.asarray(_common(first, second, one) / least)


def best_first(scores: Tensor) -> Indices:
    """Indices from the highest score to the lowest; of equals the first."""
    return np.argsort(-scores.numpy(), kind="stable")


def suppress(boxes: Tensor, order: Indices, largest: float, overlap: Overlap) -> Tensor:
    """Indices of boxes (n, 4) in `order`, without those that overlap a kept one by more than `largest`.

    A suppressed box suppresses no other.
    """
    pairs = _too_close(boxes.numpy()[order], np.float64(largest), overlap)
    # by their ranks in `order`; the first pair is empty, as there may be no other
    better, worse = np.concatenate([np.empty((2, 0), dtype=np.int64), *pairs], axis=1)
    kept = np.ones(len(order), dtype=bool)
    while True:
        # only kept boxes suppress; every round settles one more link of the longest chain
        again = np.ones(len(order), dtype=bool)
        again[worse[kept[better]]] = False
        if np.array_equal(again, kept):
            return torch.from_numpy(order[kept])
        kept = again


def _too_close(corners: Corners, largest: np.float64, overlap: Overlap) -> Iterator[Indices]:
    """Ranks (2, n) of the better and the worse box of pairs that overlap by more than `largest`."""
    by_left = np.argsort(corners[:, 0], kind="stable")
    placed = corners[by_left]
    for first in range(0, len(placed), BLOCK):
        block = placed[first : first + BLOCK]
        # boxes further left have met these; the pixel on the far edge counts too
        last = int(np.searchsorted(placed[:, 0], block[:, 2].max() + 1, side="right"))
        # a box that regression turned inside out may have no area: it overlaps nothing
        with np.errstate(invalid="ignore", divide="ignore"):
            close = overlap(block[:, None], placed[first:last]) > largest
        here, there = np.nonzero(close)
        one, other = by_left[first + here], by_left[first + there]
        # a pair within the block is met from both sides, and a box meets itself: count a pair once
        once = (there >= BLOCK) | (here < there)
        one, other = one[once], other[once]
        yield np.stack((np.minimum(one, other), np.maximum(one, other)))


def _area(corners: Corners, edge: np.float32) -> Corners:
    width, height = (corners[..., 2] - corners[..., 0] + edge), (corners[..., 3] - corners[..., 1] + edge)
    return np.asarray(width * height)


def _common(first: Corners, second: Corners, edge: np.float32) -> Corners:
    width = np.minimum(first[..., 2], second[..., 2]) - np.maximum(first[..., 0], second[..., 0]) + edge
    height = np.minimum(first[..., 3], second[..., 3]) - np.maximum(first[..., 1], second[..., 1]) + edge
    return np.asarray(np.maximum(width, 0) * np.maximum(height, 0))
