"""Slow, literal reference of what pruning costs and how survivors take over.

Everything starts from raw activations ``h`` of shape (patterns, channels, positions) and goes through
``np.linalg.lstsq`` and plain loops. No Gram matrix is formed, so a slip in the fast code's algebra cannot be
repeated here. A consumer's weights are (outputs, channels, taps); its taps are taken as independent.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tests.support import reference

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Consumer:
    """A layer that reads ``h``.

    ``inside`` (taps,) is the share of positions at which a tap does not read zero padding, ``constant`` says
    whether a constant can be moved anywhere, ``deviation`` (outputs,) is what a batch norm divides by.
    """

    weight: Array
    inside: Array
    constant: bool = True
    deviation: Array | None = None

    @property
    def taps(self) -> int:
        """Taps of the kernel."""
        return int(self.weight.shape[2])


def dense(weight: Array, *, constant: bool = True) -> Consumer:
    """A consumer of (outputs, channels) weights."""
    return Consumer(weight[:, :, None], np.ones(1), constant)


def samples(h: Array) -> Array:
    """Every pattern at every position, (samples, channels)."""
    rows = [h[pattern, :, position] for pattern in range(h.shape[0]) for position in range(h.shape[2])]
    return np.array(rows, dtype=np.float64)


def read_by_tap(h: Array, inside: float) -> tuple[Array, Array]:
    """What a tap reads, (samples, channels), and how much each sample weighs; the last is the padding."""
    rows = samples(h)
    shares = np.append(np.full(len(rows), inside / len(rows)), 1 - inside)
    return np.vstack([rows, np.zeros(h.shape[1])]), shares


def others(channels: int, removed: Sequence[int]) -> list[int]:
    """The channels that stay."""
    return [channel for channel in range(channels) if channel not in set(removed)]


def taken_over(h: Array, removed: Sequence[int], *, constant: bool, inside: float = 1.0) -> Array:
    """Coefficients (removed, kept) with which the kept channels stand in for each removed one."""
    rows, shares = read_by_tap(h, inside)
    kept = others(h.shape[1], removed)
    root = np.sqrt(shares)
    columns = [rows[:, channel] * root for channel in kept]
    if constant:
        columns.append(root)
    coefficients = np.empty((len(removed), len(kept)))
    for number, channel in enumerate(removed):
        solution = np.linalg.lstsq(np.stack(columns, 1), rows[:, channel] * root, rcond=None)[0]
        coefficients[number] = solution[: len(kept)]
    return coefficients


def merged(
    h: Array, consumer: Consumer, removed: Sequence[int], *, inside: float = 1.0
) -> tuple[Array, Array]:
    """New weights (outputs, channels, taps), zero where removed, and the constant that each output gains."""
    kept = others(h.shape[1], removed)
    coefficients = taken_over(h, removed, constant=consumer.constant, inside=inside)
    means = [float(np.mean(h[:, channel])) for channel in range(h.shape[1])]
    weight = consumer.weight.copy()
    gained = np.zeros(len(weight))
    for tap in range(consumer.taps):
        for number, channel in enumerate(removed):
            missing = means[channel]
            for place, survivor in enumerate(kept):
                weight[:, survivor, tap] += consumer.weight[:, channel, tap] * coefficients[number, place]
                missing -= coefficients[number, place] * means[survivor]
            weight[:, channel, tap] = 0.0
            if consumer.constant:
                gained += consumer.inside[tap] * consumer.weight[:, channel, tap] * missing
    return weight, gained


def _mean(values: Array, shares: Array) -> float:
    return float(np.sum(values * shares))


def _variance(values: Array, shares: Array) -> float:
    return _mean(np.square(values - _mean(values, shares)), shares)


def variances(h: Array, weight: Array, inside: Array) -> Array:
    """Variance of each output, its taps taken as independent."""
    found = np.zeros(len(weight))
    for tap in range(weight.shape[2]):
        rows, shares = read_by_tap(h, float(inside[tap]))
        for output in range(len(weight)):
            found[output] += _variance(rows @ weight[output, :, tap], shares)
    return found


def relative_error(h: Array, consumer: Consumer, weight: Array, gained: Array) -> float:
    """Root of the mean squared change of all outputs over their variance.

    ``weight`` is zero where removed; ``gained`` (outputs,) is what was added to each output's constant.
    """
    change = 0.0
    for output in range(len(weight)):
        shift = float(gained[output])
        for tap in range(consumer.taps):
            rows, shares = read_by_tap(h, float(consumer.inside[tap]))
            moved = rows @ (weight[output, :, tap] - consumer.weight[output, :, tap])
            change += _variance(moved, shares)
            shift += _mean(moved, shares)
        change += shift**2
    return math.sqrt(change / float(variances(h, consumer.weight, consumer.inside).sum()))


@dataclass(frozen=True)
class Seen:
    """A layer input: its activations, whose each channel is (-1: nobody's), and who reads it."""

    h: Array
    owner: tuple[int, ...]
    consumers: tuple[Consumer, ...]


def lost(consumer: Consumer, h: Array, kept: Sequence[int], tap: int, ridge: float) -> float:
    """Mean squared distance of what a tap says from the nearest that ``kept`` can, outputs summed.

    A ridge is noise of that share of its variance on every channel.
    """
    rows, shares = read_by_tap(h, float(consumer.inside[tap]))
    level = np.ones((len(rows), 1))
    if ridge:
        about = [
            _variance(rows[:, j], shares) if consumer.constant else _mean(rows[:, j] ** 2, shares)
            for j in range(rows.shape[1])
        ]
        rows = np.vstack([rows, np.diag(np.sqrt(about))])
        level = np.vstack([level, np.zeros((len(about), 1))])
        shares = np.append(shares, np.full(len(about), ridge))
    deviation = np.ones(len(consumer.weight)) if consumer.deviation is None else consumer.deviation
    design = np.hstack([rows[:, kept], level]) if consumer.constant else rows[:, kept]
    root = np.sqrt(shares)[:, None]
    outputs = (rows @ (consumer.weight[:, :, tap] / deviation[:, None]).T) * root
    if design.shape[1] == 0:
        return float(np.square(outputs).sum())
    solution = np.linalg.lstsq(design * root, outputs, rcond=None)[0]
    return float(np.square(outputs - design * root @ solution).sum())


def lost_share(seen: Seen, gone: set[int], ridge: float = 0.0) -> float:
    """What is lost of all consumers' outputs, each relative to its variance, without ``gone`` at its best."""
    kept = [channel for channel, unit in enumerate(seen.owner) if unit not in gone]
    total = 0.0
    for consumer in seen.consumers:
        whole = variances(seen.h, consumer.weight, consumer.inside)
        if consumer.deviation is not None:
            whole = whole / consumer.deviation**2
        total += sum(lost(consumer, seen.h, kept, tap, ridge) for tap in range(consumer.taps)) / float(
            whole.sum()
        )
    return total


def removal_costs(layer_inputs: Sequence[Seen], units: int, gone: set[int], ridge: float = 0.0) -> Array:
    """What each unit's removal adds to what is lost once ``gone`` are; infinite for those gone already."""
    costs = np.full(units, np.inf)
    before = [lost_share(seen, gone, ridge) for seen in layer_inputs]
    for unit in set(range(units)) - gone:
        costs[unit] = 0.0
        for seen, already in zip(layer_inputs, before, strict=True):
            if unit in seen.owner:
                costs[unit] += lost_share(seen, gone | {unit}, ridge) - already
    return costs


def kernel_norms(weight: Array) -> list[float]:
    """Euclidean length of every output's kernel."""
    return [math.sqrt(math.fsum(float(x) ** 2 for x in kernel.ravel())) for kernel in weight]


def smallest_first(h: Array, center: str) -> list[tuple[int, int | None, float]]:
    """Unit, the one it is merged into, and their angle, one by one until one unit is left.

    Those whose vector has no length go first, the last of them first, into none.
    """
    angles = np.round(reference.angles_deg(h, center), reference.ANGLE_DECIMALS)
    units = h.shape[1]
    there = set(range(units))
    steps: list[tuple[int, int | None, float]] = []
    for unit in reversed(range(units)):
        if math.isnan(angles[unit, unit]) and len(there) > 1:
            there.remove(unit)
            steps.append((unit, None, 0.0))
    while len(there) > 1:
        angle, i, j = min((angles[i, j], i, j) for i in there for j in there if i < j)
        there.remove(j)
        steps.append((j, i, float(angle)))
    return steps


def smallest_weights(weights: Sequence[Array], count: int) -> list[NDArray[np.bool_]]:
    """Masks, True where a weight stays, once the ``count`` smallest of all have gone."""
    places = [
        (abs(float(value)), number, index)
        for number, weight in enumerate(weights)
        for index, value in enumerate(weight.ravel())
    ]
    masks = [np.ones(weight.size, dtype=bool) for weight in weights]
    for _, number, index in sorted(places)[:count]:
        masks[number][index] = False
    return [mask.reshape(weight.shape) for mask, weight in zip(masks, weights, strict=True)]


def corrected(features: Array, missing: Array, *, constant: bool) -> tuple[Array, Array]:
    """Weights (outputs, features) and constant (outputs,) that come nearest to what is missing."""
    columns = np.hstack([features, np.ones((len(features), 1))]) if constant else features
    solution = np.asarray(np.linalg.lstsq(columns, missing, rcond=None)[0], dtype=np.float64)
    if not constant:
        return solution.T, np.zeros(missing.shape[1])
    return solution[:-1].T, np.array(solution[-1])
