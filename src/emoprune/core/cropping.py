"""Square face pictures from a photo and a box."""

from __future__ import annotations

import math

import numpy as np
from PIL import Image

from emoprune.errors import BadImage
from emoprune.records import Box


def crop_face(image: Image.Image, box: Box, *, margin: float, size: int) -> Image.Image:
    """The square around `box`, `margin` of its side wider, as a picture of `size` pixels.

    What lies outside the photo repeats its edge. Raises BadImage where the box lies outside altogether.
    """
    width, height = image.size
    inside = (max(box.x1, 0.0), max(box.y1, 0.0), min(box.x2, float(width)), min(box.y2, float(height)))
    if inside[0] >= inside[2] or inside[1] >= inside[3]:
        raise BadImage(
            f"the box lies outside the photo of {width}x{height} pixels", "give a box inside the photo"
        )
    within = Box(*inside)
    half = max(within.x2 - within.x1, within.y2 - within.y1) * (1 + margin) / 2
    x, y = within.centre
    left, top = math.floor(x - half), math.floor(y - half)
    right, bottom = math.ceil(x + half), math.ceil(y + half)
    seen = image.crop((max(left, 0), max(top, 0), min(right, width), min(bottom, height)))
    beyond = [(max(-top, 0), max(bottom - height, 0)), (max(-left, 0), max(right - width, 0)), (0, 0)]
    if any(map(any, beyond)):
        seen = Image.fromarray(np.pad(np.asarray(seen), beyond, mode="edge"))
    square = (x - half - left, y - half - top, x + half - left, y + half - top)
    return seen.resize((size, size), Image.Resampling.BICUBIC, box=square)
