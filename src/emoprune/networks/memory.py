"""What a training and its statistics need of memory, estimated before they start."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from fnmatch import fnmatchcase

import torch
from torch import Tensor, nn

from emoprune.errors import TooLarge, UsageFault
from emoprune.events import counted, note
from emoprune.io.memory import available_bytes
from emoprune.networks.graph.types import ChannelGraph
from emoprune.networks.statistics.activation_statistics import layer_inputs_of, shared_layer
from emoprune.networks.statistics.sensitivity import consumers_of
from emoprune.networks.types import HiddenLayer

GIGABYTE = 1e9


def limit_bytes(gigabytes: float | None) -> int:
    """What may be taken: `gigabytes` or, by default, what is free."""
    return available_bytes() if gigabytes is None else round(gigabytes * GIGABYTE)


def statistics_bytes(graph: ChannelGraph, layers: Iterable[HiddenLayer]) -> int:
    """Bytes that the statistics of `layers` take at most, and the file that they are written to.

    A layer, a layer input with moments of its own, and the outputs of what reads it have a matrix each,
    float64. A file has the half of each, those of layers at most in float64, the others in float32. It is put
    together in memory, and then once more with its header. The network's few outputs are left out.
    """
    names = {layer.name for layer in layers}
    units = [graph.spans[name][1] - graph.spans[name][0] for name in names]
    layer_inputs = layer_inputs_of(graph, names)
    rounded = [len(each.owner) for each in layer_inputs if not shared_layer(graph, each)]
    outputs = {cut.tensor: len(cut.owner) for cut in graph.cuts if cut.dim == 0}
    rounded += [outputs.get(f"{name}.weight", 0) for name in consumers_of(layer_inputs)]
    in_memory = 8 * sum(side**2 for side in (*units, *rounded))
    in_file = sum(8 * side * (side + 1) // 2 for side in units)
    in_file += sum(4 * side * (side + 1) // 2 for side in rounded)
    return in_memory + 2 * in_file


SAMPLES = 2
"""Batch norm cannot learn from one."""


def saved_bytes(net: nn.Module, input_shape: tuple[int, ...]) -> int:
    """Bytes for each sample that a training step keeps for its gradients.

    `net`, which is run, is a blueprint.
    """
    device = next(net.parameters()).device
    own = {tensor.untyped_storage()._cdata for tensor in (*net.parameters(), *net.buffers())}
    # kept, as the number of a storage that is gone is given to another one
    kept: dict[int, torch.UntypedStorage] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in own:
            kept[storage._cdata] = storage
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        output = net.train()(torch.zeros(SAMPLES, *input_shape, device=device))
    del output
    return sum(storage.nbytes() for storage in kept.values()) // SAMPLES


def check_training(net: nn.Module, input_shape: tuple[int, ...], *, batch: int, limit: int) -> None:
    """Raise TooLarge where a step on a batch needs more than `limit` bytes; `net` is a blueprint.

    Counts the activations that gradients need, and for each parameter its value, its gradient, and the two
    moments of Adam.
    """
    fixed = 4 * 4 * sum(parameter.numel() for parameter in net.parameters())
    each = saved_bytes(net, input_shape)
    needed = fixed + batch * each
    if needed <= limit:
        return
    fact = f"a batch of {batch:,} takes {_shown(needed)}, and {_shown(limit)} may be taken"
    most = (limit - fixed) // max(each, 1)
    remedy = f"give `batch_size={most}`" if most >= SAMPLES else "choose a smaller `arch` or `size`"
    raise TooLarge(fact, f"{remedy}, or free memory")


def check_statistics(
    graph: ChannelGraph, layers: Collection[HiddenLayer], *, limit: int, remedy: str
) -> None:
    """Raise TooLarge where the statistics of `layers` need more than `limit` bytes."""
    needed = statistics_bytes(graph, layers)
    if needed > limit:
        found = f"statistics of {counted(len(layers), 'layer')}"
        raise TooLarge(f"the {found} take {_shown(needed)}, and {_shown(limit)} may be taken", remedy)


def layers_that_fit(graph: ChannelGraph, glob: str, memory: float | None) -> tuple[HiddenLayer, ...]:
    """All layers of a network or, where the statistics of all do not fit, those whose name matches `glob`.

    `memory` is in gigabytes, by default what is free. Raises TooLarge where those do not fit either.
    """
    limit = limit_bytes(memory)
    if statistics_bytes(graph, graph.layers) <= limit:
        return graph.layers
    chosen = tuple(layer for layer in graph.layers if fnmatchcase(layer.name, glob))
    if not chosen:
        names = ", ".join(layer.name for layer in graph.layers)
        raise UsageFault(f"no layer matches `layer={glob}`", f"choose from {names}")
    least = min(chosen, key=lambda layer: statistics_bytes(graph, [layer]))
    fewer = f"measure fewer layers, such as `layer={least.name}`"
    remedy = fewer if len(chosen) > 1 else "free memory, or give more `memory`"
    check_statistics(graph, chosen, limit=limit, remedy=remedy)
    note_fewer(graph, chosen)
    return chosen


def note_fewer(graph: ChannelGraph, chosen: Collection[HiddenLayer]) -> None:
    """Say that the statistics of all layers do not fit in memory, and are those of `chosen`."""
    fact = f"statistics are measured of {len(chosen):,} of {counted(len(graph.layers), 'layer')}"
    note(f"{fact}: those of all do not fit in memory")


def _shown(size: int) -> str:
    return f"{size / GIGABYTE:.3g} GB"
