"""ARCHITECTURES: every network by name, with what commands need before torch is imported."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

from emoprune.choices import Kind, Source, Task
from emoprune.errors import InvalidRecord


@dataclass(frozen=True)
class Architecture:
    """`size` is the default (height, width); `smallest` and `step` limit the sizes that the network takes.

    `source` is who makes it; `weights` names those that are published, the usual ones first. `hidden` is the
    default head; `square` asks for equal height and width; `takes` lists the kinds of input; `channels`
    counts the convolutions with a chosen width.
    """

    size: tuple[int, int] = (224, 224)
    smallest: int = 32
    step: int = 1
    square: bool = False
    hidden: tuple[int, ...] = ()
    source: Source = "torchvision"
    weights: tuple[str, ...] = ("imagenet",)
    takes: tuple[Kind, ...] = ("image",)
    task: Task = "classify"
    channels: int = 0

    @property
    def own(self) -> bool:
        """Whether it is a network of ours."""
        return self.source == "ours"

    @property
    def takes_gray(self) -> bool:
        """Whether it can be made for pictures of one channel."""
        return self.source in ("ours", "code")

    @property
    def usual_weights(self) -> str:
        """What a training starts from."""
        return self.weights[0] if self.weights else "none"


REGNETS = ("16gf", "1_6gf", "32gf", "3_2gf", "400mf", "800mf", "8gf")


def _family(*names: str, **limits: Any) -> dict[str, Architecture]:
    return dict.fromkeys(names, Architecture(**limits))


def _ours(**more: Any) -> Architecture:
    return Architecture(source="ours", weights=(), **more)


ARCHITECTURES: dict[str, Architecture] = {
    "conv1": _ours(size=(48, 48), smallest=6, hidden=(200,), channels=1),
    "conv2": _ours(size=(48, 48), smallest=16, hidden=(200,), channels=2),
    "mlp": _ours(size=(48, 48), smallest=1, hidden=(20,), takes=("image", "table")),
    "zhang_alexnet": _ours(size=(576, 720), smallest=307, hidden=(3072, 1526, 100), channels=6),
    "zhang_vgg": _ours(size=(576, 720), smallest=128, hidden=(5120, 1000, 100), channels=7),
    "autoencoder": _ours(hidden=(10,), takes=("table",), task="reconstruct"),
    "lenet": _ours(size=(72, 90), smallest=18, channels=2),
    # the paper leaves the width of the dense layers open
    "wright_cnn": _ours(size=(48, 48), smallest=10, hidden=(1024, 1024), channels=5),
    "svm": _ours(takes=("table",)),
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
    "inception_resnet_v1": Architecture(
        size=(160, 160), smallest=75, source="facenet", weights=("vggface2", "casia-webface")
    ),
}

USUAL: dict[Kind, str] = {"image": "conv2", "table": "mlp"}
"""The network that is trained by default, by what it reads."""
OF_TIMM = "timm/"
"""What the names of timm's networks begin with; the rest is timm's own name."""
TIMM_NAME = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")
"""A name in timm's registry, and not the place of a folder or of a server, from which it loads others."""
LONGEST_NAME = 200
# how large their pictures are is known when they are built
_TIMM = Architecture(smallest=1, source="timm")
_CODE = Architecture(smallest=1, source="code", weights=())


def architecture(name: str) -> Architecture:
    """What is known of the network of that name; InvalidRecord for an unknown one.

    It is one of ARCHITECTURES, `timm/NAME`, or `package.module:function` of the user's own.
    """
    if name in ARCHITECTURES:
        return ARCHITECTURES[name]
    if len(name) <= LONGEST_NAME:
        if TIMM_NAME.fullmatch(name.removeprefix(OF_TIMM)) and name.startswith(OF_TIMM):
            return _TIMM
        module, colon, function = name.partition(":")
        if colon and all(part.isidentifier() for part in (*module.split("."), *function.split("."))):
            return _CODE
    raise InvalidRecord(f"unknown architecture {name!r:.200}", "choose one that emoprune train lists")


class _Names(Collection[str]):
    """The names in ARCHITECTURES, and within it any that `architecture` knows."""

    def __contains__(self, name: object) -> bool:
        try:
            return isinstance(name, str) and architecture(name) is not None
        except InvalidRecord:
            return False

    def __iter__(self) -> Iterator[str]:
        return iter(ARCHITECTURES)

    def __len__(self) -> int:
        return len(ARCHITECTURES)


NAMES: Collection[str] = _Names()
"""Names of networks that a training takes; it lists those that can be listed."""

USUAL_TORCHVISION = "mobilenet_v2"
"""The network of deep features by default."""
