"""First weights for deep networks that torch's own choice lets forget what they see."""

from __future__ import annotations

import math

from torch import nn

from emoprune.choices import Activation

GAINS: dict[Activation, float] = {
    # a slope of 1/4 asks for 4 only about the middle: what all sigmoids have in common, 0.5, pushes the next
    # ones out of it. Of a difference 4 leaves two thirds in each layer, 8 nine tenths
    "sigmoid": 8.0,
    "tanh": nn.init.calculate_gain("tanh"),
    "relu": nn.init.calculate_gain("relu"),
}


def keep_spread(net: nn.Module, activation: Activation) -> None:
    """Redraw the weights of `net` so that its inputs still differ after many layers; biases become 0.

    Normal, with deviations of a gain over the square root of a unit's inputs, from torch's generator: that
    of He et al. 2015 for convolutions, which ReLU follows; what `activation` takes away for dense layers; 1
    for the last. Torch's own choice divides differences by about 2.5 in every convolution and ReLU: seven
    of them leave dense layers nothing to learn from.
    """
    layers = [module for module in net.modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    for layer in layers:
        gain = GAINS["relu" if isinstance(layer, nn.Conv2d) else activation] if layer is not layers[-1] else 1
        nn.init.normal_(layer.weight, std=gain / math.sqrt(layer.weight[0].numel()))
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
