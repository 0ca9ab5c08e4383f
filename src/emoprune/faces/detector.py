"""Faces in photos: the networks of one room driven by the rules of another."""

from __future__ import annotations

import torch
from PIL import Image

from emoprune.errors import BadImage
from emoprune.faces.faces import mtcnn_weights
from emoprune.faces.memory import give_back
from emoprune.faces.mtcnn import SMALLEST_FACE, Networks, Rescue, find_faces, rescue
from emoprune.faces.types import Face

LARGE_PIXELS = 16_000_000
"""Photos from which on memory is given back between strips, which takes a fifth longer."""


class Detector:
    """Finds faces in upright RGB pictures; the networks are loaded once."""

    def __init__(self, device: torch.device) -> None:
        self._networks = Networks.from_weights(mtcnn_weights(), device)

    def detect(self, image: Image.Image) -> list[Face]:
        """Every face, the largest first; each face's box, probability and landmarks belong together.

        Raises BadImage for a picture too small to hold a face that MTCNN could find.
        """
        if min(image.size) < SMALLEST_FACE:
            raise BadImage(f"smaller than {SMALLEST_FACE} pixels", "give a larger picture")
        if image.width * image.height < LARGE_PIXELS:
            return find_faces(image, self._networks)
        return find_faces(image, self._networks, after_strip=give_back)

    def rescue(self, image: Image.Image) -> Rescue | None:
        """What a second look finds in a picture in which `detect` finds no face."""
        return rescue(image, self._networks)
