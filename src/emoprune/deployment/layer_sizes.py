"""How large each layer of a network is, from the tensors in its file; nothing here needs torch."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from emoprune.io.onnx_contents import OnnxLayer
from emoprune.io.safetensors_files import RawTensor

BUFFERS = frozenset(("running_mean", "running_var", "relative_coords_table"))
"""What batch norms and swin networks keep beside parameters."""
SCALING = "scaling."
"""What networks for tables begin the names of their columns' scaling with."""

BITS = {"F64": "<u8", "F32": "<u4", "F16": "<u2", "BF16": "<u2"}
"""Types of parameters, and whole numbers of as many bits."""


@dataclass(frozen=True)
class LayerSize:
    """A layer by name, its `kind`, the shape of its largest weight, and its share of all parameters, 0 to 1.

    `macs` are its multiply-accumulates for one sample, None where they are not counted.
    """

    layer: str
    kind: str
    shape: tuple[int, ...]
    parameters: int
    share: float | None
    macs: int | None


def parameters_by_name(tensors: Mapping[str, RawTensor]) -> list[str]:
    """Those of a network's tensors that are parameters, as far as names and types tell, in order of names."""
    found = (
        name
        for name, tensor in tensors.items()
        if tensor.dtype in BITS and name.rpartition(".")[2] not in BUFFERS and not name.startswith(SCALING)
    )
    return sorted(found, key=_natural)


def _natural(name: str) -> list[tuple[int, str]]:
    """A key for order in which features.10 comes after features.9."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d{1,9})", name)]


def nonzero(tensor: RawTensor) -> int:
    """How many numbers of a parameter are not zero."""
    bits = np.frombuffer(tensor.data, BITS[tensor.dtype]) if tensor.dtype in BITS else None
    # all bits but the sign, which zeros have, too
    return tensor.count if bits is None else int(np.count_nonzero(bits << 1))


def sizes(
    tensors: Mapping[str, RawTensor], parameters: Iterable[str], macs: Mapping[str, int] | None
) -> tuple[LayerSize, ...]:
    """The layers of a network in the order of its `parameters`; `macs` by layer, None where not counted."""
    layers: dict[str, dict[str, RawTensor]] = {}
    for name in parameters:
        layer, _, part = name.rpartition(".")
        layers.setdefault(layer, {})[part] = tensors[name]
    total = sum(tensor.count for parts in layers.values() for tensor in parts.values())
    # attention may multiply what is no parameter of its own
    for layer in macs or ():
        layers.setdefault(layer, {})
    return tuple(
        LayerSize(
            layer=layer,
            kind=_kind(parts, norm=f"{layer}.running_mean".removeprefix(".") in tensors),
            shape=max((tensor.shape for tensor in parts.values()), key=np.prod, default=()),
            parameters=(count := sum(tensor.count for tensor in parts.values())),
            share=count / total if total else None,
            macs=None if macs is None else macs.get(layer, 0),
        )
        for layer, parts in layers.items()
    )


def _kind(parts: Mapping[str, RawTensor], *, norm: bool) -> str:
    if norm:
        return "batch norm"
    if "in_proj_weight" in parts or not parts:
        return "attention"
    dimensions = len(parts["weight"].shape) if "weight" in parts else 0
    return {0: "parameter", 1: "norm", 2: "dense"}.get(dimensions, "conv")


def onnx_sizes(layers: Iterable[OnnxLayer]) -> tuple[LayerSize, ...]:
    """The layers of an ONNX file, whose kinds are its operators."""
    layers = [*layers]
    total = sum(each.parameters for each in layers)
    return tuple(
        LayerSize(
            each.name,
            each.operator,
            each.shape,
            each.parameters,
            each.parameters / total if total else None,
            each.macs,
        )
        for each in layers
    )
