"""The device to compute on."""

from __future__ import annotations

import os

import torch

from emoprune.choices import DeviceName
from emoprune.errors import Unavailable


def device(name: DeviceName) -> torch.device:
    """The device that `name` asks for; Unavailable where this machine has none.

    On CUDA the deterministic algorithms are chosen, so that there, too, one command gives one result.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise Unavailable("no CUDA device on this machine", "use `device=cpu`", place="`device=cuda`")
    if name == "cpu" or not torch.cuda.is_available():
        return torch.device("cpu")
    # read by cuBLAS when it starts
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.backends.cudnn.benchmark = False
    return torch.device("cuda")
