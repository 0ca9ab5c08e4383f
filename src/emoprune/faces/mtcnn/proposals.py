"""Squares that may be faces: the first network of MTCNN slid over every level of the pyramid."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from emoprune.faces.mtcnn.boxes import shifted, squared
from emoprune.faces.mtcnn.integral_image import AreaSums
from emoprune.faces.mtcnn.networks import Network
from emoprune.faces.mtcnn.nms import apart, best_first, of_union
from emoprune.faces.mtcnn.pyramid import FIELD, Level, scales

STRIDE = 2
OVERLAP = FIELD - STRIDE
"""Rows that one piece of a level shares with the next, so that no square is missed or seen twice."""
LEAST_ROWS = 32
"""Pieces are not shorter than this, for short ones are mostly overlap."""
ALIKE_IN_LEVEL = 0.5
ALIKE = 0.7

CACHED_PIXELS = 128 * 24**2
"""Pixels that a network looks at together: its layers then stay in the processor's cache."""

GRAIN = 32
"""Pieces are filled up to multiples of this: oneDNN compiles code for every size that it meets, which takes
longer than to run it, and what it keeps of that is scattered over memory, a megabyte for every photo."""


def candidates(
    sums: AreaSums,
    propose: Network,
    *,
    threshold: float,
    device: torch.device,
    after_strip: Callable[[], object],
) -> Tensor:
    """Square boxes (n, 4) in the photo that the first network takes for a face.

    `after_strip` is called after each strip of a photo that has several.
    """
    size = sums.image.size
    scans = [Scan(Level(size, scale), propose, threshold, device) for scale in scales(*size)]
    for strip in sums.strips():
        for scan in scans:
            scan.take(scan.level.rows(sums, strip))
        if strip.bottom - strip.top < sums.image.height:
            after_strip()
    found = [scan.found() for scan in scans]
    boxes, scores, shares = (torch.cat(part) for part in zip(*found, strict=True))
    kept = apart(boxes, best_first(scores), ALIKE, of_union)
    return squared(shifted(boxes[kept], shares[kept], inclusive=False))


class Scan:
    """The first network on its way down one level."""

    def __init__(self, level: Level, propose: Network, threshold: float, device: torch.device) -> None:
        self.level = level
        self._propose = propose
        self._threshold = threshold
        self._device = device
        # the network pools pairs of rows: an odd one would be pooled alone, and again with the next
        self._width = _filled_up(level.shape[1])
        self._piece = max(LEAST_ROWS, CACHED_PIXELS // self._width // STRIDE * STRIDE)
        self._rows = np.empty((0, level.shape[1], 3), dtype=np.float32)
        self._next = 0
        self._found: list[tuple[Tensor, Tensor, Tensor]] = []

    def take(self, rows: NDArray[np.float32]) -> None:
        """Look at the next rows (n, width, 3) of the level."""
        rows = np.concatenate([self._rows, rows]) if len(self._rows) else rows
        while len(rows) > self._piece:
            self._look(rows[: self._piece])
            rows = rows[self._piece - OVERLAP :]
        if self.level.complete and len(rows) > OVERLAP:
            self._look(rows)
        # a copy, or the whole strip would be kept for its last rows
        self._rows = rows.copy()

    def found(self) -> tuple[Tensor, Tensor, Tensor]:
        """Boxes (n, 4), scores (n,) and shares (n, 4) of all pieces, without those that are much alike."""
        boxes, scores, shares = (torch.cat(part) for part in zip(*self._found, strict=True))
        kept = apart(boxes, best_first(scores), ALIKE_IN_LEVEL, of_union)
        return boxes[kept], scores[kept], shares[kept]

    def _look(self, piece: NDArray[np.float32]) -> None:
        rows, columns = piece.shape[:2]
        picture = np.zeros((1, min(_filled_up(rows), self._piece), self._width, 3), dtype=np.float32)
        picture[0, :rows, :columns] = piece
        answers = self._propose(torch.from_numpy(picture).to(self._device), (rows, columns))
        likely, shares = (answer[0, : _squares(rows), : _squares(columns)] for answer in answers)
        chosen = (likely >= self._threshold).nonzero(as_tuple=True)
        places = torch.stack(chosen[::-1], dim=1).cpu().float()
        places[:, 1] += self._next
        self._next += likely.shape[0]
        boxes = [((STRIDE * places + edge) / self.level.scale).floor() for edge in (1, FIELD)]
        self._found.append((torch.cat(boxes, dim=1), likely[chosen].cpu(), shares[chosen].cpu()))


def _filled_up(length: int) -> int:
    return -(-length // GRAIN) * GRAIN


def _squares(length: int) -> int:
    """How many squares the network sees along a side, the last of them perhaps with a pixel less."""
    return -(-(length - FIELD) // STRIDE) + 1
