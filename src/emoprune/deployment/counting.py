"""What only a network that is built tells: its parameters in order, and what each layer multiplies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from emoprune.errors import BadCheckpoint
from emoprune.io.safetensors_files import CONVERT, RawTensor
from emoprune.networks import build
from emoprune.networks.costs.profiling import macs_by_module
from emoprune.networks.graph import channel_graph
from emoprune.networks.registry import architecture
from emoprune.networks.sources import user_networks
from emoprune.networks.types import Spec

TYPES = {
    **{"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16},
    **{"I64": torch.int64, "I32": torch.int32, "I16": torch.int16, "I8": torch.int8},
    **{"U8": torch.uint8, "BOOL": torch.bool},
}


@dataclass(frozen=True)
class Counted:
    """A network's parameters by name, in its order, and the multiply-accumulates of its layers."""

    parameters: tuple[str, ...]
    macs: Mapping[str, int]


def counted(spec: Spec, tensors: Mapping[str, RawTensor], arch: str | None = None) -> Counted:
    """What the network of `spec` counts; no tensor takes memory, but for a network of the user's own.

    That one is named by `arch`, too. Raises BadCheckpoint for tensors of another network, and
    where one of the user's is not named, Unavailable for one that cannot be built here.
    """
    spec = user_networks.trusting(spec, arch)
    # one of the user's may decide by its numbers
    device = "cpu" if architecture(spec.arch).source == "code" else "meta"
    empty = {
        name: torch.zeros(tensor.shape, dtype=_type(tensor), device=device)
        for name, tensor in tensors.items()
    }
    net = build.restore(spec, empty).to(device)
    return Counted(tuple(name for name, _ in net.named_parameters()), macs_by_module(net, spec.input))


def _type(tensor: RawTensor) -> torch.dtype:
    if tensor.dtype not in TYPES:
        raise BadCheckpoint(f"holds numbers of a type {tensor.dtype} that torch lacks", CONVERT)
    return TYPES[tensor.dtype]


def prunable(spec: Spec, arch: str | None = None) -> dict[str, tuple[str, int]]:
    """The layers of a network that can be pruned, each with its activation and how many units it has.

    Raises UsageFault for a network that cannot be built here, or followed.
    """
    graph = channel_graph(build.blueprint(user_networks.trusting(spec, arch)), spec.input)
    spans = ((layer, *graph.spans[layer.name]) for layer in graph.layers)
    return {layer.name: (layer.activation, stop - start) for layer, start, stop in spans}
