"""Principal components of features, fitted to a part of the samples."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from emoprune.errors import UsageFault


def require_samples(count: int, *, fitted: int) -> None:
    """Raise UsageFault where `fitted` samples have fewer than `count` components: one less than samples."""
    if count > fitted - 1:
        fact = f"`pca={count}` is more than the {fitted - 1} components of {fitted} training samples"
        raise UsageFault(fact, "give fewer, or more samples")


def principal_components(values: Tensor, fitted_on: Tensor, count: int, *, kind: str) -> tuple[Tensor, float]:
    """The first `count` principal components of all rows of `values` (samples, features).

    Returns them, (samples, count) float64, and the fraction of the fitted rows' variance that they hold.
    Mean and axes are those of the rows at `fitted_on` alone, by scikit-learn's PCA with a full singular value
    decomposition: the largest entry of every axis is positive, so that one table gives one result. Raises
    UsageFault, in which `kind` names the features, where those rows do not vary in so many directions.
    """
    # takes a second to import
    from sklearn.decomposition import PCA

    rows = values.double().numpy()
    fitted = rows[fitted_on.numpy()]
    require_samples(count, fitted=len(fitted))
    if count > rows.shape[1]:
        raise UsageFault(f"`pca={count}` is more than {kind} has features ({rows.shape[1]})", "give fewer")
    # a constant part has no variance to divide by, of which scikit-learn would warn
    pca = PCA(n_components=count, svd_solver="full").fit(fitted) if np.ptp(fitted, axis=0).any() else None
    spreads = np.zeros(count) if pca is None else pca.singular_values_
    found = int((spreads > spreads[0] * max(fitted.shape) * np.finfo(np.float64).eps).sum())
    if pca is None or found < count:
        fact = f"`pca={count}` is more than the {found} directions that {kind} has over the training part"
        raise UsageFault(fact, "give fewer")
    return torch.from_numpy(pca.transform(rows)), float(pca.explained_variance_ratio_.sum())
