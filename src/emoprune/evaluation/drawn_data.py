"""Drawn faces where no photos are at hand, as light and as rich in contrast as those a network knows."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from emoprune.data.image_dataset import Photos
from emoprune.data.types import Preprocess
from emoprune.evaluation.model import Subset
from emoprune.synthetic_faces import EMOTIONS, draw_face

COUNT = 1000
"""Faces that are drawn at most; twice as many take twice the time and bring little."""

MATCHED_ON = 256
"""Faces that contrast and brightness are measured on."""


def drawn_faces(net: nn.Module, preprocess: Preprocess, limit: int, *, seed: int) -> Subset:
    """Up to `limit` drawn faces as input of `net`, of all emotions in turn; the same for the same seed.

    Their contrast and brightness are those with which the input of the first batch norm has, as nearly as
    they can give it, the moments that the norm keeps of the training images.
    """
    count = min(limit, COUNT)

    def picture(index: int) -> Image.Image:
        return draw_face(EMOTIONS[index % len(EMOTIONS)], generator=np.random.default_rng((seed, index)))

    samples = Photos(picture, [0] * count, preprocess)
    faces = Subset(samples, torch.arange(count), preprocess, torch.device("cpu"))
    return replace(faces, preprocess=matched(net, preprocess, torch.cat(list(faces.inputs(MATCHED_ON)))))


def matched(net: nn.Module, preprocess: Preprocess, images: Tensor) -> Preprocess:
    """The preprocess that gives `images`, network input by the given one, the contrast of training images.

    It is the given one where the network has no batch norm. Layers before the first are taken to be linear.
    """
    found = _first_norm(net, images)
    if found is None:
        return preprocess
    norm, seen = found
    mean, variance = seen.mean((0, 2, 3)), seen.var((0, 2, 3))
    varying = (variance > 0) & (norm.running_var > 0)
    if not bool(varying.any()):
        return preprocess
    gain = math.exp(float((norm.running_var / variance)[varying].log().mean()) / 2)
    # what one more in one channel of the input adds to the norm's
    channels = torch.eye(images.shape[1])[:, :, None, None].expand(-1, -1, *images.shape[2:])
    flat = _first_norm(net, torch.cat([torch.zeros_like(channels[:1]), channels]))
    assert flat is not None
    constant, *lit = flat[1].mean((2, 3))
    slopes = torch.stack(lit, 1) - constant[:, None]
    if preprocess.color == "gray":
        # the channels of one picture are the same
        slopes = slopes.sum(1, keepdim=True)
    missing = norm.running_mean - constant - gain * (mean - constant)
    weight = torch.where(varying, norm.running_var, torch.inf).rsqrt()[:, None]
    lighter = torch.linalg.lstsq(slopes * weight, missing[:, None] * weight, driver="gelsd").solution
    shifts = lighter[:, 0].expand(len(preprocess.mean)).tolist()
    std = tuple(each / gain for each in preprocess.std)
    centers = zip(preprocess.mean, std, shifts, strict=True)
    return replace(preprocess, mean=tuple(center - each * shift for center, each, shift in centers), std=std)


class _Reached(Exception):
    """The first batch norm has its input."""


def _first_norm(net: nn.Module, images: Tensor) -> tuple[Any, Tensor] | None:
    """The first batch norm that a network comes to, and its input (n, channels, height, width)."""
    found: list[tuple[Any, Tensor]] = []

    def stop(norm: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        found.append((norm, inputs[0]))
        raise _Reached

    norms = (module for module in net.modules() if isinstance(module, nn.BatchNorm2d))
    hooks = [norm.register_forward_pre_hook(stop) for norm in norms if norm.running_var is not None]
    try:
        with torch.inference_mode():
            net(images)
    except _Reached:
        pass
    finally:
        for hook in hooks:
            hook.remove()
    return found[0] if found else None
