"""Scaling fitted on training rows travels with the network."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from emoprune.choices import Scale
from emoprune.errors import BadData
from emoprune.networks.table_networks import Scaling, fitted_scaling


def fitted(rows: Tensor, scale: Scale) -> Scaling:
    return fitted_scaling(rows, scale, columns=[f"f{index}" for index in range(rows.shape[1])])


def random_rows(n: int, columns: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    spread = 10 ** (4 * torch.rand(columns, generator=generator) - 2)
    return torch.randn(n, columns, generator=generator) * spread + 3 * spread


rows_of = st.builds(random_rows, st.integers(3, 50), st.integers(1, 6), st.integers(0, 10**6))


@settings(deadline=None, max_examples=40)
@given(rows_of)
def test_minmax_maps_every_columns_range_to_0_and_1(rows: Tensor) -> None:
    scaled = fitted(rows, "minmax")(rows)
    torch.testing.assert_close(scaled.amin(0), torch.zeros(rows.shape[1]), atol=1e-5, rtol=0)
    torch.testing.assert_close(scaled.amax(0), torch.ones(rows.shape[1]), atol=1e-5, rtol=0)


@settings(deadline=None, max_examples=40)
@given(rows_of)
def test_standard_gives_every_column_mean_0_and_deviation_1(rows: Tensor) -> None:
    scaled = fitted(rows, "standard")(rows).double()
    torch.testing.assert_close(scaled.mean(0), torch.zeros(rows.shape[1]).double(), atol=1e-4, rtol=0)
    deviation = scaled.std(0, correction=0)
    torch.testing.assert_close(deviation, torch.ones(rows.shape[1]).double(), atol=1e-3, rtol=0)


def test_none_leaves_columns_as_they_are() -> None:
    rows = random_rows(9, 4, 0)
    assert torch.equal(fitted(rows, "none")(rows), rows)


@settings(deadline=None, max_examples=60)
@given(st.integers(-10_000, 10_000), st.integers(1, 40), st.sampled_from(["minmax", "standard"]))
def test_a_constant_column_becomes_0(tenths: int, n: int, scale: Scale) -> None:
    # most tenths are no binary fraction, so their mean is off by a rounding error
    rows = torch.stack([torch.full((n,), tenths / 10), torch.arange(n) * 1.0], 1)
    scaled = fitted(rows, scale)(rows)
    assert float(scaled[:, 0].abs().max()) <= 1e-3
    assert bool(torch.isfinite(scaled).all())


@pytest.mark.parametrize("scale", ["minmax", "standard"])
def test_a_column_constant_in_training_does_not_blow_up_elsewhere(scale: Scale) -> None:
    layer = fitted(torch.full((10, 1), 0.1), scale)
    assert float(layer(torch.tensor([[0.2]])).abs()) <= 1


def test_other_rows_are_scaled_by_the_training_rows_figures() -> None:
    layer = fitted(torch.tensor([[0.0, 10.0], [2.0, 30.0]]), "minmax")
    assert layer(torch.tensor([[4.0, 0.0]])).tolist() == [[2.0, -0.5]]


def test_the_figures_are_buffers_that_no_training_changes() -> None:
    layer = fitted(random_rows(9, 4, 0), "standard")
    assert set(layer.state_dict()) == {"fill", "shift", "scale"}
    assert not list(layer.parameters())


def with_gaps(rows: Tensor, seed: int) -> Tensor:
    """Some values missing, but of the first row."""
    gaps = torch.rand(rows.shape, generator=torch.Generator().manual_seed(seed)) < 0.3
    gaps[0] = False
    return rows.masked_fill(gaps, torch.nan)


def alone(rows: Tensor) -> list[Tensor]:
    """Every column by itself, without what is missing."""
    return [column[~column.isnan()] for column in rows.unbind(1)]


@settings(deadline=None, max_examples=40)
@given(rows_of, st.integers(0, 10**6), st.sampled_from(["minmax", "standard", "none"]))
def test_missing_values_are_filled_with_the_training_mean_of_their_column(
    rows: Tensor, seed: int, scale: Scale
) -> None:
    rows = with_gaps(rows, seed)
    means = torch.stack([column.double().mean() for column in alone(rows)]).float()
    layer = fitted(rows, scale)
    assert torch.equal(layer(rows), layer(torch.where(rows.isnan(), means, rows)))


@settings(deadline=None, max_examples=40)
@given(rows_of, st.integers(0, 10**6), st.sampled_from(["minmax", "standard"]))
def test_scaling_is_fitted_to_the_values_that_are_there(rows: Tensor, seed: int, scale: Scale) -> None:
    rows = with_gaps(rows, seed)
    layer = fitted(rows, scale)
    for index, column in enumerate(alone(rows)):
        single = fitted(column[:, None], scale)
        torch.testing.assert_close(layer.shift[index], single.shift[0])
        torch.testing.assert_close(layer.scale[index], single.scale[0])


def test_a_column_without_a_training_value_is_named() -> None:
    rows = torch.tensor([[1.0, torch.nan], [2.0, torch.nan]])
    with pytest.raises(BadData, match="column f1 has no value in the training part; remove it"):
        fitted(rows, "none")


def test_the_mean_of_large_values_is_no_infinity() -> None:
    layer = fitted(torch.full((4, 1), 3e38), "minmax")
    assert layer.fill.tolist() == pytest.approx([3e38])
