"""Faces in photos, by facenet-pytorch's MTCNN (Zhang et al. 2016); its weights come with the package."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from facenet_pytorch import MTCNN
from PIL import Image

from emoprune.errors import BadImage
from emoprune.records import Box, Face
from emoprune.records.choices import Select

SMALLEST_SIDE = 20
"""MTCNN's own limit: the least face it looks for."""


class Detector:
    """Finds faces in upright RGB pictures."""

    def __init__(self, device: torch.device) -> None:
        self._mtcnn = MTCNN(keep_all=True, device=device)

    def detect(self, image: Image.Image) -> list[Face]:
        """Every face, in MTCNN's order; each face's box, probability and landmarks belong together.

        Raises BadImage for a picture too small to hold a face that MTCNN could find.
        """
        if min(image.size) < SMALLEST_SIDE:
            raise BadImage(f"smaller than {SMALLEST_SIDE} pixels", "give a larger picture")
        with torch.inference_mode():
            boxes, probabilities, landmarks = self._mtcnn.detect(image, landmarks=True)
        if boxes is None:
            return []
        return [
            Face(
                Box(*(float(value) for value in box)),
                float(probability),
                tuple((float(x), float(y)) for x, y in points),
            )
            for box, probability, points in zip(boxes, probabilities, landmarks, strict=True)
            # its regression can, in theory, turn a box inside out
            if box[2] > box[0] and box[3] > box[1]
        ]


def largest(faces: Sequence[Face], size: tuple[int, int]) -> list[Face]:
    """The face with the largest box; of equals the first."""
    return [max(faces, key=lambda face: face.box.area)]


def confident(faces: Sequence[Face], size: tuple[int, int]) -> list[Face]:
    """The face that the detector is surest of."""
    return [max(faces, key=lambda face: face.probability)]


def central(faces: Sequence[Face], size: tuple[int, int]) -> list[Face]:
    """The face whose middle is nearest to the middle of a photo of `size` (width, height)."""

    def distance(face: Face) -> float:
        x, y = face.box.centre
        return (x - size[0] / 2) ** 2 + (y - size[1] / 2) ** 2

    return [min(faces, key=distance)]


def every(faces: Sequence[Face], size: tuple[int, int]) -> list[Face]:
    """All faces, as detected."""
    return list(faces)


CHOICES: dict[Select, Callable[[Sequence[Face], tuple[int, int]], list[Face]]] = {
    "largest": largest,
    "confident": confident,
    "center": central,
    "all": every,
}
