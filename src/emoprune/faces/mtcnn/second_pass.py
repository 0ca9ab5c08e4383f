"""A second pass over photos in which MTCNN finds no face: dark, tinted or turned ones.

Lower thresholds alone find faces in wallpaper, and in faces that lie on their side. So four variants of the
light vote for each face with its probability in them; a false face is seldom found twice. A face in a turned
photo needs nearly all votes, as most photos are upright.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass
from functools import partial

import numpy as np
from PIL import Image, ImageOps

from emoprune.faces.mtcnn import image_variants
from emoprune.faces.mtcnn.cascade import Networks, find_faces
from emoprune.faces.mtcnn.nms import iou
from emoprune.faces.types import Face

LONGEST = 1280
"""Pixels of the longer side, to which larger photos are shrunk; smaller faces are not searched here."""
LOW_THRESHOLDS = (0.5, 0.5, 0.5)
SMALLEST_SIDE = 1 / 16
"""Least side of a face as a fraction of the photo's shorter side."""
UPRIGHT_VOTES = 1.8
TURNED_VOTES = 3.5
"""Votes that a face needs: the sum of its probabilities in the four variants."""
SAME = 0.4
"""Boxes with this intersection over union show the same face."""

UNCHANGED = "lower thresholds"
VARIANTS: dict[str, Callable[[Image.Image], Image.Image]] = {
    UNCHANGED: lambda image: image,
    "stretched contrast": partial(ImageOps.autocontrast, cutoff=image_variants.CLIPPED_PERCENT),
    "equalized contrast": ImageOps.equalize,
    "brightened": image_variants.brightened,
}


@dataclass(frozen=True)
class Rescue:
    """Faces of a photo found by the second pass, the largest first, in pixels of the photo as it is.

    Turning the photo counter-clockwise by `turn` degrees (0, 90, 180 or 270) makes the faces upright. `how`
    is the variant in which they are found, in words.
    """

    faces: tuple[Face, ...]
    turn: int
    how: str


Detection = tuple[str, Face]
"""The name of a variant, and a face in it."""


def rescue(image: Image.Image, networks: Networks) -> Rescue | None:
    """The faces of an RGB photo in the turn whose best face has the most votes, or None."""
    factor = max(max(image.size) / LONGEST, 1)
    size = (round(image.width / factor), round(image.height / factor))
    small = image if factor == 1 else image.resize(size)
    found = {turn: _elected(small, turn, networks) for turn in image_variants.TURNS}
    turn = max(found, key=lambda turn: max(map(votes, found[turn]), default=0))
    if not found[turn]:
        return None
    shown = [image_variants.turned_back(_best(group)[1], turn, small.size) for group in found[turn]]
    faces = sorted((face.scaled(factor, factor) for face in shown), key=lambda face: -face.box.area)
    variant, _ = _best(max(found[turn], key=votes))
    how = f"turned {turn}, {variant}".removesuffix(f", {UNCHANGED}") if turn else variant
    return Rescue(tuple(faces), turn, how)


def _best(group: Sequence[Detection]) -> Detection:
    """The detection whose box and landmarks count: that in the unchanged photo, else the surest."""
    return next((each for each in group if each[0] == UNCHANGED), group[0])


def votes(group: Sequence[Detection]) -> float:
    """The sum of the probabilities of one face, from 0 to the number of variants."""
    return sum(face.probability for _, face in group)


def _elected(image: Image.Image, turn: int, networks: Networks) -> list[list[Detection]]:
    """The faces of the turned photo with enough votes: their detections, the surest first."""
    upright = image_variants.turned(image, turn)
    detections = [
        (name, face)
        for name, variant in VARIANTS.items()
        for face in find_faces(variant(upright), networks, thresholds=LOW_THRESHOLDS)
        if face.box.shorter >= SMALLEST_SIDE * min(image.size)
    ]
    needed = TURNED_VOTES if turn else UPRIGHT_VOTES
    return [group for group in _groups(detections) if votes(group) >= needed]


def _groups(detections: Sequence[Detection]) -> list[list[Detection]]:
    """Detections of the same face together, the surest first, each variant once."""
    left = sorted(detections, key=lambda each: -each[1].probability)
    groups = []
    while left:
        corners = np.array([astuple(face.box) for _, face in left], dtype=np.float32)
        overlaps = iou(corners[:1, None], corners)[0]
        same = [each for each, overlap in zip(left, overlaps, strict=True) if overlap > SAME]
        left = [each for each, overlap in zip(left, overlaps, strict=True) if overlap <= SAME]
        # reversed, so that the surest detection of a variant is kept
        once = {name: (name, face) for name, face in reversed(same)}
        groups.append(sorted(once.values(), key=lambda each: -each[1].probability))
    return groups
