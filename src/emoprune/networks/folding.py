"""Convolutions that compute their weights, such as by weight standardization, made plain ones."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from emoprune.networks.narrowing import PROBED, acts_alone


def fold_computed_weights(net: nn.Module) -> list[str]:
    """Replace, in place, each convolution that computes its weight by a plain one with that weight.

    Returns their names. A convolution that does anything else, such as padding of its own, is left alone:
    its inputs cannot be removed.
    """
    folded = []
    for name, module in list(net.named_modules()):
        derived = isinstance(module, nn.Conv2d) and type(module) is not nn.Conv2d
        if derived and not acts_alone(module, (1, module.in_channels, PROBED, PROBED), reads=True):
            plain = _plain(module)
            parent, _, child = name.rpartition(".")
            if plain is not None and name:
                setattr(net.get_submodule(parent), child, plain.train(module.training))
                folded.append(name)
    return folded


class _Watch(TorchFunctionMode):
    """Keeps what convolutions are called with."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Any, ...]] = []

    def __torch_function__(self, function: Any, types: Any, given: Any = (), named: Any = None) -> Any:
        if function in (F.conv2d, torch.conv2d):
            self.calls.append((*given, named or {}))
        return function(*given, **(named or {}))


def _plain(module: nn.Conv2d) -> nn.Conv2d | None:
    """The convolution that a module computes, if it is one of its input as it is."""
    sides = [max(PROBED, *module.kernel_size)] * 2
    # at zero, what is done to the result might not show
    x = torch.randn(1, module.in_channels, *sides, generator=torch.Generator().manual_seed(0))
    x = x.to(module.weight.dtype)
    watch = _Watch()
    with torch.no_grad(), watch:
        y = module(x)
    if len(watch.calls) != 1 or watch.calls[0][-1] or watch.calls[0][0] is not x:
        return None
    _, weight, bias, stride, padding, dilation, groups, _ = watch.calls[0]
    if not isinstance(weight, Tensor) or weight.shape != module.weight.shape:
        return None
    settings: Any = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    settings |= {"bias": bias is not None, "device": "meta", "dtype": weight.dtype}
    plain = nn.Conv2d(module.in_channels, module.out_channels, module.kernel_size, **settings)  # type: ignore[arg-type]
    plain.weight = nn.Parameter(weight.detach().clone())
    if bias is not None:
        plain.bias = nn.Parameter(bias.detach().clone())
    with torch.no_grad():
        return plain if torch.equal(plain(x), y) else None
