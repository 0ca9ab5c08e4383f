"""ARCHITECTURES: every network by name, with what commands need before torch is imported."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from emoprune.choices import Kind, Task


@dataclass(frozen=True)
class Architecture:
    """`size` is the default (height, width); `smallest` and `step` limit the sizes that the network takes.

    `hidden` is the default head; `own` is false for torchvision's networks; `square` asks for equal height
    and width; `takes` lists the kinds of input; `channels` counts the convolutions with a chosen width.
    """

    size: tuple[int, int] = (224, 224)
    smallest: int = 32
    step: int = 1
    square: bool = False
    hidden: tuple[int, ...] = ()
    own: bool = False
    takes: tuple[Kind, ...] = ("image",)
    task: Task = "classify"
    channels: int = 0


REGNETS = ("16gf", "1_6gf", "32gf", "3_2gf", "400mf", "800mf", "8gf")


def _family(*names: str, **limits: Any) -> dict[str, Architecture]:
    return dict.fromkeys(names, Architecture(**limits))


ARCHITECTURES: dict[str, Architecture] = {
    "conv1": Architecture(size=(48, 48), smallest=6, hidden=(200,), own=True, channels=1),
    "conv2": Architecture(size=(48, 48), smallest=16, hidden=(200,), own=True, channels=2),
    "mlp": Architecture(size=(48, 48), smallest=1, hidden=(20,), own=True, takes=("image", "table")),
    "zhang_alexnet": Architecture(
        size=(576, 720), smallest=307, hidden=(3072, 1526, 100), own=True, channels=6
    ),
    "zhang_vgg": Architecture(size=(576, 720), smallest=128, hidden=(5120, 1000, 100), own=True, channels=7),
    "autoencoder": Architecture(hidden=(10,), own=True, takes=("table",), task="reconstruct"),
    "lenet": Architecture(size=(72, 90), smallest=18, own=True, channels=2),
    # the paper leaves the width of the dense layers open
    "wright_cnn": Architecture(size=(48, 48), smallest=10, hidden=(1024, 1024), own=True, channels=5),
    "svm": Architecture(own=True, takes=("table",)),
    "alexnet": Architecture(smallest=63),
    **_family("convnext_base", "convnext_large", "convnext_small", "convnext_tiny"),
    **_family("densenet121", "densenet161", "densenet169", "densenet201", smallest=29),
    **_family(*(f"efficientnet_b{n}" for n in range(8)), *(f"efficientnet_v2_{size}" for size in "lms")),
    "googlenet": Architecture(),
    "inception_v3": Architecture(size=(299, 299), smallest=75),
    "maxvit_t": Architecture(smallest=224, step=224, square=True),
    **_family("mnasnet0_5", "mnasnet0_75", "mnasnet1_0", "mnasnet1_3"),
    **_family("mobilenet_v2", "mobilenet_v3_large", "mobilenet_v3_small"),
    **_family(*(f"regnet_x_{size}" for size in REGNETS)),
    **_family("regnet_y_128gf", *(f"regnet_y_{size}" for size in REGNETS)),
    **_family("resnet18", "resnet34", "resnet50", "resnet101", "resnet152"),
    **_family("resnext101_32x8d", "resnext101_64x4d", "resnext50_32x4d"),
    **_family(*(f"shufflenet_v2_x{width}" for width in ("0_5", "1_0", "1_5", "2_0"))),
    **_family("squeezenet1_0", "squeezenet1_1"),
    **_family("swin_b", "swin_s", "swin_t", "swin_v2_b", "swin_v2_s", "swin_v2_t"),
    **_family(*(f"vgg{depth}{norm}" for depth in (11, 13, 16, 19) for norm in ("", "_bn"))),
    **_family("vit_b_16", "vit_l_16", step=16, square=True),
    **_family("vit_b_32", "vit_l_32", step=32, square=True),
    "vit_h_14": Architecture(smallest=28, step=14, square=True),
    **_family("wide_resnet101_2", "wide_resnet50_2"),
}

USUAL: dict[Kind, str] = {"image": "conv2", "table": "mlp"}
"""The network that is trained by default, by what it reads."""
USUAL_TORCHVISION = "mobilenet_v2"
"""The network of deep features by default."""
