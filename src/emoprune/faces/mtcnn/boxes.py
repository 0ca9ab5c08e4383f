"""Boxes between the stages of MTCNN, with facenet-pytorch's rounding, for its networks were trained on it.

Boxes are float32 (n, 4): x1, y1, x2, y2 in pixels of the photo.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from emoprune.faces.mtcnn.integral_image import AreaSums, Indices, Strip, Words, averages, normalized, spans


def regressed(boxes: Tensor, offsets: Tensor, *, inclusive: bool) -> Tensor:
    """Boxes with their corners moved by `offsets` (n, 4), fractions of their width and height.

    `inclusive` adds the pixel on the far edge to the width, as all stages but the first do.
    """
    sides = boxes[:, 2:] - boxes[:, :2]
    if inclusive:
        sides = sides + 1
    return boxes + offsets * sides.repeat(1, 2)


def squares(boxes: Tensor) -> Tensor:
    """Squares of the longer side around the same centers."""
    sides = boxes[:, 2:] - boxes[:, :2]
    longest = sides.max(dim=1, keepdim=True).values
    corner = boxes[:, :2] + sides * 0.5 - longest * 0.5
    return torch.cat([corner, corner + longest], dim=1)


def windows(boxes: Tensor, width: int, height: int) -> NDArray[np.int64]:
    """The pixels of a photo inside each box, (n, 4): left, top, right, bottom, the latter two not included.

    Boxes count from 1 and are cut at zero. A box outside the photo has no pixels: its right is at most its
    left, or its bottom at most its top.
    """
    cut = boxes.trunc().to(torch.int64).numpy()
    corner = np.maximum(cut[:, :2], 1) - 1
    return np.concatenate([corner, np.minimum(cut[:, 2:], (width, height))], axis=1)


def have_pixels(found: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which of these windows have any pixel."""
    return np.asarray((found[:, 2] > found[:, 0]) & (found[:, 3] > found[:, 1]))


Pictures = NDArray[np.float32]


def largest_cell(width: int, height: int, side: int) -> int:
    """The most pixels that one pixel of a picture of `side` averages over."""
    return (height // side + 2) * (width // side + 2)


def cut(sums: AreaSums, windows: NDArray[np.int64], side: int) -> Pictures:
    """Pictures (n, side, side, 3), normalized, of windows (n, 4): left, top, right, bottom, none empty."""
    lefts, rights = _edges(windows[:, 0], windows[:, 2], side)
    tops, bottoms = _edges(windows[:, 1], windows[:, 3], side)
    words = sums.packing.zeros(len(windows), side, side)
    first, last = windows[:, 1].min(initial=sums.image.height), windows[:, 3].max(initial=0)
    for strip in sums.strips(int(first), int(last)):
        for edges, sign in ((bottoms, 1), (tops, -1)):
            _add(words, strip, edges, lefts, rights, sign)
    return normalized(averages(sums.packing.unpack(words), bottoms - tops, rights - lefts))


def _edges(begins: Indices, ends: Indices, side: int) -> tuple[Indices, Indices]:
    first, last = spans(ends - begins, side)
    return first + begins[:, None], last + begins[:, None]


def _add(words: Words, strip: Strip, edges: Indices, lefts: Indices, rights: Indices, sign: int) -> None:
    """Add to `words` the sums above those `edges` (n, side) that are in the strip."""
    # an edge on the border of two strips belongs to the upper one; above the first row the sum is 0
    window, row = ((edges > strip.top) & (edges <= strip.bottom)).nonzero()
    planes, _, columns = strip.table.shape
    flat = strip.table.reshape(planes, -1)
    begin = ((edges[window, row] - strip.top) * columns)[:, None]
    above = flat.take(begin + rights[window], axis=1)
    above -= flat.take(begin + lefts[window], axis=1)
    words[:, window, row] += sign * above
