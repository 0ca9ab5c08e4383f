"""Second moments of hidden units, gathered in one pass that keeps no activations."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial

import torch
from torch import Tensor, nn

from emoprune.errors import TrainingFault
from emoprune.records import HiddenLayer, UnitStatistics


class Accumulator:
    """Running sums of one layer's activations, in float64: float32 misreads angles under 0.1 degrees."""

    def __init__(self) -> None:
        self.count = 0
        self.gram = self.total = self.low = self.high = torch.empty(0)

    def add(self, activations: Tensor) -> None:
        """Take in (..., units) activations; every leading position is one pattern."""
        h = activations.detach().reshape(-1, activations.shape[-1]).double()
        low, high = h.amin(0), h.amax(0)
        if self.count == 0:
            self.gram, self.total, self.low, self.high = h.T @ h, h.sum(0), low, high
        else:
            self.gram.addmm_(h.T, h)
            self.total += h.sum(0)
            self.low = torch.minimum(self.low, low)
            self.high = torch.maximum(self.high, high)
        self.count += h.shape[0]

    def result(self, layer: str) -> UnitStatistics:
        """The statistics so far; TrainingFault where an activation was not finite."""
        if not bool(torch.isfinite(self.gram).all()):
            raise TrainingFault(
                f"layer {layer} has activations that are not finite", "train with a lower --lr"
            )
        return UnitStatistics(self.count, self.gram.cpu(), self.total.cpu(), self.low.cpu(), self.high.cpu())


def collect(
    net: nn.Module, layers: Sequence[HiddenLayer], batches: Iterable[Tensor], *, prefix: str = ""
) -> dict[str, UnitStatistics]:
    """Statistics of each layer's units, as its first consumer reads them, over all of `batches`.

    `prefix` is what `net`'s names lack of the layers' names, where `net` is a part of a larger network.
    The network is run without gradients and left in evaluation mode, without hooks.
    """
    accumulators = {layer.name: Accumulator() for layer in layers}
    modules = dict(net.named_modules())
    hooks = [
        modules[layer.consumers[0].removeprefix(prefix)].register_forward_pre_hook(
            partial(_take, accumulators[layer.name])
        )
        for layer in layers
    ]
    net.eval()
    try:
        with torch.inference_mode():
            for batch in batches:
                net(batch)
    finally:
        for hook in hooks:
            hook.remove()
    return {name: accumulator.result(name) for name, accumulator in accumulators.items()}


def _take(accumulator: Accumulator, module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
    accumulator.add(inputs[0])


def mean(statistics: UnitStatistics) -> Tensor:
    """Mean activation per unit, (units,)."""
    return statistics.total / statistics.count


def covariance(statistics: UnitStatistics) -> Tensor:
    """Population covariance of the units, (units, units), its diagonal never negative."""
    mu = mean(statistics)
    matrix = statistics.gram / statistics.count - torch.outer(mu, mu)
    matrix.diagonal().clamp_(min=0)
    return matrix


def layer_range(statistics: UnitStatistics) -> float:
    """Largest minus smallest activation over all units and patterns."""
    return float(statistics.high.max() - statistics.low.min())


def survivors(statistics: UnitStatistics, kept: Sequence[int]) -> UnitStatistics:
    """The same statistics for the units in `kept` alone."""
    index = torch.tensor(kept)
    return UnitStatistics(
        statistics.count,
        statistics.gram[index][:, index],
        statistics.total[index],
        statistics.low[index],
        statistics.high[index],
    )
