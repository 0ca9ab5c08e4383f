"""Moments of units and of layer inputs, gathered in one pass that keeps no activations."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from emoprune.errors import TrainingFault
from emoprune.networks.graph.types import ChannelGraph, LayerInput
from emoprune.networks.types import HiddenLayer, Moments, UnitStatistics

M = TypeVar("M", bound=Moments)

GRAM_BLOCK = 512
"""Units whose products are handled at a time."""

WAITING = 1024
"""Patterns that are collected before they are multiplied, because each product adds to a large matrix."""

STATISTICS, MOMENTS = "statistics", "moments"

COPIED = 2**28
"""Bytes of a map that are copied at a time."""


class UnitSums:
    """Sums over (patterns, units) activations that come in parts, in constant memory.

    They are float64, because float32 distorts angles under 0.1 degrees, and on the CPU, because not every
    device has float64.
    """

    def __init__(self) -> None:
        self._count = 0
        self._waiting: list[Tensor] = []

    def take(self, activations: Tensor) -> None:
        """Add the activations of some patterns."""
        self._waiting.append(activations.detach())
        if sum(map(len, self._waiting)) >= WAITING:
            self._fold()

    def _fold(self) -> None:
        # takes a tenth of a second to import, and stored statistics do not need it
        from scipy.linalg.blas import dsyrk

        h = torch.cat(self._waiting).cpu().double()
        self._waiting = []
        units = h.shape[1]
        if not self._count:
            self._gram, self._total = h.new_zeros(units, units), h.new_zeros(units)
            self._low, self._high = h.amin(0), h.amax(0)
        # torch cannot add half of a symmetric matrix in place; BLAS is column-major, so its lower half is our
        # upper one
        dsyrk(1, h.numpy().T, beta=1, c=self._gram.numpy().T, overwrite_c=True, lower=True)
        self._count += len(h)
        self._total += h.sum(0)
        self._low = torch.minimum(self._low, h.amin(0))
        self._high = torch.maximum(self._high, h.amax(0))

    def statistics(self) -> UnitStatistics:
        """The statistics of all activations; the sums are used up, so that a large matrix is there once."""
        if self._waiting:
            self._fold()
        count, mean, covariance = moments_of_sums(self._count, self._gram, self._total)
        for start in range(0, len(mean), GRAM_BLOCK):
            stop = start + GRAM_BLOCK
            corner = covariance[start:stop, start:stop]
            corner.copy_(corner.triu() + corner.triu(1).T)
            covariance[stop:, start:stop] = covariance[start:stop, stop:].T
        return UnitStatistics(count, mean, covariance, self._low, self._high)


def moments_of_sums(count: int, gram: Tensor, total: Tensor) -> tuple[int, Tensor, Tensor]:
    """Count, mean and covariance from sums over patterns; `gram` becomes the covariance.

    The diagonal is never negative. `gram` (units, units) and `total` (units,) are float64.
    """
    mean = total / count
    gram.div_(count).addr_(mean, mean, alpha=-1).diagonal().clamp_(min=0)
    return count, mean, gram


def channel_moments(samples: Tensor) -> Moments:
    """Mean and covariance of (channels, samples), centered before they are multiplied.

    Once centered, float32 products serve a regression as well as float64 ones, in half the time.
    """
    h = samples.detach()
    mu = h.mean(1, keepdim=True)
    centered = h - mu
    covariance = (centered @ centered.T).double() / h.shape[1]
    return Moments(h.shape[1], mu[:, 0].double(), covariance)


def pooled(first: Moments, second: Moments) -> Moments:
    """Moments of both sets of samples together (Chan, Golub & LeVeque 1983)."""
    count = first.count + second.count
    fraction = second.count / count
    apart = second.mean - first.mean
    covariance = torch.lerp(first.covariance, second.covariance, fraction)
    covariance.addr_(apart, apart, alpha=fraction * (1 - fraction))
    return Moments(count, first.mean + fraction * apart, covariance)


class Collector:
    """Gathers statistics of layers, and moments of the inputs of their consumers, while a network runs.

    Covers `layers` and all layer inputs with their units. A unit's activation is its channel's mean over the
    positions of a map (elazar2020, section 2); moments count every position.
    """

    def __init__(self, graph: ChannelGraph, layers: Iterable[HiddenLayer]) -> None:
        names = {layer.name for layer in layers}
        self.layer_inputs = layer_inputs_of(graph, names)
        self._units = {
            layer_input.name: [
                (layer, unit_channels(layer_input, graph.spans[layer]))
                for layer, source in graph.sources.items()
                if source == layer_input.name and layer in names
            ]
            for layer_input in self.layer_inputs
        }
        self._shared = {each.name for each in self.layer_inputs if shared_layer(graph, each)}
        self._sums: defaultdict[str, UnitSums] = defaultdict(UnitSums)
        self.statistics: dict[str, UnitStatistics] = {}
        self.moments: dict[str, Moments] = {}

    def take(self, layer_input: LayerInput, module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        """Add the input of a module; TrainingFault for activations that are not finite."""
        # (patterns, channels, positions); every token is a pattern
        h = inputs[0].detach()
        maps = h.ndim == 4 and layer_input.dim == 1
        h = h.flatten(2) if maps else h.reshape(-1, len(layer_input.owner), layer_input.spread)
        means = h.mean(2)
        if not bool(means.isfinite().all()):
            fact = f"the input of {layer_input.name} is not finite"
            raise TrainingFault(fact, "train with a lower `lr`, or check the weights")
        for layer, channels in self._units[layer_input.name]:
            self._sums[layer].take(means[:, channels.to(h.device)].transpose(1, 2).flatten(0, 1))
        if layer_input.name not in self._shared:
            step = max(1, COPIED // (4 * h[0].numel()))
            for part in h.split(step):
                more = channel_moments(part.transpose(0, 1).flatten(1))
                found = self.moments.get(layer_input.name)
                self.moments[layer_input.name] = pooled(found, more) if found else more

    @contextmanager
    def watching(self, net: nn.Module, prefix: str = "") -> Iterator[None]:
        """Within, add what the layers of `net` read; it is set to evaluation mode.

        If the network is part of a larger one, `prefix` completes its names to the graph's.
        """
        modules = dict(net.eval().named_modules())
        hooks = [
            modules[each.name.removeprefix(prefix)].register_forward_pre_hook(partial(self.take, each))
            for each in self.layer_inputs
            if each.name.startswith(prefix)
        ]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def finish(self) -> None:
        """Sum up the statistics of all activations; to layers that have some nothing can be added after."""
        self.statistics |= {layer: sums.statistics() for layer, sums in self._sums.items()}
        self._sums.clear()

    def tensors(self) -> dict[str, Tensor]:
        """What is gathered and finished, by names that `restore` knows."""
        found: dict[str, Mapping[str, Moments]] = {STATISTICS: self.statistics, MOMENTS: self.moments}
        return {
            f"{kind}/{name}/{part}": torch.as_tensor(value).contiguous()
            for kind, entries in found.items()
            for name, entry in entries.items()
            for part, value in vars(entry).items()
        }

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Take what `tensors` of another collector over the same layers gave."""
        parts: defaultdict[tuple[str, str], dict[str, Any]] = defaultdict(dict)
        for key, value in tensors.items():
            kind, name, part = key.split("/")
            parts[kind, name][part] = int(value) if part == "count" else value
        for (kind, name), values in parts.items():
            if kind == STATISTICS:
                self.statistics[name] = UnitStatistics(**values)
            else:
                self.moments[name] = Moments(**values)


def unit_channels(layer_input: LayerInput, span: tuple[int, int]) -> Tensor:
    """The channels of each unit of a layer in a layer input, (units, channels of a unit)."""
    owned = [torch.nonzero(layer_input.owner == unit).flatten() for unit in range(*span)]
    each = min(len(channels) for channels in owned)
    return torch.stack([channels[:each] for channels in owned])


def shared_layer(graph: ChannelGraph, layer_input: LayerInput) -> str | None:
    """The layer whose units are exactly the channels of a layer input, so that their moments are equal."""
    for layer, source in graph.sources.items():
        if source == layer_input.name and not layer_input.mapped:
            start, stop = graph.spans[layer]
            if torch.equal(layer_input.owner, torch.arange(start, stop)):
                return layer
    return None


def layer_inputs_of(graph: ChannelGraph, layers: Collection[str]) -> list[LayerInput]:
    """The layer inputs that have units of `layers`."""
    units = {unit for name in layers for unit in range(*graph.spans[name])}
    return [each for each in graph.layer_inputs if not units.isdisjoint(each.owner.tolist())]


def collect(
    net: nn.Module, graph: ChannelGraph, layers: Iterable[HiddenLayer], batches: Iterable[Tensor]
) -> Collector:
    """Run `net` over `batches`, in evaluation mode without gradients, and gather its statistics."""
    collector = Collector(graph, layers)
    with collector.watching(net), torch.inference_mode():
        for batch in batches:
            # a network may overwrite its input
            net(batch.clone())
        collector.finish()
    return collector


def layer_range(statistics: UnitStatistics) -> float:
    """Largest minus smallest activation over all units and patterns."""
    return float(statistics.high.max() - statistics.low.min())


def survivors(moments: M, kept: Sequence[int] | Tensor) -> M:
    """The moments of the units, or channels, in `kept` alone."""
    index = torch.as_tensor(kept)
    vectors = {name: vars(moments)[name][index] for name in vars(moments).keys() - {"count", "covariance"}}
    return replace(moments, covariance=moments.covariance[index][:, index], **vectors)


FINEST_CORRELATION = 1 - 2.5e-5
"""Between two units at 0.4 degrees: closer ones need float64 for their angle."""

ROUNDING = 1e-12
"""A variance under this fraction of the squared mean is what float64 sums leave of a constant."""


def float32_keeps_angles(statistics: UnitStatistics) -> bool:
    """Whether a covariance in float32 gives every angle to 1e-3 degrees, however activations are centered.

    Rounding changes a covariance by at most 2^-24 of itself. The mean is not rounded, so in any affine view
    the angle of two units changes by at most 2 * 2^-24 / sin(a), where a is that of their mean-centered
    vectors: up to 1e-3 degrees where |cos a|, their correlation, is up to 1 - 2.5e-5.
    """
    covariance = statistics.covariance
    variance = covariance.diagonal()
    varies = variance > ROUNDING * statistics.mean.square()
    normal = torch.finfo(torch.float32)
    if bool((varies & ((variance < normal.tiny) | (variance > normal.max))).any()):
        return False
    # a constant has no angle that could change
    deviation = torch.where(varies, variance, torch.inf).sqrt()
    for start in range(0, len(deviation), GRAM_BLOCK):
        rows = covariance[start : start + GRAM_BLOCK, start:].triu(1).abs_()
        rows.div_(deviation[start : start + GRAM_BLOCK, None]).div_(deviation[start:])
        if bool((rows > FINEST_CORRELATION).any()):
            return False
    return True
