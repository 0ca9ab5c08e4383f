"""What removing each unit costs once its consumers' weights are refitted, updated as units are removed.

With P the inverse of the second moments of what a layer reads and w_j the outgoing weights of channel j,
the least-squares cost of losing j is |w_j|^2 / P_jj; losing it changes P and the weights by a rank-one step
(the Schur complement; Hassibi & Stork 1992 for single weights). Both are kept as an n x n matrix and a list
of pending steps, so that one removal takes O(n) rather than O(n^2).
"""

from __future__ import annotations

import torch
from torch import Tensor

from emoprune.errors import InvalidRecord
from emoprune.networks.graph.types import FROZEN, Consumer, LayerInput
from emoprune.networks.statistics.activation_statistics import unit_channels
from emoprune.pruning.context import MEASURE_AGAIN, PruningContext
from emoprune.pruning.merging import constant_share, gram_of_taps, inside_taps, second_moments, variances

RIDGE = 1e-4
"""Least ridge, relative to a channel's own variance."""

EPSILON = 1e-5
"""About what a batch norm adds to a variance."""

PENDING = 32
"""Steps that are gathered before they are applied."""


RELATIVE = 0.75
"""Power of what a layer computes that a loss of it is divided by, where its sensitivity is known.

With 1, a layer that the answer hardly depends on would count as much as any other; with 0, layers far from
the end would hardly count, for sensitivity is measured near the whole network and there it grows fast.
"""


def weighed(context: PruningContext, consumer: Consumer, weight: Tensor) -> Tensor:
    """A consumer's (outputs, channels, taps) weights, with outputs turned and scaled to count alike.

    By how much the answer depends on them, where that is known, else to unit deviation, as a batch norm does.
    """
    if context.weighs_outputs:
        values, axes = torch.linalg.eigh(context.sensitivities[consumer.layer])
        return torch.einsum("po,oct->pct", values.clamp(min=0).sqrt()[:, None] * axes.T, weight)
    variance = context.tensors.get(f"{consumer.norm}.running_var")
    if variance is None:
        return weight
    return weight / (variance.double() + EPSILON).sqrt()[:, None, None]


def sensitivity_nats(context: PruningContext, layer: str) -> float | None:
    """Divergence of the answers if the units of a layer stood still at their mean, to the second order.

    Positions count as independent of one another. None where the sensitivity of what reads them is not known.
    """
    if not context.weighs_outputs:
        return None
    start, stop = context.graph.spans[layer]
    total = 0.0
    for layer_input in context.layer_inputs:
        own = (layer_input.owner >= start) & (layer_input.owner < stop)
        if not bool(own.any()):
            continue
        moments = context.moments_at(layer_input)
        for consumer in layer_input.consumers:
            weight = context.weight(consumer, layer_input) * own[:, None]
            turned = weighed(context, consumer, weight)
            total += float(variances(turned, inside_taps(consumer, weight), moments).sum()) / 2
    return total


class LayerInputCosts:
    """The costs of one layer input's units, relative to the energy of what each of its consumers computes."""

    def __init__(self, context: PruningContext, layer_input: LayerInput) -> None:
        moments = context.moments_at(layer_input)
        weights = {consumer: context.weight(consumer, layer_input) for consumer in layer_input.consumers}
        inside = sum(constant_share(context, consumer) for consumer in weights) / len(weights)
        second = second_moments(moments, inside)
        scale = second.diagonal().clamp(min=0).sqrt()
        outgoing = torch.zeros_like(second)
        for consumer, weight in weights.items():
            shares = inside_taps(consumer, weight)
            weight = weighed(context, consumer, weight)
            output = float(variances(weight, shares, moments).sum())
            if output > 0:
                power = RELATIVE if context.weighs_outputs else 1.0
                outgoing += gram_of_taps(weight, shares) / output**power
        # a dead channel explains nothing; with a scale of 0 among the weights it costs nothing either
        divisor = torch.where(scale > 0, scale, 1.0)
        correlation = second / torch.outer(divisor, divisor)
        correlation.diagonal().add_(max(RIDGE, len(scale) / moments.count))
        factor, fault = torch.linalg.cholesky_ex(correlation)
        if int(fault):
            fact = f"moments of what {layer_input.name} reads contradict one another"
            raise InvalidRecord(fact, MEASURE_AGAIN)
        self._precision = torch.cholesky_inverse(factor)
        self._outgoing = outgoing * torch.outer(scale, scale)
        self.units = torch.unique(layer_input.owner[layer_input.owner != FROZEN])
        tables = [unit_channels(layer_input, (unit, unit + 1)) for unit in self.units.tolist()]
        self._channels = torch.cat(tables)
        self._there = torch.ones(len(self.units), dtype=torch.bool)
        first, second_index = self._channels[:, :, None], self._channels[:, None, :]
        self._own_precision = self._precision[first, second_index]
        self._own_outgoing = self._outgoing[first, second_index]
        n = len(scale)
        self._down, self._left, self._right = (torch.zeros(n, PENDING, dtype=torch.float64) for _ in range(3))
        self._pending = 0

    def costs(self) -> Tensor:
        """Fraction of the energy that removing each unit would lose, (units,); infinite for those gone."""
        costs = torch.full((len(self.units),), torch.inf, dtype=torch.float64)
        precision, outgoing = self._own_precision[self._there], self._own_outgoing[self._there]
        if precision.shape[1] == 1:
            found = outgoing[:, 0, 0] / precision[:, 0, 0]
        else:
            found = torch.linalg.solve(precision, outgoing).diagonal(dim1=1, dim2=2).sum(1)
        costs[self._there] = found.clamp(min=0)
        return costs

    def remove(self, unit: int) -> None:
        """Remove a unit, by its number in the graph; the others take over its part."""
        place = int(torch.searchsorted(self.units, unit))
        self._there[place] = False
        for channel in self._channels[place].tolist():
            self._eliminate(channel)

    def _eliminate(self, channel: int) -> None:
        m = self._pending
        row = self._precision[channel] - self._down[:, :m] @ self._down[channel, :m]
        pivot = row[channel]
        beta = row / pivot
        out = self._outgoing[channel] - (
            self._left[:, :m] @ self._right[channel, :m] + self._right[:, :m] @ self._left[channel, :m]
        )
        half = out - out[channel] / 2 * beta
        self._down[:, m], self._left[:, m], self._right[:, m] = row / pivot.sqrt(), half, beta
        own_down, own_half, own_beta = (v[self._channels] for v in (self._down[:, m], half, beta))
        self._own_precision -= own_down[:, :, None] * own_down[:, None, :]
        crossed = own_half[:, :, None] * own_beta[:, None, :]
        self._own_outgoing -= crossed + crossed.mT
        self._pending += 1
        if self._pending == PENDING:
            self._precision -= self._down @ self._down.T
            crossed = self._left @ self._right.T
            self._outgoing -= crossed + crossed.T
            self._pending = 0


class Elimination:
    """The costs of all units of some layers, over all that read them."""

    def __init__(self, context: PruningContext, units: Tensor) -> None:
        candidates = set(units.tolist())
        self._ledgers: list[LayerInputCosts] = []
        self._consumers: dict[int, list[int]] = {unit: [] for unit in candidates}
        for layer_input in context.layer_inputs:
            held = candidates.intersection(layer_input.owner.tolist())
            for unit in held:
                self._consumers[unit].append(len(self._ledgers))
            if held:
                self._ledgers.append(LayerInputCosts(context, layer_input))
        self._shares = [ledger.costs() for ledger in self._ledgers]
        self.costs = torch.zeros(context.graph.units, dtype=torch.float64)
        for ledger, share in zip(self._ledgers, self._shares, strict=True):
            self.costs[ledger.units] += share
        barred = torch.ones(context.graph.units, dtype=torch.bool)
        barred[units] = False
        self.costs[barred] = torch.inf

    def remove(self, unit: int) -> None:
        """Remove a unit and update the costs of all that share a consumer with it."""
        self.costs[unit] = torch.inf
        for number in self._consumers[unit]:
            ledger = self._ledgers[number]
            ledger.remove(unit)
            share = ledger.costs()
            change = share - self._shares[number]
            # inf - inf for units that are gone already
            self.costs[ledger.units] += torch.where(change.isnan(), 0.0, change)
            self._shares[number] = share
