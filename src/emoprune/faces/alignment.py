"""Square face pictures from a photo and a face's landmarks, with the eyes at fixed places."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from emoprune.choices import Pad
from emoprune.errors import BadImage
from emoprune.faces.cropping import LARGEST, block_side, padded_region, within

EYE_LEVEL, EYE_REACH = 0.4607, 0.1573
"""Places of the eyes in a square of side 1: below its upper edge, and to each side of its center.

From the 112 pixels of ArcFace's template (Deng et al. 2019, section 4.1, and their code): the mean height of
its two eyes and half their distance. Leveling and centering move them by less than half a pixel.
"""
CLOSEST_EYES = 1.0
"""Least distance of the eyes in pixels: nearer ones are an error of the detector, at a random angle."""
REACH = 2
"""Pixels around a place that a bicubic sample reads."""

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

    The eyes alone decide the turn, scale and shift; nothing is mirrored or sheared. `landmarks` are in pixels
    of the photo and in MTCNN's order: first the eye that is left in the picture, then the right one. `margin`
    and `pad` are those of `crop_face`; where "clip" moves the square, the eyes are level but not at their
    places. Raises BadImage without landmarks, for eyes less than CLOSEST_EYES pixels apart or beyond the
    photo, and for a square far larger than the photo.
    """
    if not landmarks:
        raise BadImage("its eyes are not known", "give landmarks")
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
    outside = not (0 <= x <= width and 0 <= y <= height)
    if outside or side > LARGEST * max(photo):
        fact = "its eyes lie outside" if outside else "its eyes are too far apart for"
        raise BadImage(f"{fact} the photo of {width}x{height} pixels", "give the face a box by hand")


def _inside(center: Points, along: Points, photo: tuple[int, int]) -> tuple[Points, Points]:
    """The square moved, and if necessary shrunk, until all four corners lie in the photo."""
    extent = float(np.abs(along).sum())  # of the upright square around it
    scale = min(1.0, min(photo) / extent)
    x, y = (within(float(place), extent * scale, length) for place, length in zip(center, photo, strict=True))
    return np.array([x, y]), along * scale


def _turned(
    image: Image.Image, center: Points, along: Points, *, block: int, size: int, pad: Pad
) -> Image.Image:
    """The square, whose center and edge count blocks of the photo, as a picture.

    It is turned at a step of at most one block, so that nothing is skipped, then shrunk by averaging.
    """
    fine = size * max(1, math.ceil(float(np.hypot(*along)) / size))
    half = float(np.abs(along).sum()) / 2 + REACH
    left, top = (math.floor(place - half) for place in center)
    right, bottom = (math.ceil(place + half) for place in center)
    pad = "reflect" if pad == "clip" else pad
    padded = padded_region(image, (left, top, right, bottom), block=block, pad=pad)
    down = _downwards(along)
    x, y = center - (along + down) / 2 - (left, top)
    (a, d), (b, e) = along / fine, down / fine
    how = (Image.Transform.AFFINE, (a, b, x, d, e, y), Image.Resampling.BICUBIC)
    turned = padded.transform((fine, fine), *how)
    return turned if fine == size else turned.resize((size, size), Image.Resampling.BICUBIC)
