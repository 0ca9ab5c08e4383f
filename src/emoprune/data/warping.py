"""Augmentations applied to a batch of images."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from emoprune.data.randomness import drawing_from


def augment(
    images: Tensor,
    strengths: Mapping[str, float],
    *,
    generator: torch.Generator,
    fill: Sequence[float] = (0.0,),
) -> Tensor:
    """Randomly changed copies of `images` (n, channels, height, width) in 0..1.

    Turns, mirrors, crops and shifts are one affine map, and one interpolation, per image (elazar2020,
    section 3.1). Pixels from outside the image repeat its edge. What is erased becomes `fill`, one number
    or one for each channel.
    """

    def uniform(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(len(images), generator=generator)

    if "trivial" in strengths:
        chosen = uniform(0, 1) < strengths["trivial"]
        images = _each_changed(images, chosen, _trivial(), generator)
    if strengths.keys() & {"flip", "rotate", "crop", "shift"}:
        images = _warp(images, strengths, uniform)
    if "contrast" in strengths:
        factor = 1 + uniform(-strengths["contrast"], strengths["contrast"])[:, None, None, None]
        mean = images.mean((1, 2, 3), keepdim=True)
        images = (mean + (images - mean) * factor.to(images.device)).clamp(0, 1)
    if "brightness" in strengths:
        offset = uniform(-strengths["brightness"], strengths["brightness"])[:, None, None, None]
        images = (images + offset.to(images.device)).clamp(0, 1)
    if "erase" in strengths:
        chosen = uniform(0, 1) < strengths["erase"]
        images = _each_changed(images, chosen, _erasing(fill), generator)
    return images


def _trivial() -> Callable[[Tensor], Tensor]:
    # torchvision takes as long to import as torch itself
    from torchvision.transforms import v2

    change: Callable[[Tensor], Tensor] = v2.TrivialAugmentWide(interpolation=v2.InterpolationMode.BILINEAR)
    return change


def _erasing(fill: Sequence[float]) -> Callable[[Tensor], Tensor]:
    from torchvision.transforms import v2

    change: Callable[[Tensor], Tensor] = v2.RandomErasing(p=1, value=list(fill))
    return change


def _each_changed(
    images: Tensor, chosen: Tensor, change: Callable[[Tensor], Tensor], generator: torch.Generator
) -> Tensor:
    """The images with those that are `chosen` changed one by one.

    Torchvision draws from torch's global generator, which is seeded for it and left as it was.
    """
    with drawing_from(generator):
        return torch.stack(
            [
                change(image) if wanted else image
                for image, wanted in zip(images, chosen.tolist(), strict=True)
            ]
        )


def _warp(
    images: Tensor, strengths: Mapping[str, float], uniform: Callable[[float, float], Tensor]
) -> Tensor:
    height, width = images.shape[-2:]
    turn = strengths.get("rotate", 0.0)
    angle = torch.deg2rad(uniform(-turn, turn))
    zoom = uniform(strengths.get("crop", 1.0), 1.0)
    mirror = torch.where(uniform(0, 1) < strengths.get("flip", 0.0), -1.0, 1.0)
    # in grid coordinates the side is 2, so a crop may move by what it leaves free
    reach = 2 * strengths.get("shift", 0.0)
    right = uniform(-1, 1) * (1 - zoom + reach)
    down = uniform(-1, 1) * (1 - zoom + reach)
    cosine, sine = angle.cos() * zoom, angle.sin() * zoom
    aspect = height / width
    entries = [mirror * cosine, -sine * aspect, right, mirror * sine / aspect, cosine, down]
    maps = torch.stack(entries, 1).view(-1, 2, 3)
    grid = torch.nn.functional.affine_grid(maps.to(images), list(images.shape), align_corners=False)
    return torch.nn.functional.grid_sample(images, grid, padding_mode="border", align_corners=False)
