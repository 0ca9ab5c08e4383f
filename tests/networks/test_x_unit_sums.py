"""Sums over patterns that come in parts are those over all of them."""

from __future__ import annotations

import pytest
import torch

from emoprune.networks import activation_statistics


@pytest.mark.parametrize("waiting", [8, 1024])
def test_sums_of_many_units_in_uneven_parts_are_those_of_the_whole(
    waiting: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(activation_statistics, "WAITING", waiting)
    units = 2 * activation_statistics.GRAM_BLOCK + 100
    h = torch.randn(40, units, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    sums = activation_statistics.UnitSums()
    for part in h.split([1, 30, 9]):
        sums.take(part)
    found = sums.statistics()
    assert found.count == 40
    assert torch.allclose(found.gram, h.T @ h, rtol=1e-12, atol=1e-12)
    assert torch.allclose(found.total, h.sum(0), rtol=1e-12, atol=1e-12)
    assert torch.equal(found.low, h.amin(0))
    assert torch.equal(found.high, h.amax(0))
    assert torch.equal(sums.statistics().gram, found.gram)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
@pytest.mark.parametrize("units", [1, 3])
def test_activations_of_any_type_and_layout_are_taken(
    dtype: torch.dtype, units: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(activation_statistics, "WAITING", 2)
    h = torch.randn(units, 7, generator=torch.Generator().manual_seed(0)).to(dtype).T
    sums = activation_statistics.UnitSums()
    with torch.inference_mode():
        for part in h.split(1):
            sums.take(part)
        sums.take(h)
        found = sums.statistics()
    exact = h.double()
    assert found.count == 14
    assert torch.allclose(found.gram, 2 * exact.T @ exact, rtol=1e-12, atol=1e-12)
