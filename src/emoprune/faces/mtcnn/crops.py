"""Small pictures of many windows of a photo at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from emoprune.faces.mtcnn.integral_image import AreaSums, Indices, Strip, Words, averages, normalised, spans

Pictures = NDArray[np.float32]


def largest_cell(width: int, height: int, side: int) -> int:
    """A bound on the pixels that one pixel of a picture of `side` averages over."""
    return (height // side + 2) * (width // side + 2)


def cut(sums: AreaSums, windows: NDArray[np.int64], side: int) -> Pictures:
    """Pictures (n, side, side, 3), normalised, of windows (n, 4): left, top, right, bottom, none empty."""
    lefts, rights = _edges(windows[:, 0], windows[:, 2], side)
    tops, bottoms = _edges(windows[:, 1], windows[:, 3], side)
    words = sums.packing.zeros(len(windows), side, side)
    first, last = windows[:, 1].min(initial=sums.image.height), windows[:, 3].max(initial=0)
    for strip in sums.strips(int(first), int(last)):
        for edges, sign in ((bottoms, 1), (tops, -1)):
            _add(words, strip, edges, lefts, rights, sign)
    return normalised(averages(sums.packing.unpack(words), bottoms - tops, rights - lefts))


def _edges(begins: Indices, ends: Indices, side: int) -> tuple[Indices, Indices]:
    first, last = spans(ends - begins, side)
    return first + begins[:, None], last + begins[:, None]


def _add(words: Words, strip: Strip, edges: Indices, lefts: Indices, rights: Indices, sign: int) -> None:
    """Add to `words` what lies above those of the `edges` (n, side) that are in the strip."""
    # an edge on the border of two strips is the upper one's; nothing is above the first row of all
    window, row = ((edges > strip.top) & (edges <= strip.bottom)).nonzero()
    planes, _, columns = strip.table.shape
    flat = strip.table.reshape(planes, -1)
    begin = ((edges[window, row] - strip.top) * columns)[:, None]
    above = flat.take(begin + rights[window], axis=1)
    above -= flat.take(begin + lefts[window], axis=1)
    words[:, window, row] += sign * above
