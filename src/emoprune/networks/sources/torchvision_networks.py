"""Classifiers of torchvision, and the ImageNet weights that it publishes."""

from __future__ import annotations

import os
from typing import Any

from torch import Tensor, nn

from emoprune.errors import Unavailable
from emoprune.networks.types import PictureInput, Spec

# torchvision takes as long to import as torch itself, and our own networks do not need it


def build(spec: Spec) -> nn.Module:
    """The network that torchvision calls as `spec` does."""
    from torchvision import models

    more: dict[str, Any] = {}
    if spec.arch in ("googlenet", "inception_v3"):
        # their ImageNet weights expect another scale, to which they transform the usual one
        more = {"aux_logits": False, "init_weights": False, "transform_input": True}
    elif spec.arch.startswith("vit"):
        more = {"image_size": spec.input[1]}
    elif spec.arch == "maxvit_t":
        more = {"input_size": spec.input[1:]}
    net: nn.Module = models.get_model(spec.arch, weights=None, num_classes=spec.classes, **more)
    return net


def published(spec: Spec, weights: str, *, progress: bool) -> dict[str, Tensor]:
    """torchvision's default ImageNet tensors of a network; Unavailable if they cannot be fetched."""
    from torchvision import models

    entry = models.get_model_weights(spec.arch).DEFAULT
    options = {"progress": progress, "check_hash": True, "weights_only": True}
    try:
        tensors: dict[str, Tensor] = entry.get_state_dict(**options)
    except Exception as error:
        if isinstance(error, OSError) or str(error).startswith("invalid hash"):
            fact = f"ImageNet weights of {spec.arch} cannot be fetched ({getattr(error, 'reason', error)})"
            raise Unavailable(fact, "give a file of them: `weights=PATH`", place=entry.url) from error
        # torch's unpickler raises anything for damaged bytes
        fact = f"the cached ImageNet weights of {spec.arch} are damaged"
        raise Unavailable(fact, "remove them from torch's cache", place=entry.url) from error
    return tensors


def pictures(arch: str, weights: str) -> PictureInput | None:
    """The pictures that ImageNet weights, or a file that still has their name, were trained for."""
    from torchvision import models

    if weights == "imagenet":
        return _input_of(models.get_model_weights(arch).DEFAULT)
    # these names end in a hash of their bytes
    entries = {entry.url.rpartition("/")[2]: entry for entry in models.get_model_weights(arch)}
    found = entries.get(os.path.basename(weights))
    return None if found is None else _input_of(found)


def _input_of(entry: Any) -> PictureInput:
    transforms = entry.transforms()
    (side,) = transforms.crop_size
    return (side, side), tuple(transforms.mean), tuple(transforms.std)
