"""The weights of facenet-pytorch's MTCNN (Zhang et al. 2016), and which of the faces found is wanted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor

from emoprune.errors import Unavailable
from emoprune.records import Face
from emoprune.records.choices import Select

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
