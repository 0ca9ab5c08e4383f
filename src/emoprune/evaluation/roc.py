"""The area under the receiver operating characteristic, of many weightings of the samples at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def macro_auc(
    probabilities: NDArray[np.float64], labels: NDArray[np.int64], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """One class against the others, the mean over the classes that have samples, (weightings,).

    `probabilities` are (n, classes), `labels` (n,), `weights` (n, weightings): how often each sample counts.
    NaN where a single class has all samples.
    """
    areas = [
        _area(probabilities[:, index], labels == index, weights) for index in range(probabilities.shape[1])
    ]
    defined = ~np.isnan(areas)
    with np.errstate(invalid="ignore"):
        mean: NDArray[np.float64] = np.nansum(areas, axis=0) / defined.sum(axis=0)
    return mean


def _area(
    scores: NDArray[np.float64], positive: NDArray[np.bool_], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """How often a positive sample scores higher than a negative one, ties counting half."""
    order = np.argsort(scores[~positive])
    negatives = scores[~positive][order]
    # what the negatives below each place of their order count for
    below = np.zeros((len(negatives) + 1, weights.shape[1]))
    np.cumsum(weights[~positive][order], axis=0, out=below[1:])
    own, scored = weights[positive], scores[positive]
    # the first and the last place that a score has among them: half of the ties lie below it
    first, last = np.searchsorted(negatives, scored), np.searchsorted(negatives, scored, side="right")
    wins = np.einsum("nr,nr->r", own, (below[first] + below[last]) / 2)
    pairs = own.sum(axis=0) * below[-1]
    area: NDArray[np.float64] = np.divide(wins, pairs, out=np.full_like(wins, np.nan), where=pairs > 0)
    return area
