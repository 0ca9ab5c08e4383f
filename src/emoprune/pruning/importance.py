"""How much a unit's kernel weighs (luan2020, section 2.3)."""

from __future__ import annotations

import torch
from torch import Tensor

from emoprune.pruning.context import Subject


def importances(subject: Subject, layer: str) -> Tensor:
    """Root of the sum of squares of each unit's kernel over its positions, (units,).

    For a kernel of k x k weights on one input channel that is the published I = sqrt(sum(a^2) / k^2); more
    input channels add their squares.
    """
    start, stop = subject.graph.spans[layer]
    name = f"{layer}.weight"
    owner = next(cut.owner for cut in subject.graph.cuts if (cut.tensor, cut.dim) == (name, 0))
    weight = subject.tensors[name].double()
    squares = weight.square().flatten(1).sum(1) / weight[0, 0].numel()
    inner = (owner >= start) & (owner < stop)
    found = torch.zeros(stop - start, dtype=torch.float64)
    return found.index_add_(0, owner[inner] - start, squares[inner]).sqrt()
