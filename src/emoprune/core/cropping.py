"""Square face pictures from a photo and a box."""

from __future__ import annotations

import math

import numpy as np
from PIL import Image

from emoprune.errors import BadImage
from emoprune.records import Box

LARGEST = 3
"""A square around a box may be this many times as long as the photo's longer side."""


def crop_face(image: Image.Image, box: Box, *, margin: float, size: int) -> Image.Image:
    """The square around `box`, `margin` of its side wider, as a picture of `size` pixels.

    What lies outside the photo repeats its edge. Raises BadImage for a box that lies outside altogether or
    is far larger than the photo.
    """
    width, height = image.size
    outside = box.x1 >= width or box.y1 >= height or box.x2 <= 0 or box.y2 <= 0
    side = max(box.x2 - box.x1, box.y2 - box.y1) * (1 + margin)
    if outside or side > LARGEST * max(width, height):
        fact = "lies outside" if outside else "is far larger than"
        raise BadImage(f"the box {fact} the photo of {width}x{height} pixels", "give a box inside the photo")
    x, y = box.centre
    half = side / 2
    left, top = math.floor(x - half), math.floor(y - half)
    right, bottom = math.ceil(x + half), math.ceil(y + half)
    seen = image.crop((max(left, 0), max(top, 0), min(right, width), min(bottom, height)))
    beyond = [(max(-top, 0), max(bottom - height, 0)), (max(-left, 0), max(right - width, 0)), (0, 0)]
    if any(map(any, beyond)):
        seen = Image.fromarray(np.pad(np.asarray(seen), beyond, mode="edge"))
    square = (x - half - left, y - half - top, x + half - left, y + half - top)
    return seen.resize((size, size), Image.Resampling.BICUBIC, box=square)
