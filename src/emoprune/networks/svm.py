"""Support vector machines fitted by scikit-learn, as tensors of a network."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import torch
from torch import Tensor, nn

from emoprune.networks.build import build
from emoprune.networks.table_networks import Scaling
from emoprune.networks.types import Spec


def fitted_svm(
    spec: Spec, values: Tensor, labels: Tensor, scaling: Scaling, *, penalty: float
) -> tuple[Spec, nn.Module]:
    """A machine fitted to scaled `values` (samples, features) with `labels` (samples,), and its spec.

    The kernel is radial-basis with width 1 / (features x variance), the penalty C is `penalty` (Dhall et al.
    2011 leave both open; these are scikit-learn's defaults).
    """
    from sklearn.svm import SVC

    scaled = scaling(values)
    machine = SVC(C=penalty, gamma="scale").fit(scaled.numpy(), labels.numpy())
    spec = replace(spec, hidden=(len(machine.support_vectors_),))
    net = build(spec)
    # scikit-learn takes 1 if nothing varies
    spread = float(scaled.double().var(correction=0)) or 1 / values.shape[1]
    # scikit-learn flips the sign for two classes
    sign = -1 if spec.classes == 2 else 1
    tensors = {
        "vectors": machine.support_vectors_,
        "classifier.weight": sign * _pairwise(machine.dual_coef_, machine.n_support_.tolist()),
        "classifier.bias": sign * machine.intercept_,
        # scikit-learn does not publish the value of gamma="scale"
        "gamma": 1 / (values.shape[1] * spread),
    }
    filled = {name: torch.as_tensor(value, dtype=torch.float32) for name, value in tensors.items()}
    scalings = {f"scaling.{name}": value for name, value in scaling.state_dict().items()}
    net.load_state_dict({**net.state_dict(), **filled, **scalings})
    return spec, net


def _pairwise(dual: Tensor, counts: list[int]) -> Tensor:
    """Coefficients (pairs, vectors) from libsvm's (classes - 1, vectors), vectors sorted by class.

    For the pair i < j, those of class i stand in row j - 1 and those of class j in row i.
    """
    dual = torch.as_tensor(dual)
    starts = torch.tensor([0, *counts]).cumsum(0).tolist()
    pairs = list(combinations(range(len(counts)), 2))
    weights = dual.new_zeros(len(pairs), dual.shape[1])
    for row, (i, j) in enumerate(pairs):
        first, second = slice(starts[i], starts[i + 1]), slice(starts[j], starts[j + 1])
        weights[row, first], weights[row, second] = dual[j - 1, first], dual[i, second]
    return weights
