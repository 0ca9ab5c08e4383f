"""Convolutional networks of the papers, as tables of stages."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor, nn

from emoprune.choices import Activation
from emoprune.networks.heads import dense_head
from emoprune.networks.types import Spec


@dataclass(frozen=True)
class Stage:
    """A convolution with a bias, ReLU and, unless `pool` is 0, pooling (by default in steps of `pool`)."""

    channels: int
    kernel: int
    stride: int = 1
    padding: int = 0
    pool: int = 0
    pool_stride: int = 0
    pool_kind: type[nn.MaxPool2d] | type[nn.AvgPool2d] = nn.MaxPool2d

    def layers(self, inputs: int, outputs: int) -> list[nn.Module]:
        """The modules of the stage between so many channels."""
        convolution = nn.Conv2d(inputs, outputs, self.kernel, self.stride, self.padding)
        pools = [self.pool_kind(self.pool, self.pool_stride or self.pool)] if self.pool else []
        return [convolution, nn.ReLU(), *pools]

    def shrunk(self, side: int) -> int:
        """Pixels of a side after the stage."""
        side = (side + 2 * self.padding - self.kernel) // self.stride + 1
        return (side - self.pool) // (self.pool_stride or self.pool) + 1 if self.pool else side


CONVNETS: dict[str, tuple[Stage, ...]] = {
    # jain2020, section 2.3, leaves channels and kernels open: ours are LeNet-5's kernels and 16, 32 channels
    "conv1": (Stage(16, 5, pool=2),),
    "conv2": (Stage(16, 5, pool=2), Stage(32, 5, pool=2)),
    # zhang2020, section 2.2.1. It names no padding, as it does for the other network, so there is none; and
    # pooling after the first, second and sixth convolution
    "zhang_alexnet": (
        Stage(96, 11, stride=4, pool=3, pool_stride=2),
        Stage(96, 11, pool=3, pool_stride=2),
        Stage(256, 5),
        Stage(384, 3),
        Stage(384, 3),
        Stage(256, 3, pool=3, pool_stride=2),
    ),
    # zhang2020, section 2.2.2: 512 channels of 4x5 are left of 576x720, which are its 10,240 inputs
    "zhang_vgg": tuple(Stage(8 * 2**n, 3, padding=1, pool=2) for n in range(7)),
    # luan2020, section 2.2: pooled by 2 and by 3; it leaves the kernels open, ours are LeNet-5's
    "lenet": (Stage(16, 5, pool=2), Stage(32, 5, pool=3)),
    # wright2019, section 6: padding of 1 everywhere; it leaves the width of its dense layers open
    "wright_cnn": (
        Stage(36, 5, padding=1, pool=2, pool_kind=nn.AvgPool2d),
        Stage(48, 3, padding=1),
        Stage(48, 3, padding=1, pool=2, pool_kind=nn.AvgPool2d),
        Stage(48, 3, padding=1),
        Stage(48, 3, padding=1, pool=2, pool_kind=nn.AvgPool2d),
    ),
}

SPREAD = frozenset({"zhang_alexnet", "zhang_vgg"})
"""Too deep to learn from torch's default initialization; zhang2020 does not name another."""


class ConvNet(nn.Module):
    """Stages of convolution, ReLU and pooling, then a dense head."""

    def __init__(self, spec: Spec) -> None:
        super().__init__()
        channels, height, width = spec.input
        layers: list[nn.Module] = []
        stages = CONVNETS[spec.arch]
        widths = spec.channels or [stage.channels for stage in stages]
        for stage, outputs in zip(stages, widths, strict=True):
            layers += stage.layers(channels, outputs)
            channels = outputs
            height, width = (stage.shrunk(side) for side in (height, width))
        self.features = nn.Sequential(*layers, nn.Flatten())
        self.classifier = dense_head(channels * height * width, spec)
        if spec.arch in SPREAD:
            keep_spread(self, spec.activation)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (n, classes) of images (n, channels, height, width)."""
        logits: Tensor = self.classifier(self.features(x))
        return logits


GAINS: dict[Activation, float] = {
    # the slope of 1/4 suggests 4, but the mean 0.5 of all sigmoids pushes the next ones out of their middle:
    # with 4 two thirds of a difference pass each layer, with 8 nine tenths
    "sigmoid": 8.0,
    "tanh": nn.init.calculate_gain("tanh"),
    "relu": nn.init.calculate_gain("relu"),
}


def keep_spread(net: nn.Module, activation: Activation) -> None:
    """Redraw the weights of `net` so that its inputs still differ after many layers; biases become 0.

    Weights are normal, with a gain over the square root of a unit's inputs as deviation, from torch's
    generator. The gain is that of He et al. 2015 for convolutions (before ReLU), that of `activation` for
    dense layers, and 1 for the last. Torch's default divides differences by about 2.5 per convolution and
    ReLU; after seven of them dense layers have nothing to learn from.
    """
    layers = [module for module in net.modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    for layer in layers:
        gain = GAINS["relu" if isinstance(layer, nn.Conv2d) else activation] if layer is not layers[-1] else 1
        nn.init.normal_(layer.weight, std=gain / math.sqrt(layer.weight[0].numel()))
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
