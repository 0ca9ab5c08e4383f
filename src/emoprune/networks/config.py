"""What a network reads, and the weights that it starts from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from emoprune.settings import setting

MEMORY: Any = setting(
    None,
    "Most that it may take; what needs more is refused.",
    metavar="GB",
    low=0.01,
    default_text="what is free",
)

BLOCK = 16
"""Channels that onnxruntime computes at once with AVX-512; more than a multiple cost as much as the next one.

With narrower registers it is 8. Convolutions whose inputs are not a multiple of 4 are slower still.
"""


@dataclass(frozen=True, kw_only=True)
class InputConfig:
    """Settings of networks that training and the extraction of features share."""

    weights: str | None = setting(
        None,
        "What to start from. Published weights are fetched, and the pictures that they were trained on are "
        "then the default: imagenet of torchvision and timm, vggface2 or casia-webface of "
        "inception_resnet_v1. Or nothing, or a file, safetensors or PyTorch's.",
        metavar="imagenet|none|PATH",
        default_text="published ones where there are any, else none",
    )
    size: str | None = setting(None, "Input size.", metavar="PX|HxW", default_text="the architecture's own")
    gray: bool = setting(
        False, "Gray pictures; networks of libraries see them three times.", option="--gray/--color"
    )
    mean: str | None = setting(
        None,
        "Subtracted per channel after scaling to 0..1.",
        metavar="X[,Y,Z]",
        default_text="as of the published weights, else 0.5",
    )
    std: str | None = setting(
        None,
        "Divided by per channel.",
        metavar="X[,Y,Z]",
        default_text="as of the published weights, else 0.5",
    )
