"""Times of layers between the widths at which they were measured."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from emoprune.networks.costs.latency import LatencyTable, LatencyTables

TABLE = LatencyTable((16, 32, 48), (4, 8), torch.tensor([[1.0, 2.0], [2.0, 4.0], [2.5, 5.0]]))
ONE = LatencyTable((3,), (7,), torch.tensor([[9.0]]))


def ms(table: LatencyTable, outputs: float, inputs: float) -> float:
    tables, zero = LatencyTables([None, ONE, table]), torch.tensor([2])
    return float(tables.nanoseconds(zero, torch.tensor([outputs]), torch.tensor([inputs]))) / 1e6


def test_tables_are_exact_at_measured_widths_and_linear_between_them() -> None:
    for row, outputs in enumerate(TABLE.outputs):
        for column, inputs in enumerate(TABLE.inputs):
            assert ms(TABLE, outputs, inputs) == pytest.approx(float(TABLE.ms[row, column]))
    assert ms(TABLE, 24, 8) == pytest.approx(3)
    assert ms(TABLE, 24, 6) == pytest.approx((1 + 2 + 2 + 4) / 4)


def test_a_layer_without_channels_takes_no_time() -> None:
    assert ms(TABLE, 0, 8) == ms(TABLE, 16, 0) == 0
    assert ms(TABLE, 8, 8) == pytest.approx(1)


def test_tensors_without_a_table_take_no_time() -> None:
    numbers = torch.tensor([0, 1])
    found = LatencyTables([None, ONE]).nanoseconds(numbers, torch.tensor([64, 3]), torch.tensor([1, 7]))
    assert found.tolist() == [0, 9e6]


@given(
    noisy=st.lists(st.floats(0, 9), min_size=6, max_size=6),
    low=st.tuples(st.integers(0, 48), st.integers(0, 8)),
    more=st.tuples(st.integers(0, 48), st.integers(0, 8)),
)
def test_a_wider_layer_never_takes_less(
    noisy: list[float], low: tuple[int, int], more: tuple[int, int]
) -> None:
    table = LatencyTable((16, 32, 48), (4, 8), torch.tensor(noisy).reshape(3, 2))
    wider = [min(side, each + added) for side, each, added in zip((48, 8), low, more, strict=True)]
    assert ms(table, *low) <= ms(table, *wider) + 1e-6
