"""MERGES: how the survivors take over what the removed units said to the next layer."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from emoprune.core.statistics import covariance, mean
from emoprune.records import LayerView, Removal, UnitStatistics
from emoprune.records.choices import Merge

Readers = Mapping[str, tuple[Tensor, Tensor | None]]

RIDGES = torch.logspace(-10, 2, 49, dtype=torch.float64)
"""Ridge strengths tried, relative to a unit's own variance."""


def summed(view: LayerView, removal: Removal) -> Readers:
    """The published merge: a merged unit's outgoing weights are added to its survivor's, nothing else."""
    kept = torch.tensor(removal.kept)
    taken, survivors = list(removal.merges), list(removal.merges.values())
    readers = {}
    for name, (weight, bias) in view.readers.items():
        whole = weight.double()
        whole = whole.index_add(1, torch.tensor(survivors, dtype=torch.long), whole[:, taken])
        readers[name] = (whole[:, kept].to(weight.dtype), bias)
    return readers


def least_squares(view: LayerView, removal: Removal) -> Readers:
    """The survivors' outgoing weights, re-solved so that the readers' inputs change least.

    With B the regression of removed on kept activations, W_K += W_R B and bias += W_R (mu_R - B mu_K), all
    from one-pass statistics. Where a reader has no bias to move, the regression has no intercept. The
    ridge is chosen by generalised cross-validation (Golub, Heath & Wahba 1979), so that fewer patterns
    than units do not fit noise.
    """
    kept, gone = torch.tensor(removal.kept), torch.tensor(removal.removed, dtype=torch.long)
    intercept = all(bias is not None for _, bias in view.readers.values())
    moments, centre = _moments(view.statistics, intercept=intercept)
    outgoing = torch.cat([weight.double()[:, gone] for weight, _ in view.readers.values()])
    share = _regression(
        moments[kept][:, kept],
        moments[gone][:, kept],
        moments[gone][:, gone],
        outgoing,
        patterns=view.statistics.count,
    )
    offset = centre[gone] - share @ centre[kept]
    readers = {}
    for name, (weight, bias) in view.readers.items():
        whole = weight.double()
        taken = whole[:, gone]
        moved = None if bias is None else (bias.double() + taken @ offset).to(bias.dtype)
        readers[name] = ((whole[:, kept] + taken @ share).to(weight.dtype), moved)
    return readers


def _moments(statistics: UnitStatistics, *, intercept: bool) -> tuple[Tensor, Tensor]:
    """Second moments about the mean, with the mean; or about zero, with zero."""
    if intercept:
        return covariance(statistics), mean(statistics)
    return statistics.gram / statistics.count, torch.zeros_like(statistics.total)


def _regression(kk: Tensor, rk: Tensor, rr: Tensor, outgoing: Tensor, *, patterns: int) -> Tensor:
    """Ridge regression coefficients (removed, kept) of removed on kept units.

    `kk`, `rk`, `rr` are blocks of the second moments; `outgoing` (outputs, removed) says how much each
    removed unit matters, so that the ridge is judged by what the readers will notice.
    """
    scale = kk.diagonal().sqrt()
    # a dead survivor explains nothing; 1 instead of 0 keeps it from becoming NaN
    scale = torch.where(scale > 0, scale, 1.0)
    energies, axes = torch.linalg.eigh(kk / torch.outer(scale, scale))
    energies = energies.clamp(min=0)
    along = (rk / scale) @ axes
    told = (outgoing @ along).square().sum(0)
    total = float((outgoing @ rr * outgoing).sum())
    ridge = _ridge_by_gcv(energies, told, total, patterns=patterns)
    share: Tensor = (along / (energies + ridge)) @ axes.T / scale
    return share


def _ridge_by_gcv(energies: Tensor, told: Tensor, total: float, *, patterns: int) -> float:
    """The ridge with the least generalised cross-validation error of the readers' inputs."""
    if total <= 0:
        return float(RIDGES[0])
    damped = energies + RIDGES[:, None]
    residual = total - (told * (2 / damped - energies / damped.square())).sum(1)
    # rounding noise must not outbid a simpler fit
    residual = residual.clamp(min=0) + 1e-12 * total
    freedom = (energies / damped).sum(1) + 1
    left = (1 - freedom / patterns).clamp(min=0)
    error = torch.where(left > 0, residual / left.square(), torch.inf)
    return float(RIDGES[int(error.argmin())]) if bool(torch.isfinite(error).any()) else float(RIDGES[-1])


MERGES: dict[Merge, Callable[[LayerView, Removal], Readers]] = {
    "sum": summed,
    "lstsq": least_squares,
}


def solve(view: LayerView, removal: Removal) -> dict[Merge, Readers]:
    """The readers' weights and biases after the removal, under every merge."""
    return {name: merge(view, removal) for name, merge in MERGES.items()}
