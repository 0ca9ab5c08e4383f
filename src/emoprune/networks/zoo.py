"""ImageNet weights from torchvision's own collection, fetched once and kept in torch's cache."""

from __future__ import annotations

from urllib.error import URLError

from torch import Tensor
from torchvision import models

from emoprune.errors import Unavailable


def imagenet_weights(arch: str, *, progress: bool) -> dict[str, Tensor]:
    """torchvision's default ImageNet tensors of `arch`; Unavailable where they cannot be had."""
    weights = models.get_model_weights(arch).DEFAULT
    try:
        tensors: dict[str, Tensor] = weights.get_state_dict(
            progress=progress, check_hash=True, weights_only=True
        )
    except (URLError, OSError, RuntimeError) as error:
        reason = getattr(error, "reason", error)
        raise Unavailable(
            f"ImageNet weights of {arch} cannot be fetched ({reason})",
            "give a file of them: --weights PATH",
            place=weights.url,
        ) from error
    except Exception as error:
        # fed damaged bytes, torch's unpickler raises whatever its code happens to trip over
        raise Unavailable(
            f"the cached ImageNet weights of {arch} are damaged",
            "remove them from torch's cache",
            place=weights.url,
        ) from error
    return tensors
