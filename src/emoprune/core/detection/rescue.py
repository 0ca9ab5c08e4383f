"""A second look at photos in which MTCNN sees no face: dark, tinted or turned ones.

A single look with lower thresholds finds faces in wallpaper. Here several looks that differ in light have to
agree on a face, and one of them has to be rather sure.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from emoprune.core.detection import views
from emoprune.core.detection.cascade import Networks, find_faces
from emoprune.core.detection.suppression import of_union
from emoprune.records import Face

LONGEST = 1280
"""Pixels of the longer side: larger photos are shrunk to it, for faces that fill little of one are not meant."""
LOW_THRESHOLDS = (0.5, 0.5, 0.5)
SURE = 0.8
"""Least probability of the look that is surest."""
AGREEING = 2
"""Looks that must see the face."""
SAME = 0.4
"""Boxes of different looks with this share in common show the same face."""

VIEWS: dict[str, Callable[[Image.Image], Image.Image]] = {
    "lower thresholds": views.as_it_is,
    "stretched contrast": views.stretched,
    "equalised contrast": views.equalised,
    "brightened": views.brightened,
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
"""The name of a view, and a face in it."""


def rescue(image: Image.Image, networks: Networks) -> Rescue | None:
    """What a second look finds in an RGB photo, upright first, then turned; None if nothing."""
    factor = max(max(image.size) / LONGEST, 1)
    small = image if factor == 1 else image.resize((round(image.width / factor), round(image.height / factor)))
    upright = _look(small, 0, networks)
    found = [upright] if upright else [_look(small, turn, networks) for turn in (90, 270, 180)]
    rescues = [one for one in found if one is not None]
    if not rescues:
        return None
    best = max(rescues, key=lambda one: max(face.probability for face in one.faces))
    return Rescue(tuple(views.enlarged(face, factor) for face in best.faces), best.turn, best.how)


def _look(image: Image.Image, turn: int, networks: Networks) -> Rescue | None:
    """What the views of one turn agree on."""
    upright = views.turned(image, turn)
    sights = [
        (name, face)
        for name, view in VIEWS.items()
        for face in find_faces(view(upright), networks, thresholds=LOW_THRESHOLDS)
    ]
    agreed = [group[0] for group in _groups(sights) if _trusted(group)]
    if not agreed:
        return None
    agreed.sort(key=lambda sight: sight[1].box.area, reverse=True)
    how = max(agreed, key=lambda sight: sight[1].probability)[0]
    faces = tuple(views.turned_back(face, turn, image.size) for _, face in agreed)
    return Rescue(faces, turn, f"turned {turn}, {how}" if turn else how)


def _groups(sights: Sequence[Sight]) -> list[list[Sight]]:
    """Sights of the same face together, the surest first, each view once."""
    left = sorted(sights, key=lambda sight: -sight[1].probability)
    groups = []
    while left:
        shares = of_union(_corners(left[:1])[:, None], _corners(left))[0]
        same = [sight for sight, share in zip(left, shares, strict=True) if share > SAME]
        left = [sight for sight, share in zip(left, shares, strict=True) if share <= SAME]
        # reversed, so that of a view's sights the surest is kept
        once = {name: (name, face) for name, face in reversed(same)}
        groups.append(sorted(once.values(), key=lambda sight: -sight[1].probability))
    return groups


def _trusted(group: Sequence[Sight]) -> bool:
    return len(group) >= AGREEING and group[0][1].probability >= SURE


def _corners(sights: Sequence[Sight]) -> np.ndarray:
    boxes = (face.box for _, face in sights)
    return np.array([[box.x1, box.y1, box.x2, box.y2] for box in boxes], dtype=np.float32)
