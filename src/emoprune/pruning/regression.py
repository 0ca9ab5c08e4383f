"""Least squares from sums: what to add to a layer's weights so that its outputs come nearest to others."""

from __future__ import annotations

import torch
from torch import Tensor

from emoprune.pruning.merging import ROUNDING

RIDGES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)
"""Strengths tried, relative to the features' mean variance: one that rarely moves is not trusted far."""


class Sums:
    """Second moments of features and of what is missing of the outputs, in float64."""

    def __init__(self) -> None:
        self.count = 0
        self.features = self.crossed = self.feature_total = self.missing_total = torch.zeros(())
        self.missing = 0.0

    def add(self, features: Tensor, missing: Tensor) -> None:
        """Take in features (rows, features) and what is missing of the outputs (rows, outputs)."""
        if not len(features):
            return
        features, missing = features.double(), missing.double()
        self.count += len(features)
        self.features = self.features + features.T @ features
        self.crossed = self.crossed + missing.T @ features
        self.feature_total = self.feature_total + features.sum(0)
        self.missing_total = self.missing_total + missing.sum(0)
        self.missing += float(missing.square().sum())

    def joined(self, other: Sums) -> Sums:
        """Sums over both sets of rows."""
        both = Sums()
        both.count = self.count + other.count
        for name in ("features", "crossed", "feature_total", "missing_total", "missing"):
            setattr(both, name, getattr(self, name) + getattr(other, name))
        return both

    def error(self, change: Tensor, constant: Tensor) -> float:
        """Mean squared distance of features @ change' + constant from what is missing."""
        explained = change @ self.features
        fitted = (explained * change).sum() - 2 * (change * self.crossed).sum()
        shift = constant @ (2 * change @ self.feature_total - 2 * self.missing_total + self.count * constant)
        return (self.missing + float(fitted + shift)) / self.count


def correction(learned: Sums, held: Sums, *, constant: bool) -> tuple[Tensor, Tensor] | None:
    """Weights (outputs, features) and constant (outputs,) to add; None where none helps on held-out rows.

    The ridge pulls towards no change; its strength is the one that does best on `held`, the solution then
    that of all rows. Without `constant` there is none to add.
    """
    if not learned.count or not held.count:
        return None
    none = torch.zeros_like(learned.crossed), torch.zeros_like(learned.missing_total)
    best, chosen = held.error(*none), None
    for ridge in RIDGES:
        found = _solution(learned, ridge, constant=constant)
        error = best if found is None else held.error(*found)
        if error < best:
            best, chosen = error, ridge
    return None if chosen is None else _solution(learned.joined(held), chosen, constant=constant)


def _solution(sums: Sums, ridge: float, *, constant: bool) -> tuple[Tensor, Tensor] | None:
    """What `correction` adds at one ridge; None where rounding leaves no equations that can be solved."""
    features, missing = sums.feature_total / sums.count, sums.missing_total / sums.count
    second, crossed = sums.features / sums.count, sums.crossed / sums.count
    if constant:
        energy = second.diagonal().clone()
        second = second - torch.outer(features, features)
        crossed = crossed - torch.outer(missing, features)
        # what is left of a feature that hardly moves is rounding: the constant says all of it
        still = second.diagonal() <= ROUNDING * energy
        second[still], second[:, still], crossed[:, still] = 0, 0, 0
    strength = ridge * float(second.diagonal().mean())
    if strength <= 0:
        return torch.zeros_like(crossed), missing if constant else torch.zeros_like(missing)
    second.diagonal().add_(strength)
    factor, fault = torch.linalg.cholesky_ex(second)
    if int(fault):
        return None
    change = torch.cholesky_solve(crossed.T, factor).T
    offset = missing - change @ features if constant else torch.zeros_like(missing)
    return change, offset
