"""The face detector: MTCNN with the weights of facenet-pytorch."""

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
"""Larger photos return memory to the system between strips, which takes a fifth longer."""


class Detector:
    """Finds faces in upright RGB pictures; the networks are loaded once."""

    def __init__(self, device: torch.device) -> None:
        self._networks = Networks.from_weights(mtcnn_weights(), device)

    def detect(self, image: Image.Image) -> list[Face]:
        """Every face, the largest first; BadImage for a picture smaller than the smallest face."""
        if min(image.size) < SMALLEST_FACE:
            raise BadImage(f"smaller than {SMALLEST_FACE} pixels", "give a larger picture")
        if image.width * image.height < LARGE_PIXELS:
            return find_faces(image, self._networks)
        return find_faces(image, self._networks, after_strip=return_freed_memory)

    def rescue(self, image: Image.Image) -> Rescue | None:
        """What the second pass finds in a picture in which `detect` finds no face."""
        return rescue(image, self._networks)


PACKAGE = "facenet_pytorch"
NETWORKS = ("pnet", "rnet", "onet")


def mtcnn_weights() -> dict[str, dict[str, Tensor]]:
    """The weights of MTCNN's three networks, by network and by their names in it.

    They are read from the installed facenet-pytorch without importing it, as it imports torchvision: a second
    and 160 MB in every process. Raises Unavailable where facenet-pytorch is not installed.
    """
    spec = find_spec(PACKAGE)
    for folder in (spec and spec.submodule_search_locations) or []:
        files = {name: Path(folder) / "data" / f"{name}.pt" for name in NETWORKS}
        if all(path.is_file() for path in files.values()):
            return {name: torch.load(path, map_location="cpu") for name, path in files.items()}
    raise Unavailable("facenet-pytorch, which has MTCNN's weights, is not installed", "install it with pip")


def return_freed_memory() -> None:
    """Return freed memory to the system; does nothing where the C library is not glibc.

    glibc keeps freed memory between small pieces in use, after large arrays of changing sizes several times
    what is in use. Each returned page costs a page fault later: call this rarely.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
