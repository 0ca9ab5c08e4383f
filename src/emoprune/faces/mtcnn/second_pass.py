"""A second look at photos in which MTCNN sees no face: dark, tinted or turned ones.

A single look with lower thresholds finds faces in wallpaper, and in faces that lie on their side. So four
looks that differ in light vote for each face with the probability that they see, and what was no face is
seldom seen twice. A face in a turned photo needs nearly all of the votes, for most photos are upright.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from emoprune.faces.mtcnn import image_variants
from emoprune.faces.mtcnn.cascade import Networks, find_faces
from emoprune.faces.mtcnn.nms import of_union
from emoprune.faces.types import Face

LONGEST = 1280
"""Pixels of the longer side: larger photos are shrunk to it, for a face that is lost so is too small here."""
LOW_THRESHOLDS = (0.5, 0.5, 0.5)
LEAST_SHARE = 1 / 16
"""Least side of a face as a share of the photo's shorter side."""
UPRIGHT_VOTES = 1.8
TURNED_VOTES = 3.5
"""Votes that a face needs: sums over four looks of what each takes for its probability."""
SAME = 0.4
"""Boxes of different looks with this share in common show the same face."""

AS_IT_IS = "lower thresholds"
LOOKS: dict[str, Callable[[Image.Image], Image.Image]] = {
    AS_IT_IS: image_variants.as_it_is,
    "stretched contrast": image_variants.stretched,
    "equalized contrast": image_variants.equalized,
    "brightened": image_variants.brightened,
}


@dataclass(frozen=True)
class Rescue:
    """Faces of a photo that took a second look, the largest first, in pixels of the photo as it is.

    `turn`: degrees counter-clockwise by which to turn the photo for the faces to stand upright: 0, 90, 180
    or 270. `how`: what made them visible, in words.
    """

    faces: tuple[Face, ...]
    turn: int
    how: str


Sight = tuple[str, Face]
"""The name of a look, and a face in it."""


def rescue(image: Image.Image, networks: Networks) -> Rescue | None:
    """What a second look finds in an RGB photo that way up which has the face with most votes, or None."""
    factor = max(max(image.size) / LONGEST, 1)
    size = (round(image.width / factor), round(image.height / factor))
    small = image if factor == 1 else image.resize(size)
    found = {turn: _elected(small, turn, networks) for turn in image_variants.TURNS}
    turn = max(found, key=lambda turn: max(map(votes, found[turn]), default=0))
    if not found[turn]:
        return None
    shown = [image_variants.turned_back(_best(group)[1], turn, small.size) for group in found[turn]]
    faces = sorted((face.scaled(factor, factor) for face in shown), key=lambda face: -face.box.area)
    return Rescue(tuple(faces), turn, _how(turn, _best(max(found[turn], key=votes))[0]))


def _how(turn: int, look: str) -> str:
    if not turn:
        return look
    return f"turned {turn}" if look == AS_IT_IS else f"turned {turn}, {look}"


def _best(group: Sequence[Sight]) -> Sight:
    """The sight whose box and landmarks count: that of the photo's own light, else the surest."""
    return next((sight for sight in group if sight[0] == AS_IT_IS), group[0])


def votes(group: Sequence[Sight]) -> float:
    """What the looks at one face say together, from 0 to the number of looks."""
    return sum(face.probability for _, face in group)


def _elected(image: Image.Image, turn: int, networks: Networks) -> list[list[Sight]]:
    """The faces of the turned photo that have votes enough: what each look sees of them, the surest first."""
    upright = image_variants.turned(image, turn)
    sights = [
        (name, face)
        for name, look in LOOKS.items()
        for face in find_faces(look(upright), networks, thresholds=LOW_THRESHOLDS)
        if face.box.shorter >= LEAST_SHARE * min(image.size)
    ]
    needed = TURNED_VOTES if turn else UPRIGHT_VOTES
    return [group for group in _groups(sights) if votes(group) >= needed]


def _groups(sights: Sequence[Sight]) -> list[list[Sight]]:
    """Sights of the same face together, the surest first, each look once."""
    left = sorted(sights, key=lambda sight: -sight[1].probability)
    groups = []
    while left:
        shares = of_union(_corners(left[:1])[:, None], _corners(left))[0]
        same = [sight for sight, share in zip(left, shares, strict=True) if share > SAME]
        left = [sight for sight, share in zip(left, shares, strict=True) if share <= SAME]
        # reversed, so that of a look's sights the surest is kept
        once = {name: (name, face) for name, face in reversed(same)}
        groups.append(sorted(once.values(), key=lambda sight: -sight[1].probability))
    return groups


def _corners(sights: Sequence[Sight]) -> NDArray[np.float32]:
    boxes = (face.box for _, face in sights)
    return np.array([[box.x1, box.y1, box.x2, box.y2] for box in boxes], dtype=np.float32)
