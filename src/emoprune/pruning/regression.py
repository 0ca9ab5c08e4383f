"""Ridge regression of a layer's weights toward what the original computes, as far as its readers can tell.

A ReLU that alone reads the result takes all values below 0 for the same. Where the original is below 0, any
such output is right: the target is an interval. The squared distance from intervals is minimized by fitting
again and again to the nearest point of each; all rounds share one Cholesky factor.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from emoprune.pruning.merging import ROUNDING

RIDGES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)
"""Strengths tried, relative to the features' mean variance."""

ROUNDS = 8
"""Fits to the nearest points of intervals, at most."""

SETTLED = 3e-3
"""Relative change of the loss below which no further round is made."""

CHUNK = 8192
"""Rows whose products are added up in float32 before they are added in float64."""


@dataclass(frozen=True)
class Seen:
    """What of a value its readers see: values beyond `low` and `high` are the limit to them."""

    low: float = -math.inf
    high: float = math.inf

    def intervals(self, targets: Tensor) -> tuple[Tensor, Tensor]:
        """The least and the largest value that readers take for each target."""
        if self == EVERYTHING:
            return targets, targets
        least = targets.clamp(max=self.high).masked_fill(targets <= self.low, -math.inf)
        most = targets.clamp(min=self.low).masked_fill(targets >= self.high, math.inf)
        return least, most


EVERYTHING = Seen()


@dataclass(frozen=True)
class Rows:
    """Samples of one regression: `features` (rows, features), and the rest (rows, outputs).

    `outputs` are those of the weights as they are; those wanted are from `least` to `most`.
    """

    features: Tensor
    outputs: Tensor
    least: Tensor
    most: Tensor

    @classmethod
    def empty(cls, count: int, features: int, outputs: int, *, seen: Seen) -> Rows:
        """Room for so many rows, with points for intervals if readers see everything."""
        least = torch.empty(count, outputs)
        most = least if seen == EVERYTHING else torch.empty(count, outputs)
        return cls(torch.empty(count, features), torch.empty(count, outputs), least, most)

    def put(self, start: int, *values: Tensor) -> None:
        """Fill the rows from `start` with features, outputs and both ends of the intervals."""
        for room, value in zip(vars(self).values(), values, strict=True):
            room[start : start + len(value)] = value

    def __len__(self) -> int:
        return len(self.features)

    def __getitem__(self, part: slice) -> Rows:
        least = self.least[part]
        most = least if self.exact else self.most[part]
        return Rows(self.features[part], self.outputs[part], least, most)

    @property
    def exact(self) -> bool:
        """Whether every interval is a point."""
        return self.most is self.least

    def missing(self, change: Tensor | None = None) -> tuple[Tensor, float]:
        """What the outputs lack of the nearest wanted ones, and the loss, once `change` is added to them.

        The loss is the squared distance, summed over outputs, its mean over rows.
        """
        changed = self.outputs if change is None else change.add_(self.outputs)
        nearest = changed.clamp(self.least, self.most)
        loss = float(torch.linalg.vector_norm(nearest - changed)) ** 2 / max(len(self), 1)
        return nearest.sub_(self.outputs), loss


class Equations:
    """The normal equations of some rows, whose features are about centered."""

    def __init__(self, count: int, total: Tensor, second: Tensor, *, constant: bool) -> None:
        self._count, self._total, self._second, self._constant = count, total, second, constant

    @classmethod
    def of(cls, rows: Rows, *, constant: bool) -> Equations:
        """Those of `rows`; with `constant` one is fitted too."""
        total = rows.features.sum(0, dtype=torch.float64)
        return cls(len(rows), total, _squares(rows.features), constant=constant)

    def joined(self, other: Equations) -> Equations:
        """Those of the rows of both."""
        sums = self._count + other._count, self._total + other._total, self._second + other._second
        return Equations(*sums, constant=self._constant)

    @property
    def _mean(self) -> Tensor:
        return self._total / self._count if self._constant else torch.zeros_like(self._total)

    def factor(self, ridge: float) -> Tensor | None:
        """The Cholesky factor at one ridge; None where rounding makes the equations singular."""
        second = self._second / self._count - torch.outer(self._mean, self._mean)
        # where no feature varies the constant is all there is to fit
        strength = ridge * float(second.diagonal().mean()) or 1.0
        second.diagonal().add_(strength)
        factor, fault = torch.linalg.cholesky_ex(second)
        return None if int(fault) else factor

    def crossed(self, rows: Rows, missing: Tensor) -> tuple[Tensor, Tensor]:
        """Covariance (features, outputs) with what is missing of the outputs, and its mean (outputs,)."""
        level = missing.mean(0, dtype=torch.float64)
        if not self._constant:
            level = torch.zeros_like(level)
        return _products(rows.features, missing) / self._count - torch.outer(self._mean, level), level

    def solution(self, factor: Tensor, crossed: Tensor, level: Tensor) -> tuple[Tensor, Tensor]:
        """Weights (outputs, features) and constant (outputs,) that add what is missing of the outputs."""
        weights = torch.cholesky_solve(crossed, factor).T
        return weights.float(), (level - weights @ self._mean).float()


def _products(first: Tensor, second: Tensor) -> Tensor:
    """first' second in float64."""
    total = torch.zeros(first.shape[1], second.shape[1], dtype=torch.float64)
    for left, right in zip(first.split(CHUNK), second.split(CHUNK), strict=True):
        total += left.T @ right
    return total


def _squares(values: Tensor) -> Tensor:
    """values' values in float64."""
    # slow to import
    from scipy.linalg.blas import ssyrk

    total = torch.zeros(values.shape[1], values.shape[1], dtype=torch.float64)
    for part in values.split(CHUNK):
        # one triangle takes half the time of a general product
        total += torch.from_numpy(ssyrk(1, part.numpy().T))
    return total + total.mT.tril(-1)


def correction(rows: Rows, split: int, *, constant: bool) -> tuple[Tensor, Tensor] | None:
    """Weights (outputs, features) and constant (outputs,) to add; None where none helps on held-out rows.

    The rows from `split` are held out. The ridge pulls toward no change. Its strength is the one whose first
    fit to the other rows does best on those held out; the solution is then that of all rows. Without
    `constant` there is none to add. The features are centered in place.
    """
    learned, held = rows[:split], rows[split:]
    if not len(learned) or not len(held):
        return None
    center = _centered(rows.features) if constant else torch.zeros(rows.features.shape[1])
    equations = Equations.of(learned, constant=constant)
    crossed = equations.crossed(learned, learned.missing()[0])
    (_, best), chosen = held.missing(), None
    for ridge in RIDGES:
        factor = equations.factor(ridge)
        if factor is None:
            continue
        weights, offset = equations.solution(factor, *crossed)
        _, loss = held.missing(torch.addmm(offset, held.features, weights.T))
        if loss < best:
            best, chosen = loss, ridge
        elif chosen is not None:
            # hardly ever is a stronger one better again
            break
    if chosen is None:
        return None
    everything = equations.joined(Equations.of(held, constant=constant))
    factor = everything.factor(chosen)
    if factor is None:
        return None
    weights, offset = _settled(rows, everything, factor)
    return weights, offset - weights @ center


def _centered(features: Tensor) -> Tensor:
    """The mean of each feature, which is taken off in place; what hardly varies becomes 0.

    Of such a feature only rounding would be left. The constant covers it.
    """
    energy = torch.linalg.vector_norm(features, dim=0).double().square()
    mean = features.mean(0, dtype=torch.float64).to(features)
    features.sub_(mean)
    variation = torch.linalg.vector_norm(features, dim=0).double().square()
    features[:, variation <= ROUNDING * energy] = 0
    return mean


def _settled(rows: Rows, equations: Equations, factor: Tensor) -> tuple[Tensor, Tensor]:
    """Weights and constant after as many rounds as lower the loss."""
    missing, last = rows.missing()
    for round_ in range(ROUNDS):
        weights, offset = equations.solution(factor, *equations.crossed(rows, missing))
        if rows.exact or round_ == ROUNDS - 1:
            break
        missing, loss = rows.missing(torch.addmm(offset, rows.features, weights.T))
        if last - loss <= SETTLED * last:
            break
        last = loss
    return weights, offset
