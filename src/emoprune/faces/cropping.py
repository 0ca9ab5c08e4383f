"""Square face pictures from a photo and a box."""

from __future__ import annotations

import math

from PIL import Image

from emoprune.choices import Pad
from emoprune.errors import BadImage
from emoprune.faces.padding import LARGEST, block_side, surrounded
from emoprune.faces.types import Box


def crop_face(image: Image.Image, box: Box, *, margin: float, size: int, pad: Pad) -> Image.Image:
    """The square around `box`, `margin` of its side wider, as a picture of `size` pixels, never squashed.

    What lies outside the photo mirrors it ("reflect") or is black ("constant"); with "clip" the square is
    moved, and shrunk where it must be, until it lies inside. Raises BadImage for a box that lies outside
    altogether or is far larger than the photo.
    """
    width, height = image.size
    outside = box.x1 >= width or box.y1 >= height or box.x2 <= 0 or box.y2 <= 0
    side = max(box.x2 - box.x1, box.y2 - box.y1)
    if outside or side > LARGEST * max(width, height):
        fact = "lies outside" if outside else "is far larger than"
        raise BadImage(f"the box {fact} the photo of {width}x{height} pixels", "give a box inside the photo")
    x, y = box.centre
    side *= 1 + margin
    if pad == "clip":
        side = min(side, width, height)
        x, y = within(x, side, width), within(y, side, height)
    block = block_side(side, size)
    square = tuple(edge / block for edge in (x - side / 2, y - side / 2, x + side / 2, y + side / 2))
    left, top = math.floor(square[0]), math.floor(square[1])
    seen = surrounded(image, (left, top, math.ceil(square[2]), math.ceil(square[3])), block=block, pad=pad)
    there = (square[0] - left, square[1] - top, square[2] - left, square[3] - top)
    return seen.resize((size, size), Image.Resampling.BICUBIC, box=there)


def within(centre: float, extent: float, length: int) -> float:
    """The nearest place for the centre of something as long as `extent` inside a line of `length`."""
    return min(max(centre, extent / 2), length - extent / 2)
