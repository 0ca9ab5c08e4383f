"""Boxes between the stages of MTCNN, with facenet-pytorch's rounding, for its networks were trained on it.

Boxes are float32 (n, 4): x1, y1, x2, y2 in pixels of the photo.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def shifted(boxes: Tensor, shares: Tensor, *, inclusive: bool) -> Tensor:
    """Boxes whose corners moved by `shares` (n, 4) of their width and height.

    `inclusive` counts the pixel on the far edge to the width, as all stages but the first do.
    """
    sides = boxes[:, 2:] - boxes[:, :2]
    if inclusive:
        sides = sides + 1
    return boxes + shares * sides.repeat(1, 2)


def squared(boxes: Tensor) -> Tensor:
    """Squares of the longer side around the same middles."""
    sides = boxes[:, 2:] - boxes[:, :2]
    longest = sides.max(dim=1, keepdim=True).values
    corner = boxes[:, :2] + sides * 0.5 - longest * 0.5
    return torch.cat([corner, corner + longest], dim=1)


def windows(boxes: Tensor, width: int, height: int) -> NDArray[np.int64]:
    """The pixels of a photo inside each box, (n, 4): left, top, right, bottom, the latter two not included.

    Boxes count from 1 and are cut at zero. One that lies outside the photo has no pixels: its right is not
    beyond its left, or its bottom not below its top.
    """
    cut = boxes.trunc().to(torch.int64).numpy()
    corner = np.maximum(cut[:, :2], 1) - 1
    return np.concatenate([corner, np.minimum(cut[:, 2:], (width, height))], axis=1)


def hold_pixels(found: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which of these windows have any pixel."""
    return np.asarray((found[:, 2] > found[:, 0]) & (found[:, 3] > found[:, 1]))
