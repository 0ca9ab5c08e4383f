"""Square face pictures from a photo and a box."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from emoprune.choices import Pad
from emoprune.errors import BadImage
from emoprune.faces.types import Box


def crop_face(image: Image.Image, box: Box, *, margin: float, size: int, pad: Pad) -> Image.Image:
    """The square around `box`, wider by the fraction `margin`, as a picture of `size` pixels.

    The square has the longer side of the box, so that faces keep their proportions. Beyond the photo it shows
    its mirror image ("reflect") or black ("constant"); with "clip" the square is moved, and if necessary
    shrunk, into the photo. Raises BadImage for a box that is far larger than the photo or lies outside.
    """
    width, height = image.size
    outside = box.x1 >= width or box.y1 >= height or box.x2 <= 0 or box.y2 <= 0
    side = max(box.x2 - box.x1, box.y2 - box.y1)
    if outside or side > LARGEST * max(width, height):
        fact = "lies outside" if outside else "is far larger than"
        raise BadImage(f"the box {fact} the photo of {width}x{height} pixels", "give a box inside the photo")
    x, y = box.center
    side *= 1 + margin
    if pad == "clip":
        side = min(side, width, height)
        x, y = within(x, side, width), within(y, side, height)
    block = block_side(side, size)
    square = tuple(edge / block for edge in (x - side / 2, y - side / 2, x + side / 2, y + side / 2))
    left, top = math.floor(square[0]), math.floor(square[1])
    region = (left, top, math.ceil(square[2]), math.ceil(square[3]))
    padded = padded_region(image, region, block=block, pad=pad)
    box_in_region = (square[0] - left, square[1] - top, square[2] - left, square[3] - top)
    return padded.resize((size, size), Image.Resampling.BICUBIC, box=box_in_region)


def within(center: float, extent: float, length: int) -> float:
    """The nearest center at which a span of `extent` lies inside a line of `length`."""
    return min(max(center, extent / 2), length - extent / 2)


LARGEST = 3
"""A box without its margin is at most this many times as long as the photo's longer side."""
SPARE = 3
"""After averaging whole blocks the filter has at least this many pixels for one of the result."""


def block_side(side: float, size: int) -> int:
    """Side of the blocks of pixels that are averaged before `side` pixels are resampled to `size`."""
    return max(1, int(side / size / SPARE))


def padded_region(
    image: Image.Image, region: tuple[int, int, int, int], *, block: int, pad: Pad
) -> Image.Image:
    """The part of a photo between (left, top, right, bottom), which may extend beyond it.

    Blocks of `block` x `block` pixels are averaged first, and the region is counted in blocks. Beyond the
    photo it is mirrored at its edges, as often as needed, or black for pad "constant".
    """
    left, top, right, bottom = region
    # a last block that the photo does not fill counts as a whole one: the mirror image there shifts by a
    # part of a pixel of the result
    width, height = -(-image.width // block), -(-image.height // block)
    across, down = _places(left, right, width, pad), _places(top, bottom, height, pad)
    x, y = int(across.min()), int(down.min())
    inside = (x * block, y * block, (int(across.max()) + 1) * block, (int(down.max()) + 1) * block)
    box = (*inside[:2], min(inside[2], image.width), min(inside[3], image.height))
    part = image.crop(box) if block == 1 else image.reduce(block, box)
    if min(left, top) >= 0 and right <= width and bottom <= height:
        return part
    if pad == "constant":
        return part.crop((left - x, top - y, right - x, bottom - y))
    return Image.fromarray(np.asarray(part)[down - y][:, across - x])


def _places(first: int, last: int, length: int, pad: Pad) -> NDArray[np.intp]:
    """The places of a line of `length` that `first` to `last` (not included) show."""
    if pad == "constant":
        # at least one place, even where the region touches none
        start = min(max(first, 0), length - 1)
        return np.arange(start, max(min(last, length), start + 1))
    place = np.arange(first, last) % (2 * length)
    return np.minimum(place, 2 * length - 1 - place)
