"""Of boxes around one face the best: greedy non-maximum suppression (Zhang et al. 2016, section 2)."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Corners = NDArray[np.float32]
Indices = NDArray[np.int64]
Share = Callable[[Corners, Corners], Corners]
"""How much boxes (n, 1, 4) have in common with boxes (m, 4): (n, m), from 0 to 1."""

BLOCK = 64
"""Boxes compared at once with all that may touch them: what bounds memory."""


def of_union(first: Corners, second: Corners) -> Corners:
    """The common area as a share of what both cover."""
    common = _common(first, second, np.float32(0))
    union = _area(first, np.float32(0)) + _area(second, np.float32(0)) - common
    return np.asarray(common / union)


def of_smaller(first: Corners, second: Corners) -> Corners:
    """The common area as a share of the smaller box; both count the pixels on their far edges."""
    one = np.float32(1)
    least = np.minimum(_area(first, one), _area(second, one))
    return np.asarray(_common(first, second, one) / least)


def best_first(scores: Tensor) -> Indices:
    """Indices from the highest score to the lowest; of equals the first."""
    return np.argsort(-scores.numpy(), kind="stable")


def apart(boxes: Tensor, order: Indices, largest: float, share: Share) -> Tensor:
    """Those indices of boxes (n, 4) in `order` that share no more than `largest` with any kept before them.

    A box that gives way to a better one stands in no other's way.
    """
    better, worse = _too_close(boxes.numpy()[order], largest, share)
    kept = np.ones(len(order), dtype=bool)
    while True:
        # only what is kept suppresses; every round settles one more link of the longest chain
        again = np.ones(len(order), dtype=bool)
        again[worse[kept[better]]] = False
        if np.array_equal(again, kept):
            return torch.from_numpy(order[kept])
        kept = again


def _too_close(corners: Corners, largest: float, share: Share) -> tuple[Indices, Indices]:
    """All pairs of boxes, the better one's rank and the worse one's, that share more than `largest`."""
    pairs = [(np.empty(0, dtype=np.int64),) * 2, *_pairs(corners, np.float64(largest), share)]
    better, worse = (np.concatenate(part) for part in zip(*pairs, strict=True))
    return better, worse


def _pairs(corners: Corners, largest: np.float64, share: Share) -> Iterator[tuple[Indices, Indices]]:
    by_left = np.argsort(corners[:, 0], kind="stable")
    placed = corners[by_left]
    for first in range(0, len(placed), BLOCK):
        block = placed[first : first + BLOCK]
        # boxes further left have met these already; the pixel on the far edge may be shared too
        last = int(np.searchsorted(placed[:, 0], block[:, 2].max() + 1, side="right"))
        # a box that regression turned inside out may have no area: it shares nothing
        with np.errstate(invalid="ignore", divide="ignore"):
            close = share(block[:, None], placed[first:last]) > largest
        here, there = np.nonzero(close)
        one, other = by_left[first + here], by_left[first + there]
        # a pair within the block is met from both sides, and a box meets itself
        once = (there >= BLOCK) | (here < there)
        one, other = one[once], other[once]
        yield np.minimum(one, other), np.maximum(one, other)


def _area(corners: Corners, edge: np.float32) -> Corners:
    width, height = (corners[..., 2] - corners[..., 0] + edge), (corners[..., 3] - corners[..., 1] + edge)
    return np.asarray(width * height)


def _common(first: Corners, second: Corners, edge: np.float32) -> Corners:
    width = np.minimum(first[..., 2], second[..., 2]) - np.maximum(first[..., 0], second[..., 0]) + edge
    height = np.minimum(first[..., 3], second[..., 3]) - np.maximum(first[..., 1], second[..., 1]) + edge
    return np.asarray(np.maximum(width, 0) * np.maximum(height, 0))
