"""First weights for deep networks that torch's own choice lets forget what they see."""

from __future__ import annotations

from torch import nn

from emoprune.records.choices import Activation

GAINS: dict[Activation, float] = {
    # a sigmoid's slope is at most 1/4
    "sigmoid": 4.0,
    "tanh": nn.init.calculate_gain("tanh"),
    "relu": nn.init.calculate_gain("relu"),
}


def keep_spread(net: nn.Module, activation: Activation) -> None:
    """Redraw the weights of `net` so that its inputs still differ after many layers; biases become 0.

    Convolutions, which ReLU follows, as He et al. 2015; dense layers as Glorot & Bengio 2010, times what
    `activation` takes away. From torch's generator. Torch's own choice divides differences by about
    2.5 in every convolution and ReLU: seven of them leave dense layers nothing to learn from.
    """
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        elif isinstance(module, nn.Linear):
            nn.init.xavier_normal_(module.weight, gain=GAINS[activation])
        else:
            continue
        if module.bias is not None:
            nn.init.zeros_(module.bias)
