"""Variants of a photo in which no face was found: turned, and with its light changed."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image, ImageChops, ImageOps

from emoprune.faces.types import Box, Face

Point = tuple[float, float]

TURNS: dict[int, Image.Transpose | None] = {
    0: None,
    90: Image.Transpose.ROTATE_90,
    180: Image.Transpose.ROTATE_180,
    270: Image.Transpose.ROTATE_270,
}
"""Degrees counter-clockwise."""

CLIPPED_PERCENT = 1
DARK = 16
"""Pixels up to this in all channels are ignored, as film frames have black bars."""


def turned(image: Image.Image, turn: int) -> Image.Image:
    """The photo turned counter-clockwise by 0, 90, 180 or 270 degrees."""
    how = TURNS[turn]
    return image if how is None else image.transpose(how)


def turned_back(face: Face, turn: int, size: tuple[int, int]) -> Face:
    """A face found in the photo of `size` (width, height) turned by `turn`, in pixels of the photo itself.

    The landmarks keep their order: the first eye of the turned photo remains the first.
    """
    width, height = size
    place: dict[int, Callable[[float, float], Point]] = {
        0: lambda x, y: (x, y),
        90: lambda x, y: (width - y, x),
        180: lambda x, y: (width - x, height - y),
        270: lambda x, y: (y, height - x),
    }
    (x1, y1), (x2, y2) = (
        place[turn](*corner) for corner in ((face.box.x1, face.box.y1), (face.box.x2, face.box.y2))
    )
    box = Box(min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2))
    return Face(box, face.probability, tuple(place[turn](*point) for point in face.landmarks))


def unchanged(image: Image.Image) -> Image.Image:
    """The photo itself."""
    return image


def stretched(image: Image.Image) -> Image.Image:
    """Each channel stretched from black to white, except for its darkest and lightest hundredth."""
    return ImageOps.autocontrast(image, cutoff=CLIPPED_PERCENT)


def equalized(image: Image.Image) -> Image.Image:
    """Each channel with a flat histogram."""
    return ImageOps.equalize(image)


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
