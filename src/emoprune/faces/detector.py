"""Faces in photos: the networks of one room driven by the rules of another."""

from __future__ import annotations

import ctypes
from importlib.util import find_spec
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from emoprune.errors import BadImage, Unavailable
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


PACKAGE = "facenet_pytorch"
NETWORKS = ("pnet", "rnet", "onet")


def mtcnn_weights() -> dict[str, dict[str, Tensor]]:
    """The weights of MTCNN's three networks, by network and by their names in it.

    They are read from the installed facenet-pytorch without importing it: that would import torchvision, a
    second and 160 MB for every process that looks for faces. Raises Unavailable where they are not there.
    """
    spec = find_spec(PACKAGE)
    for folder in (spec and spec.submodule_search_locations) or []:
        files = {name: Path(folder) / "data" / f"{name}.pt" for name in NETWORKS}
        if all(path.is_file() for path in files.values()):
            return {name: torch.load(path, map_location="cpu") for name, path in files.items()}
    raise Unavailable("facenet-pytorch, which has MTCNN's weights, is not installed", "install it with pip")


def give_back() -> None:
    """Return freed memory to the system, where the C library is glibc; elsewhere nothing.

    glibc keeps what is freed between small pieces still in use. Large arrays of changing sizes scatter over
    what it keeps until that is several times what is in use; each page given back costs its fault again, so
    call this between large pieces of work only.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
