"""Rectangles of a photo, what lies around the photo included."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from emoprune.choices import Pad

LARGEST = 3
"""A box, its margin left out, may be this many times as long as the photo's longer side."""
SPARE = 3
"""Averaging whole blocks first leaves the filter at least this many pixels for one of the result."""


def block_side(side: float, size: int) -> int:
    """Side of the blocks of pixels to average before `side` pixels are resampled to `size`, at least 1."""
    return max(1, int(side / size / SPARE))


def surrounded(image: Image.Image, region: tuple[int, int, int, int], *, block: int, pad: Pad) -> Image.Image:
    """The part of a photo between (left, top, right, bottom), any of which may lie outside of it.

    Of the photo whose blocks of `block` x `block` pixels are averaged first; the region is counted in blocks.
    What lies outside is the photo mirrored at its edges, as often as needed, or black for pad "constant".
    """
    left, top, right, bottom = region
    # a last block that the photo does not fill counts as a whole one: what is mirrored there shifts by a
    # part of a pixel of the result, and nobody can know it better
    width, height = -(-image.width // block), -(-image.height // block)
    across, down = _seen(left, right, width, pad), _seen(top, bottom, height, pad)
    x, y = int(across.min()), int(down.min())
    inside = (x * block, y * block, (int(across.max()) + 1) * block, (int(down.max()) + 1) * block)
    box = (*inside[:2], min(inside[2], image.width), min(inside[3], image.height))
    part = image.crop(box) if block == 1 else image.reduce(block, box)
    if min(left, top) >= 0 and right <= width and bottom <= height:
        return part
    if pad == "constant":
        return part.crop((left - x, top - y, right - x, bottom - y))
    return Image.fromarray(np.asarray(part)[down - y][:, across - x])


def _seen(first: int, last: int, length: int, pad: Pad) -> NDArray[np.intp]:
    """The places of a line of `length` that show at `first` to `last` (not included)."""
    if pad == "constant":
        # at least one place, however little of the line the region touches
        start = min(max(first, 0), length - 1)
        return np.arange(start, max(min(last, length), start + 1))
    place = np.arange(first, last) % (2 * length)
    return np.minimum(place, 2 * length - 1 - place)
