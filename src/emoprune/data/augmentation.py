"""AUGMENTATIONS: random changes of training images that leave the expression alone."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from emoprune.errors import UsageFault


@dataclass(frozen=True)
class Augmentation:
    """One kind of change: `default` and the open-closed range of its strength, and what it does."""

    default: float
    above: float
    up_to: float
    meaning: str


AUGMENTATIONS: dict[str, Augmentation] = {
    "flip": Augmentation(0.5, 0, 1, "mirror left to right with this probability"),
    "rotate": Augmentation(15, 0, 180, "turn by up to this many degrees either way"),
    "crop": Augmentation(0.9, 0, 1, "cut out a square of this share of the side up to all, anywhere"),
    "shift": Augmentation(0.1, 0, 1, "move by up to this share of the side either way"),
    "brightness": Augmentation(0.2, 0, 1, "add up to this share of full brightness either way"),
    "contrast": Augmentation(0.2, 0, 1, "multiply contrast by 1 plus or minus up to this"),
}


def parse_augmentations(texts: Sequence[str]) -> dict[str, float]:
    """`["flip", "rotate:15,crop"]` as names and strengths; raises UsageFault for what is not in the table.

    `["none"]` is none, whatever a preset says.
    """
    chosen: dict[str, float] = {}
    if list(texts) == ["none"]:
        return chosen
    for text in ",".join(texts).split(",") if texts else ():
        name, _, strength = text.partition(":")
        kind = AUGMENTATIONS.get(name)
        if kind is None:
            raise UsageFault(f"--augment {text}: unknown", f"choose from {', '.join(AUGMENTATIONS)}")
        try:
            value = float(strength) if strength else kind.default
        except ValueError:
            value = math.nan
        if not kind.above < value <= kind.up_to:
            raise UsageFault(
                f"--augment {text}: its strength is no number above {kind.above:g} up to {kind.up_to:g}",
                f"write {name}:{kind.default:g}",
            )
        chosen[name] = value
    return chosen


def augment(images: Tensor, strengths: dict[str, float], *, generator: torch.Generator) -> Tensor:
    """Randomly changed copies of `images` (n, channels, height, width) in 0..1; one interpolation for all.

    Turns, mirrors, crops and shifts are one affine map per image (elazar2020, section 3.1);
    what comes into view from outside repeats the edge.
    """

    def uniform(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(len(images), generator=generator)

    if strengths.keys() & {"flip", "rotate", "crop", "shift"}:
        images = _warp(images, strengths, uniform)
    if "contrast" in strengths:
        factor = 1 + uniform(-strengths["contrast"], strengths["contrast"])[:, None, None, None]
        mean = images.mean((1, 2, 3), keepdim=True)
        images = (mean + (images - mean) * factor.to(images.device)).clamp(0, 1)
    if "brightness" in strengths:
        offset = uniform(-strengths["brightness"], strengths["brightness"])[:, None, None, None]
        images = (images + offset.to(images.device)).clamp(0, 1)
    return images


def _warp(images: Tensor, strengths: dict[str, float], uniform: Callable[[float, float], Tensor]) -> Tensor:
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
    maps = torch.stack(
        [
            torch.stack([mirror * cosine, -sine * aspect, right], 1),
            torch.stack([mirror * sine / aspect, cosine, down], 1),
        ],
        1,
    )
    grid = torch.nn.functional.affine_grid(maps.to(images), list(images.shape), align_corners=False)
    return torch.nn.functional.grid_sample(images, grid, padding_mode="border", align_corners=False)
