"""Variants of a photo in which no face was found: turned, and with its light changed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageChops

from emoprune.faces.types import Box, Face

TURNS = (0, 90, 180, 270)
"""Degrees counter-clockwise."""

CLIPPED_PERCENT = 1
DARK = 16
"""Pixels up to this in all channels are ignored, as film frames have black bars."""


def turned(image: Image.Image, turn: int) -> Image.Image:
    """The photo turned counter-clockwise by 0, 90, 180 or 270 degrees."""
    return image.transpose(Image.Transpose[f"ROTATE_{turn}"]) if turn else image


def turned_back(face: Face, turn: int, size: tuple[int, int]) -> Face:
    """A face found in the photo of `size` (width, height) turned by `turn`, in pixels of the photo itself.

    The landmarks keep their order: the first eye of the turned photo remains the first.
    """
    width, height = size

    def back(x: float, y: float) -> tuple[float, float]:
        return {0: (x, y), 90: (width - y, x), 180: (width - x, height - y), 270: (y, height - x)}[turn]

    (x1, y1), (x2, y2) = back(face.box.x1, face.box.y1), back(face.box.x2, face.box.y2)
    box = Box(min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2))
    return Face(box, face.probability, tuple(back(*point) for point in face.landmarks))


def brightened(image: Image.Image) -> Image.Image:
    """Each channel's lit pixels stretched from black to white, and dark ones lifted (gamma 1/2)."""
    channels = image.split()
    brightest = ImageChops.lighter(ImageChops.lighter(channels[0], channels[1]), channels[2])
    lit = brightest.point([0] * (DARK + 1) + [255] * (255 - DARK))
    curves = [_lifting(channel.histogram(lit)) for channel in channels]
    return image.point([value for curve in curves for value in curve])


def _lifting(histogram: Sequence[int]) -> list[int]:
    """The curve of one channel: the new value of each of 0 to 255."""
    below = np.cumsum(histogram)
    cut = below[-1] * CLIPPED_PERCENT / 100
    low, high = np.searchsorted(below, (cut, below[-1] - cut)).tolist()
    fraction = (np.arange(256) - low) / max(high - low, 1)
    return [round(value) for value in (255 * np.sqrt(fraction.clip(0, 1))).tolist()]
