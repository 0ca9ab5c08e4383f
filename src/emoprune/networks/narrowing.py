"""Modules with fewer channels, whatever class they are of."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from emoprune.errors import UsageFault

LAST_GROUP = "last_group"
"""Attribute of a grouped convolution with one group left: its channels are still removed together."""

Norm = nn.BatchNorm1d | nn.BatchNorm2d
NARROWABLE = (nn.Linear, nn.Conv2d, nn.BatchNorm1d, nn.BatchNorm2d, nn.GroupNorm)


def narrowed(old: nn.Module, inputs: int, outputs: int, device: str | None = None) -> nn.Module | None:
    """A copy of a layer with so many inputs and outputs, freshly initialized; None where they fill no groups.

    `old` is one of NARROWABLE, or of a class derived from one. The settings of norms and the parts of a
    derived class stay as they are.
    """
    tensors = by_output(old)
    # without copying what is replaced anyway
    new: Any = copy.deepcopy(old, {id(tensor): tensor for tensor in (*old.parameters(), *old.buffers())})
    new._parameters, new._buffers = dict(old._parameters), dict(old._buffers)
    numbers: dict[str, int] = {}
    columns = inputs
    if isinstance(old, nn.Linear):
        numbers = {"in_features": inputs, "out_features": outputs}
    elif isinstance(old, nn.Conv2d):
        each = old.in_channels // old.groups
        groups = 1 if old.groups == 1 else inputs // each
        if groups < 1 or inputs % groups or outputs % groups or (old.groups > 1 and inputs % each):
            return None
        numbers = {"in_channels": inputs, "out_channels": outputs, "groups": groups}
        columns = inputs // groups
        if old.groups > 1 and groups == 1:
            setattr(new, LAST_GROUP, True)
    elif isinstance(old, nn.GroupNorm):
        each = old.num_channels // old.num_groups
        if outputs < each or outputs % each:
            return None
        numbers = {"num_channels": outputs, "num_groups": outputs // each}
    else:
        numbers = {"num_features": outputs}
    vars(new).update(numbers)
    for name, tensor in tensors.items():
        rest = (columns, *tensor.shape[2:]) if name == "weight" and tensor.ndim > 1 else tensor.shape[1:]
        shape = (outputs, *rest)
        fresh = torch.empty(shape, device=device or tensor.device, dtype=tensor.dtype)
        _set(new, name, fresh, parameter=name in old._parameters)
    if device != "meta":
        new.reset_parameters()
    return new  # type: ignore[no-any-return]


def by_output(layer: nn.Module) -> dict[str, Tensor]:
    """The tensors of a layer, one of NARROWABLE, that have as many rows as it has outputs."""
    numbers = ("out_features", "out_channels", "num_features", "num_channels")
    outputs = next(getattr(layer, name) for name in numbers if hasattr(layer, name))
    own = {**layer._parameters, **layer._buffers}
    return {name: each for name, each in own.items() if each is not None and each.shape[:1] == (outputs,)}


def _set(module: nn.Module, name: str, tensor: Tensor, *, parameter: bool) -> None:
    if parameter:
        module._parameters[name] = nn.Parameter(tensor)
    else:
        module._buffers[name] = tensor


def check_weights(net: nn.Module) -> None:
    """Raise UsageFault for a layer whose weight is computed from others, as weight norm does."""
    for name, module in net.named_modules():
        if isinstance(module, nn.Conv2d | nn.Linear) and "weight" not in module._parameters:
            fact = f"{name}.weight is computed and not a parameter" if name else "its weight is computed"
            raise UsageFault(fact, "remove its weight norm first")


PROBED = 16
"""Side of the maps that derived classes are tried on, unless their kernels are larger."""

CLOSE = 1e-9


def acts_alone(layer: nn.Module, shape: tuple[int, ...], *, reads: bool = False) -> bool:
    """Whether a layer of a derived class computes with fewer channels what it would with the others silenced.

    It is tried on random numbers for an input of `shape`: with some outputs gone and, where it `reads` them,
    with some inputs gone. torch's own classes need not be tried.
    """
    if type(layer).__module__.startswith("torch.nn."):
        return True
    sides = [max(PROBED, *getattr(layer, "kernel_size", (1,)))] * (len(shape) - 2)
    channels = shape[-1] if isinstance(layer, nn.Linear) else shape[1]
    size = (2, *sides, channels) if isinstance(layer, nn.Linear) else (2, channels, *sides)
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(size, generator=generator, dtype=torch.float64)
    fan = len(layer.weight) if isinstance(layer, nn.Linear | nn.Conv2d) else channels
    try:
        # a new layer is drawn at random
        with torch.random.fork_rng(devices=[]):
            whole = _random(layer, channels, fan, generator)
            return all(
                _same_without(layer, whole, x, inputs, outputs)
                for inputs, outputs in _choices(layer, channels, fan, reads=reads)
            )
    except Exception:  # whatever the forward of another's class raises
        return False


def _choices(layer: nn.Module, inputs: int, outputs: int, *, reads: bool) -> list[tuple[Tensor, Tensor]]:
    """Inputs and outputs to keep."""
    kept = torch.arange(outputs)[: max(1, outputs // 2)]
    groups = layer.groups if isinstance(layer, nn.Conv2d) else 1
    if isinstance(layer, nn.GroupNorm):
        groups = layer.num_groups
    if groups > 1 or not isinstance(layer, nn.Linear | nn.Conv2d):
        units = groups if groups > 1 else outputs
        left = max(1, units // 2)
        return [(torch.arange(left * inputs // units), torch.arange(left * outputs // units))]
    found = [(torch.arange(inputs), kept)]
    if reads:
        found.append((torch.arange(inputs)[max(1, inputs // 2) :] if inputs > 1 else torch.arange(1), kept))
    return found


def _random(layer: nn.Module, inputs: int, outputs: int, generator: torch.Generator) -> nn.Module:
    # its own copy: what is not narrowed is the layer's still
    whole = copy.deepcopy(narrowed(layer, inputs, outputs, device="cpu"))
    assert whole is not None
    for tensor in (*whole.parameters(), *whole.buffers()):
        if tensor.is_floating_point():
            tensor.data = torch.rand(tensor.shape, generator=generator, dtype=torch.float64) + 0.5
    return whole.double().eval()


def _same_without(layer: nn.Module, whole: nn.Module, x: Tensor, inputs: Tensor, outputs: Tensor) -> bool:
    small = narrowed(layer, len(inputs), len(outputs), device="cpu")
    silenced = copy.deepcopy(whole)
    assert small is not None
    dim = x.ndim - 1 if isinstance(layer, nn.Linear) else 1
    mixes = isinstance(layer, nn.Linear) or (isinstance(layer, nn.Conv2d) and layer.groups == 1)
    for name, tensor in by_output(whole).items():
        cut = tensor.detach().index_select(0, outputs)
        if mixes and name == "weight":
            gone = torch.ones(tensor.shape[1], dtype=torch.bool)
            gone[inputs] = False
            silenced.get_parameter(name).data[:, gone] = 0
            cut = cut.index_select(1, inputs)
        _set(small, name, cut, parameter=name in whole._parameters)
    with torch.no_grad():
        expected = silenced(x).index_select(dim, outputs)
        found = small.double().eval()(x.index_select(dim, inputs))
    return float((found - expected).norm()) <= CLOSE * float(expected.norm())
