from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from emoprune.pruning.reconstruction_cost import PENDING, RIDGE, Elimination, ReadingLedger
from tests.support import reference_pruning as literal
from tests.support.layers import Array, relu_maps, subject_with

SEEDS = st.integers(0, 10_000)


def reader(
    seed: int,
    channels: int,
    *,
    taps: int = 1,
    outputs: int = 4,
    constant: bool = True,
    normed: bool = False,
    inside: Array | None = None,
) -> literal.Reader:
    generator = np.random.default_rng(seed + 99)
    return literal.Reader(
        weight=generator.normal(size=(outputs, channels, taps)),
        inside=np.ones(taps) if inside is None else inside,
        constant=constant,
        deviation=generator.uniform(0.2, 5, size=outputs) if normed else None,
    )


def plain(seed: int, *, channels: int = 8, patterns: int = 200, positions: int = 1) -> Array:
    return relu_maps(seed, channels=channels, patterns=patterns, positions=positions)


def ridge_for(h: Array) -> float:
    return float(max(RIDGE, h.shape[1] / (h.shape[0] * h.shape[2])))


def check(readings: list[literal.Seen], units: int, order: list[int], *, rel: float = 1e-6) -> None:
    """The costs are the literal ones before anything is taken and after each unit of `order` is."""
    elimination = Elimination(subject_with(readings), torch.arange(units))
    (ridge,) = {ridge_for(seen.h) for seen in readings}
    gone: set[int] = set()
    for unit in [*order, -1]:
        expected = literal.removal_costs(readings, units, gone, ridge)
        assert elimination.costs.numpy() == pytest.approx(expected, rel=rel, abs=1e-9)
        if unit >= 0:
            elimination.remove(unit)
            gone.add(unit)


def order(seed: int, units: int, count: int) -> list[int]:
    return [int(unit) for unit in np.random.default_rng(seed).permutation(units)[:count]]


@settings(max_examples=25)
@given(seed=SEEDS, taps=st.sampled_from([1, 3]), normed=st.booleans())
def test_costs_are_what_least_squares_loses_however_many_have_gone(
    seed: int, taps: int, normed: bool
) -> None:
    h = plain(seed)
    check(
        [literal.Seen(h, tuple(range(8)), (reader(seed, 8, taps=taps, normed=normed),))], 8, order(seed, 8, 6)
    )


def test_with_many_patterns_the_ridge_hardly_tells() -> None:
    h = plain(3, channels=6, patterns=60_000)
    seen = literal.Seen(h, tuple(range(6)), (reader(3, 6),))
    elimination = Elimination(subject_with([seen]), torch.arange(6))
    assert elimination.costs.numpy() == pytest.approx(literal.removal_costs([seen], 6, set()), rel=2e-3)
    elimination.remove(2)
    assert elimination.costs.numpy() == pytest.approx(literal.removal_costs([seen], 6, {2}), rel=2e-3)


@settings(max_examples=10)
@given(seed=SEEDS)
def test_costs_at_several_readers_and_in_several_readings_add(seed: int) -> None:
    first, second = plain(seed, channels=6), plain(seed + 1, channels=7)
    readings = [
        literal.Seen(first, (0, 1, 2, 3, 4, 5), (reader(seed, 6), reader(seed + 1, 6, taps=2, normed=True))),
        # units 2 to 5 again, and some that the first reading lacks
        literal.Seen(second, (2, 3, 4, 5, 6, 7, 8), (reader(seed + 2, 7),)),
    ]
    ridges = {ridge_for(first), ridge_for(second)}
    assert len(ridges) == 2
    elimination = Elimination(subject_with(readings, {"a": 6, "b": 3}), torch.arange(9))
    gone: set[int] = set()
    for unit in order(seed, 9, 5):
        expected = np.zeros(9)
        for seen in readings:
            alone = literal.removal_costs([seen], 9, gone, ridge_for(seen.h))
            expected += np.where(np.isfinite(alone), alone, 0.0)
        expected[list(gone)] = np.inf
        assert elimination.costs.numpy() == pytest.approx(expected, rel=1e-6, abs=1e-9)
        elimination.remove(unit)
        gone.add(unit)


@settings(max_examples=10)
@given(seed=SEEDS)
def test_units_of_several_channels_go_as_a_block(seed: int) -> None:
    h = plain(seed, channels=9)
    check([literal.Seen(h, (0, 0, 0, 1, 1, 1, 2, 2, 2), (reader(seed, 9, normed=True),))], 3, [1])
    check([literal.Seen(h[:, :8], (3, 1, 0, 2, 1, 3, 2, 0), (reader(seed, 8),))], 4, [2, 0])


def test_units_may_stand_in_any_order_in_a_reading() -> None:
    h = plain(1, channels=5)
    check([literal.Seen(h, (3, 0, 4, 1, 2), (reader(1, 5),))], 5, [1, 4])


def test_frozen_channels_stay_and_speak_for_others() -> None:
    h = plain(5, channels=6)
    h[:, 0] = h[:, 3]
    check([literal.Seen(h, (-1, 0, 1, 2, 3, -1), (reader(5, 6),))], 4, [0, 3])


def test_a_reader_that_can_take_no_constant_loses_the_mean_too() -> None:
    h = plain(7)
    check([literal.Seen(h, tuple(range(8)), (reader(7, 8, constant=False),))], 8, [1, 4, 2])


def test_taps_on_the_padding_count_for_the_share_that_they_read() -> None:
    h = plain(9, positions=3)
    inside = np.full(3, 0.8)
    check([literal.Seen(h, tuple(range(8)), (reader(9, 8, taps=3, inside=inside),))], 8, [1, 4, 2])


def test_unequal_taps_cost_nearly_what_they_lose() -> None:
    h = plain(9, positions=3, patterns=2000)
    inside = np.array([0.75, 1.0, 0.75])
    seen = literal.Seen(h, tuple(range(8)), (reader(9, 8, taps=3, inside=inside),))
    elimination = Elimination(subject_with([seen]), torch.arange(8))
    expected = literal.removal_costs([seen], 8, set(), ridge_for(h))
    assert elimination.costs.numpy() == pytest.approx(expected, rel=0.1)
    assert elimination.costs.argsort().tolist() == np.argsort(expected).tolist()


@settings(max_examples=4)
@given(seed=SEEDS)
def test_steps_that_wait_to_be_carried_out_change_nothing(seed: int) -> None:
    units = 2 * PENDING + 8
    h = plain(seed, channels=units, patterns=400)
    seen = literal.Seen(h, tuple(range(units)), (reader(seed, units),))
    elimination = Elimination(subject_with([seen]), torch.arange(units))
    gone: set[int] = set()
    for unit in order(seed, units, units - 5):
        elimination.remove(unit)
        gone.add(unit)
    expected = literal.removal_costs([seen], units, gone, ridge_for(h))
    assert elimination.costs.numpy() == pytest.approx(expected, rel=1e-6, abs=1e-9)


def test_only_the_layers_asked_for_have_costs() -> None:
    h = plain(2, channels=6)
    seen = literal.Seen(h, tuple(range(6)), (reader(2, 6),))
    elimination = Elimination(subject_with([seen], {"a": 2, "b": 4}), torch.arange(2, 6))
    assert elimination.costs.isinf().tolist() == [True, True, False, False, False, False]
    elimination.remove(3)
    expected = literal.removal_costs([seen], 6, {3}, ridge_for(h))
    assert elimination.costs[2:].numpy() == pytest.approx(expected[2:], rel=1e-6)


def test_a_copy_costs_nothing_and_its_source_then_everything() -> None:
    h = plain(4, patterns=40_000)
    h[:, 3] = h[:, 6]
    seen = literal.Seen(h, tuple(range(8)), (reader(4, 8),))
    elimination = Elimination(subject_with([seen]), torch.arange(8))
    assert float(elimination.costs[[3, 6]].max()) < 1e-3
    elimination.remove(6)
    assert float(elimination.costs[3]) > 1e-2


@pytest.mark.parametrize("positions", [1, 4])
@pytest.mark.parametrize("patterns", [5, 100, 5000])
def test_dead_units_cost_nothing(patterns: int, positions: int) -> None:
    h = plain(4, patterns=patterns, positions=positions) * 0.05
    h[:, [3, 5]] = 0.0
    seen = literal.Seen(h, tuple(range(8)), (reader(4, 8),))
    elimination = Elimination(subject_with([seen]), torch.arange(8))
    assert float(elimination.costs[[3, 5]].max()) < 1e-9
    elimination.remove(3)
    elimination.remove(1)
    assert float(elimination.costs[5]) < 1e-9
    assert float(elimination.costs[[0, 2, 4, 6, 7]].min()) > 1e-6


@pytest.mark.parametrize("positions", [1, 4])
@pytest.mark.parametrize("patterns", [5, 60, 5000])
@pytest.mark.parametrize("seed", range(3))
def test_constant_units_cost_nothing_and_break_nothing(seed: int, patterns: int, positions: int) -> None:
    h = plain(seed, channels=20, patterns=patterns, positions=positions)
    h[:, :6] = np.random.default_rng(seed).uniform(0.1, 30, size=(6, 1))
    seen = literal.Seen(h, tuple(range(20)), (reader(seed, 20),))
    elimination = Elimination(subject_with([seen]), torch.arange(20))
    for unit in order(seed, 20, 18):
        assert bool((elimination.costs[:6].isinf() | (elimination.costs[:6] < 1e-6)).all())
        elimination.remove(unit)
    assert not bool(elimination.costs.isnan().any())


def test_one_unit_alone_costs_all_that_its_reader_computes() -> None:
    h = plain(1, channels=1, patterns=40_000)
    seen = literal.Seen(h, (0,), (reader(1, 1),))
    ledger = ReadingLedger(subject_with([seen]), subject_with([seen]).readings[0])
    assert ledger.costs().tolist() == pytest.approx([1.0], rel=1e-3)


def test_a_reader_that_never_varies_counts_for_nothing() -> None:
    h = plain(1)
    silent = literal.Reader(np.zeros((3, 8, 1)), np.ones(1))
    both = literal.Seen(h, tuple(range(8)), (reader(1, 8), silent))
    alone = literal.Seen(h, tuple(range(8)), (reader(1, 8),))
    with_it, without_it = (Elimination(subject_with([seen]), torch.arange(8)).costs for seen in (both, alone))
    assert torch.allclose(with_it, without_it)
