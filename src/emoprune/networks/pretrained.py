"""Pre-trained tensors from safetensors and PyTorch files, read without running code from them."""

from __future__ import annotations

import io
import pickle
import warnings
from urllib.error import URLError

import torch
from torch import Tensor
from torchvision import models

from emoprune.errors import BadCheckpoint, Unavailable, at
from emoprune.io import safetensors_files
from emoprune.io.files import read_bytes
from emoprune.networks.checkpoint import NET

SAFETENSORS_SUFFIXES = (".safetensors", ".st")
WRAPPERS = ("state_dict", "model_state_dict", "model")
PARALLEL = "module."
ZIP, PICKLE = b"PK\x03\x04", b"\x80"
"""First bytes of files of torch.save, now and before 2020."""

SAVE_STATE_DICT = "save its state_dict() alone with torch.save"


def read(path: str) -> dict[str, Tensor]:
    """The tensors by name of a .safetensors, .st, .pth or .pt file; BadCheckpoint for anything else.

    A checkpoint of emoprune gives its network. A .pth is read with weights_only: other objects are refused,
    because unpickling them would run their code.
    """
    data = read_bytes(path, fault=BadCheckpoint)
    with at(path):
        safe = path.endswith(SAFETENSORS_SUFFIXES)
        tensors = safetensors_files.load(data)[0] if safe else _unpickled(data)
    if any(name.startswith(NET) for name in tensors):
        tensors = {name.removeprefix(NET): value for name, value in tensors.items() if name.startswith(NET)}
    return {name.removeprefix(PARALLEL): value for name, value in tensors.items()}


def _unpickled(data: bytes) -> dict[str, Tensor]:
    if not data.startswith((ZIP, PICKLE)):
        raise BadCheckpoint("the file is empty" if not data else "not a PyTorch file", SAVE_STATE_DICT)
    try:
        with warnings.catch_warnings(action="ignore"):
            value = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise BadCheckpoint("holds pickled objects, which may run code", SAVE_STATE_DICT) from None
    except Exception as error:
        # torch's unpickler raises anything for damaged bytes
        raise BadCheckpoint("a damaged PyTorch file", "copy it again") from error
    for wrapper in WRAPPERS:
        if isinstance(value, dict) and isinstance(value.get(wrapper), dict):
            value = value[wrapper]
    tensors = isinstance(value, dict) and all(isinstance(entry, Tensor) for entry in value.values())
    if not tensors or not value:
        raise BadCheckpoint("holds no tensors by name", SAVE_STATE_DICT)
    return {str(name): entry for name, entry in value.items()}


def imagenet_weights(arch: str, *, progress: bool) -> dict[str, Tensor]:
    """torchvision's default ImageNet tensors of `arch`; Unavailable if they cannot be fetched."""
    weights = models.get_model_weights(arch).DEFAULT
    options = {"progress": progress, "check_hash": True, "weights_only": True}
    try:
        tensors: dict[str, Tensor] = weights.get_state_dict(**options)
    except (URLError, OSError, RuntimeError) as error:
        fact = f"ImageNet weights of {arch} cannot be fetched ({getattr(error, 'reason', error)})"
        raise Unavailable(fact, "give a file of them: `weights=PATH`", place=weights.url) from error
    except Exception as error:
        # torch's unpickler raises anything for damaged bytes
        fact = f"the cached ImageNet weights of {arch} are damaged"
        raise Unavailable(fact, "remove them from torch's cache", place=weights.url) from error
    return tensors
