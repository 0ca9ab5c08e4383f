"""Sums over patterns that come in parts are those over all of them."""

from __future__ import annotations

import torch

from emoprune.core import statistics


def test_sums_of_many_units_in_uneven_parts_are_those_of_the_whole() -> None:
    units = 2 * statistics.GRAM_BLOCK + 100
    h = torch.randn(40, units, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    sums = statistics.UnitSums()
    for part in h.split([1, 30, 9]):
        sums.take(part)
    found = sums.statistics()
    assert found.count == 40
    assert torch.allclose(found.gram, h.T @ h, rtol=1e-12, atol=1e-12)
    assert torch.allclose(found.total, h.sum(0), rtol=1e-12, atol=1e-12)
    assert torch.equal(found.low, h.amin(0))
    assert torch.equal(found.high, h.amax(0))
