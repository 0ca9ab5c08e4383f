"""Square face pictures from a photo and a face's landmarks, the eyes always at the same place."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from emoprune.choices import Pad
from emoprune.errors import BadImage
from emoprune.faces.cropping import LARGEST, block_side, surrounded, within

EYE_LEVEL, EYE_REACH = 0.4607, 0.1573
"""Where the eyes are in a square of side 1: below its upper edge, and to each side of its middle.

Of the 112 pixels of ArcFace's template (Deng et al. 2019, section 4.1, and their code): the mean height of
its two eyes and half their distance, levelled and centered, by less than half a pixel.
"""
CLOSEST_EYES = 1.0
"""Eyes must be this many pixels apart: nearer ones are a detector's slip, and turn at random."""
REACH = 2
"""Pixels beyond its place that a bicubic sample reads."""

Point = tuple[float, float]
Points = NDArray[np.float64]


def eye_places(size: int, *, margin: float) -> tuple[Point, Point]:
    """Where `align_face` puts the left and the right eye of the picture: x, y in pixels from its corner."""
    reach = EYE_REACH / (1 + margin)
    level = 0.5 + (EYE_LEVEL - 0.5) / (1 + margin)
    return (size * (0.5 - reach), size * level), (size * (0.5 + reach), size * level)


def align_face(
    image: Image.Image, landmarks: Sequence[Point], *, margin: float, size: int, pad: Pad
) -> Image.Image:
    """The face as a picture of `size` pixels with its eyes level and at `eye_places`.

    Turned, scaled and shifted by the eyes alone; neither mirrored nor sheared. `landmarks` as MTCNN orders
    them: first the eye that is left in the picture, then the right one, in pixels of the photo. `margin`
    widens the square by that share about its center, and `pad` is that of `crop_face`; where "clip" has to
    move the square the eyes are level but not at their places. Raises BadImage for eyes less than
    CLOSEST_EYES pixels apart or beyond the photo, and for a square far larger than the photo.
    """
    left, right = np.array(landmarks[0]), np.array(landmarks[1])
    center, along = _square(left, right, margin)
    _check(image.size, left, right, side=float(np.hypot(*along)) / (1 + margin))
    if pad == "clip":
        center, along = _inside(center, along, image.size)
    side = float(np.hypot(*along))
    block = block_side(side, size)
    return _turned(image, center / block, along / block, block=block, size=size, pad=pad)


def _square(left: Points, right: Points, margin: float) -> tuple[Points, Points]:
    """The square's center, and its upper edge as a vector, in pixels of the photo."""
    along = (right - left) / (2 * EYE_REACH)
    center = (left + right) / 2 + (0.5 - EYE_LEVEL) * _downwards(along)
    return center, along * (1 + margin)


def _downwards(along: Points) -> Points:
    """The left edge of the square with the upper edge `along`: a quarter turn, as y points down."""
    return np.array([-along[1], along[0]])


def _check(photo: tuple[int, int], left: Points, right: Points, *, side: float) -> None:
    # written so that NaN fails too
    if not math.dist(left, right) >= CLOSEST_EYES:
        raise BadImage("the two eyes are at one place", "give the face a box by hand")
    width, height = photo
    x, y = (left + right) / 2
    fact = ""
    if not (0 <= x <= width and 0 <= y <= height):
        fact = "its eyes lie outside"
    elif side > LARGEST * max(photo):
        fact = "its eyes are too far apart for"
    if fact:
        raise BadImage(f"{fact} the photo of {width}x{height} pixels", "give the face a box by hand")


def _inside(center: Points, along: Points, photo: tuple[int, int]) -> tuple[Points, Points]:
    """The square moved, and shrunk where it must be, until all four corners lie in the photo."""
    extent = float(np.abs(along).sum())  # of the upright square around it
    share = min(1.0, min(photo) / extent)
    x, y = (within(float(place), extent * share, length) for place, length in zip(center, photo, strict=True))
    return np.array([x, y]), along * share


def _turned(
    image: Image.Image, center: Points, along: Points, *, block: int, size: int, pad: Pad
) -> Image.Image:
    """The square, told in blocks of the photo, as a picture.

    Turned at a step of at most one block, so that nothing is skipped, then shrunk by averaging.
    """
    fine = size * max(1, math.ceil(float(np.hypot(*along)) / size))
    half = float(np.abs(along).sum()) / 2 + REACH
    left, top = (math.floor(place - half) for place in center)
    right, bottom = (math.ceil(place + half) for place in center)
    seen = surrounded(image, (left, top, right, bottom), block=block, pad="reflect" if pad == "clip" else pad)
    down = _downwards(along)
    x, y = center - (along + down) / 2 - (left, top)
    a, d = along / fine
    b, e = down / fine
    turned = seen.transform(
        (fine, fine), Image.Transform.AFFINE, (a, b, x, d, e, y), resample=Image.Resampling.BICUBIC
    )
    return turned if fine == size else turned.resize((size, size), Image.Resampling.BICUBIC)
