"""What a removal will cost, told from statistics alone before anything is written."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from emoprune.core.compensation import Readers
from emoprune.core.statistics import mean
from emoprune.records import Certificate, LayerView, Removal
from emoprune.records.choices import Merge

ROUNDING = 1e-12


def certify(view: LayerView, removal: Removal, solutions: Mapping[Merge, Readers]) -> Certificate:
    """Units before and after, why they go, and the error at the readers' inputs under either merge.

    `solutions` are the readers after the removal, by merge (core.compensation.solve).
    """
    return Certificate(
        layer=removal.layer,
        before=removal.units,
        after=len(removal.kept),
        similar=len(removal.similar),
        complementary=len(removal.complementary),
        insignificant=len(removal.insignificant),
        error_sum=relative_error(view, removal, solutions["sum"]),
        error_lstsq=relative_error(view, removal, solutions["lstsq"]),
    )


def relative_error(view: LayerView, removal: Removal, readers: Readers) -> float | None:
    """Root of the mean squared change of the readers' inputs over their variance; None if they never vary.

    With E the change of a reader's [weight bias], the mean squared change is tr(E S E') / n, where S is
    the sum of [h 1]' [h 1] over the patterns.
    """
    statistics = view.statistics
    moments = _bordered(statistics.gram, statistics.total, statistics.count) / statistics.count
    mu = mean(statistics)
    kept = torch.tensor(removal.kept)
    changed, power, still = 0.0, 0.0, 0.0
    for name, (weight, bias) in view.readers.items():
        new_weight, new_bias = readers[name]
        change = torch.zeros(weight.shape[0], statistics.units + 1, dtype=torch.float64)
        change[:, :-1] = weight.double()
        change[:, kept] -= new_weight.double()
        if bias is not None and new_bias is not None:
            change[:, -1] = bias.double() - new_bias.double()
        whole = weight.double()
        changed += float((change @ moments * change).sum())
        power += float((whole @ moments[:-1, :-1] * whole).sum())
        still += float((whole @ mu).square().sum())
    energy = power - still
    # the difference of equals is rounding, not variance
    if energy <= ROUNDING * power:
        return None
    return math.sqrt(max(changed, 0.0) / energy)


def _bordered(gram: Tensor, total: Tensor, count: int) -> Tensor:
    corner = torch.tensor([[float(count)]], dtype=torch.float64)
    return torch.cat([torch.cat([gram, total[:, None]], 1), torch.cat([total[None], corner], 1)])
