"""Squares that may be faces: the first network of MTCNN scans every level of the pyramid."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from emoprune.faces.mtcnn.boxes import regressed, squares
from emoprune.faces.mtcnn.integral_image import AreaSums
from emoprune.faces.mtcnn.networks import Network
from emoprune.faces.mtcnn.nms import best_first, iou, suppress
from emoprune.faces.mtcnn.pyramid import FIELD, Level, scales

STRIDE = 2
OVERLAP = FIELD - STRIDE
"""Rows of overlap between two pieces of a level: no square is missed or scanned twice."""
LEAST_ROWS = 32
"""Pieces have at least so many rows, as short ones are mostly overlap."""
LARGEST_IOU_IN_LEVEL = 0.5
LARGEST_IOU = 0.7

CACHED_PIXELS = 128 * 24**2
"""Pixels that a network takes at once: its layers then stay in the processor's cache."""

GRAIN = 32
"""Pieces are padded to multiples of this: oneDNN compiles code for every size, which takes longer than
running it, and keeps a megabyte of it for every photo."""


def proposals(
    sums: AreaSums, propose: Network, *, threshold: float, after_strip: Callable[[], object]
) -> Tensor:
    """Square boxes (n, 4) in the photo that the first network takes for faces.

    `after_strip` is called after each strip of a photo that has several.
    """
    size = sums.image.size
    scans = [Scan(Level(size, scale), propose, threshold) for scale in scales(*size)]
    for strip in sums.strips():
        for scan in scans:
            scan.add_rows(scan.level.rows(sums, strip))
        if strip.bottom - strip.top < sums.image.height:
            after_strip()
    found = zip(*(scan.found() for scan in scans), strict=True)
    boxes, scores, offsets = (torch.cat(part) for part in found)
    kept = suppress(boxes, best_first(scores), LARGEST_IOU, iou)
    return squares(regressed(boxes[kept], offsets[kept], inclusive=False))


class Scan:
    """The first network on its way down one level."""

    def __init__(self, level: Level, propose: Network, threshold: float) -> None:
        self.level, self._propose, self._threshold = level, propose, threshold
        # an even number: the network pools pairs of rows
        self._width = _padded(level.shape[1])
        self._piece = max(LEAST_ROWS, CACHED_PIXELS // self._width // STRIDE * STRIDE)
        self._rows = np.empty((0, level.shape[1], 3), dtype=np.float32)
        self._next = 0
        self._found: list[tuple[Tensor, Tensor, Tensor]] = []

    def add_rows(self, rows: NDArray[np.float32]) -> None:
        """Scan the next rows (n, width, 3) of the level."""
        rows = np.concatenate([self._rows, rows]) if len(self._rows) else rows
        while len(rows) > self._piece:
            self._scan(rows[: self._piece])
            rows = rows[self._piece - OVERLAP :]
        if self.level.complete and len(rows) > OVERLAP:
            self._scan(rows)
        # a copy, so that the whole strip is not kept for its last rows
        self._rows = rows.copy()

    def found(self) -> tuple[Tensor, Tensor, Tensor]:
        """Boxes (n, 4), scores (n,) and offsets (n, 4) of all pieces after suppression."""
        boxes, scores, offsets = (torch.cat(part) for part in zip(*self._found, strict=True))
        kept = suppress(boxes, best_first(scores), LARGEST_IOU_IN_LEVEL, iou)
        return boxes[kept], scores[kept], offsets[kept]

    def _scan(self, piece: NDArray[np.float32]) -> None:
        rows, columns = piece.shape[:2]
        picture = np.zeros((1, min(_padded(rows), self._piece), self._width, 3), dtype=np.float32)
        picture[0, :rows, :columns] = piece
        answers = self._propose(torch.from_numpy(picture), (rows, columns))
        scores, offsets = (answer[0, : _squares(rows), : _squares(columns)] for answer in answers)
        chosen = (scores >= self._threshold).nonzero(as_tuple=True)
        places = torch.stack(chosen[::-1], dim=1).cpu().float()
        places[:, 1] += self._next
        self._next += scores.shape[0]
        boxes = [((STRIDE * places + edge) / self.level.scale).floor() for edge in (1, FIELD)]
        self._found.append((torch.cat(boxes, dim=1), scores[chosen].cpu(), offsets[chosen].cpu()))


def _padded(length: int) -> int:
    return -(-length // GRAIN) * GRAIN


def _squares(length: int) -> int:
    """Number of squares that the network sees along a side; the last may lack a pixel."""
    return -(-(length - FIELD) // STRIDE) + 1
