"""What an extraction of features is asked for."""

from __future__ import annotations

from dataclasses import dataclass

from emoprune.features.registry import DESCRIPTORS, KINDS
from emoprune.networks.config import InputConfig
from emoprune.networks.registry import ARCHITECTURES, USUAL_TORCHVISION
from emoprune.settings import check_limits, like, setting

SIZES = f"48 for pixels, 128 for {' and '.join(DESCRIPTORS)}, the architecture's own for a network"
TORCHVISION = [name for name, entry in ARCHITECTURES.items() if entry.source == "torchvision"]


@dataclass(frozen=True, kw_only=True)
class FeaturesConfig:
    """Kinds of features, the principal components to keep, and the input of pictures and networks.

    What is None is each kind's own. `seed` decides the training part that components are fitted to.
    """

    kinds: tuple[str, ...] = setting(("pixels",), "Kinds of features, side by side.", names=KINDS)
    pca: int | None = setting(
        None,
        "Keep the first K principal components of each kind, fitted to the training part alone.",
        metavar="K",
        low=1,
    )
    seed: int = setting(0, "What every random choice follows from.", metavar="N", low=0, high=2**32 - 1)
    arch: str | None = setting(
        None,
        "Any torchvision classifier by name.",
        metavar="NAME",
        names=TORCHVISION,
        default_text=USUAL_TORCHVISION,
    )
    weights: str | None = like(
        InputConfig,
        "weights",
        help="What the network starts from: torchvision's ImageNet weights (fetched; the pictures that they "
        "were trained on are then the default), nothing, or a file, safetensors or PyTorch's.",
        default_text="imagenet",
    )
    size: str | None = like(InputConfig, "size", help="What faces are resized to.", default_text=SIZES)
    gray: bool = like(InputConfig, "gray")
    mean: str | None = like(InputConfig, "mean", default_text="ImageNet's")
    std: str | None = like(InputConfig, "std", default_text="ImageNet's")

    def __post_init__(self) -> None:
        check_limits(self)
