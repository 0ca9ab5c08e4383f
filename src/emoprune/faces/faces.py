"""The weights of facenet-pytorch's MTCNN (Zhang et al. 2016)."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor

from emoprune.errors import Unavailable

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
