"""Ridge regression toward what a layer's readers see: many rows, few, constant ones, and one side of zero."""

from __future__ import annotations

from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from emoprune.pruning.regression import EVERYTHING, Rows, Seen, correction
from tests.support import reference_pruning as literal
from tests.support.layers import Array

Real = NDArray[np.floating[Any]]
"""Float64, or the float32 of a network."""

SEEDS = st.integers(0, 10_000)


def draw(seed: int, rows: int, *, noise: float = 0.1) -> tuple[Array, Array]:
    """Features and what is missing of three outputs, most of it in reach of the features."""
    generator = np.random.default_rng(seed)
    mixing = np.eye(6) + generator.normal(size=(6, 6)) / 3
    features = generator.normal(size=(rows, 6)) @ mixing + generator.normal(size=6)
    missing = features @ generator.normal(size=(6, 3)) + generator.normal(size=3)
    return features, missing + noise * generator.normal(size=(rows, 3))


def rows_of(features: Real, targets: Real, seen: Seen) -> Rows:
    """Those of a layer that computes 0."""
    x, outputs, wanted = (torch.tensor(values).float() for values in (features, 0 * targets, targets))
    return Rows(x, outputs, *seen.intervals(wanted))


def corrected(
    features: Real, missing: Real, *, held: int, constant: bool, seen: Seen = EVERYTHING
) -> tuple[Array, Array] | None:
    """What is added to a layer that computes 0; the last `held` rows are held out."""
    found = correction(rows_of(features, missing, seen), len(features) - held, constant=constant)
    if found is None:
        return None
    weights, offset = (part.double().numpy() for part in found)
    return weights, offset


@settings(max_examples=20)
@given(seed=SEEDS, constant=st.booleans())
def test_correction_of_many_rows_is_plain_least_squares(seed: int, constant: bool) -> None:
    features, missing = draw(seed, 5000)
    found = corrected(features, missing, held=1000, constant=constant)
    assert found is not None
    change, offset = found
    expected = literal.corrected(features, missing, constant=constant)

    def error(weight: Array, shift: Array) -> float:
        return float(np.square(features @ weight.T + shift - missing).mean())

    # a little ridge is left, which costs next to nothing
    assert error(change, offset) <= 1.01 * error(*expected) + 1e-4
    # and which moves weights only where features hardly vary
    moved = features @ (change - expected[0]).T + offset - expected[1]
    assert np.sqrt(np.square(moved).mean()) < 0.1
    if not constant:
        assert not offset.any()


def test_correction_uses_held_out_rows_in_the_end() -> None:
    features, missing = draw(0, 60)
    with mock.patch("emoprune.pruning.regression.RIDGES", (1e-10,)):
        found = corrected(features, missing, held=30, constant=True)
    assert found is not None
    for ours, expected in zip(found, literal.corrected(features, missing, constant=True), strict=True):
        assert ours == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("constant", [True, False])
def test_correction_is_none_for_noise_in_few_rows(constant: bool) -> None:
    taught = 0
    for seed in range(40):
        generator = np.random.default_rng(seed)
        features, missing = generator.normal(size=(24, 16)), generator.normal(size=(24, 400))
        found = corrected(features, missing, held=8, constant=constant)
        taught += found is not None
    assert taught == 0


@pytest.mark.parametrize("rows", [12, 20, 60])
def test_correction_from_few_rows_helps_on_others(rows: int) -> None:
    for seed in range(40):
        features, missing = draw(seed, 2000 + rows, noise=1.0)
        found = corrected(features[:rows], missing[:rows], held=rows // 4, constant=True)
        change, offset = found or (np.zeros((3, 6)), np.zeros(3))
        left = features[rows:] @ change.T + offset - missing[rows:]
        assert float(np.square(left).mean()) <= float(np.square(missing[rows:]).mean())


def test_correction_is_none_without_rows_to_learn_or_to_hold_out() -> None:
    features, missing = draw(0, 30)
    assert corrected(features, missing, held=30, constant=True) is None
    assert corrected(features, missing, held=0, constant=True) is None


def test_correction_is_none_where_nothing_is_missing() -> None:
    features, _ = draw(0, 400)
    assert corrected(features, np.zeros((400, 3)), held=80, constant=True) is None


@pytest.mark.parametrize("constant", [True, False])
def test_correction_gives_dead_features_no_weight(constant: bool) -> None:
    features, missing = draw(1, 2000)
    features[:, [1, 4]] = 0.0
    found = corrected(features, missing, held=400, constant=constant)
    assert found is not None
    change, offset = found
    assert np.isfinite(change).all()
    assert np.isfinite(offset).all()
    assert not change[:, [1, 4]].any()


@pytest.mark.parametrize("level", [0.3, 30.0, 3000.0])
@pytest.mark.parametrize("seed", range(5))
def test_correction_of_constant_features_holds_in_float32(seed: int, level: float) -> None:
    generator = np.random.default_rng(seed)
    features, missing = draw(seed, 3000)
    constants = np.tile(generator.uniform(0.5, 1, size=12) * level, (3000, 1))
    whole = np.hstack([features, constants]).astype(np.float32)
    found = corrected(whole, missing.astype(np.float32), held=600, constant=True)
    assert found is not None
    change, offset = found
    left = whole @ change.T + offset - missing
    best, shift = literal.corrected(features, missing, constant=True)
    assert float(np.square(left).mean()) <= 1.1 * float(np.square(features @ best.T + shift - missing).mean())


@pytest.mark.parametrize("level", [30, 300])
def test_correction_uses_features_far_from_zero_in_float32(level: float) -> None:
    features, missing = draw(2, 3000)
    far = (features + level).astype(np.float32)
    found = corrected(far, missing.astype(np.float32), held=600, constant=True)
    assert found is not None
    change, offset = found
    left = far.astype(np.float64) @ change.T + offset - missing
    # what is noise is 0.01
    assert float(np.square(left).mean()) < 0.02


def test_correction_takes_more_features_than_rows() -> None:
    generator = np.random.default_rng(0)
    source = generator.normal(size=(1040, 3))
    features = source @ generator.normal(size=(3, 200)) + 0.1 * generator.normal(size=(1040, 200))
    missing = source @ generator.normal(size=(3, 5))
    found = corrected(features[:40], missing[:40], held=8, constant=True)
    assert found is not None
    left = features[40:] @ found[0].T + found[1] - missing[40:]
    assert float(np.square(left).mean()) < 0.1 * float(np.square(missing[40:]).mean())


@settings(max_examples=40)
@given(seed=SEEDS, wobble=st.sampled_from([0.0, 1e-9, 1e-8, 1e-7, 1e-6, 1e-5]))
def test_correction_of_features_that_hardly_move_is_right_or_none(seed: int, wobble: float) -> None:
    generator = np.random.default_rng(seed)
    level = generator.normal(size=40)
    features = (level + wobble * generator.normal(size=(60, 40))).astype(np.float32)
    missing = 3.0 + generator.normal(size=(60, 3)).astype(np.float32)
    found = corrected(features, missing, held=12, constant=True)
    assert found is not None
    change, offset = found
    fitted = features.astype(np.float64) @ change.T + offset
    assert np.isfinite(fitted).all()
    assert np.square(fitted - missing).mean() <= np.square(missing).mean()


ONE_SIDE = Seen(low=0)


def hidden_by_relu(seed: int, rows: int) -> tuple[Array, Array]:
    """Features, and targets of which a ReLU hides what no linear layer can tell."""
    generator = np.random.default_rng(seed)
    features = generator.normal(size=(rows, 6))
    wanted = features @ generator.normal(size=(6, 3))
    # far below zero by chance: nothing behind the ReLU knows how far
    return features, np.where(wanted < 0, wanted - 30 * generator.random(wanted.shape), wanted)


def behind(
    features: Array, targets: Array, found: tuple[Array, Array] | None, low: float, high: float
) -> float:
    """Mean squared distance behind an activation that clamps."""
    assert found is not None
    outputs = features @ found[0].T + found[1]
    return float(np.square(outputs.clip(low, high) - targets.clip(low, high)).mean())


@pytest.mark.parametrize("high", [np.inf, 2.0])
@pytest.mark.parametrize("seed", range(3))
def test_correction_of_one_side_is_right_behind_the_activation(seed: int, high: float) -> None:
    features, targets = hidden_by_relu(seed, 4000)
    targets = np.where(targets > high, targets + 30, targets)
    one_sided = corrected(features, targets, held=800, constant=True, seen=Seen(0, high))
    plain = corrected(features, targets, held=800, constant=True)
    assert behind(features, targets, one_sided, 0, high) < 0.3 * behind(features, targets, plain, 0, high)


@settings(max_examples=20)
@given(seed=SEEDS, rounds=st.integers(1, 7))
def test_correction_loses_less_with_every_round(seed: int, rounds: int) -> None:
    features, targets = hidden_by_relu(seed, 300)

    def loss(most: int) -> float:
        with (
            mock.patch("emoprune.pruning.regression.ROUNDS", most),
            mock.patch("emoprune.pruning.regression.RIDGES", (1e-6,)),
        ):
            found = corrected(features, targets, held=60, constant=True, seen=ONE_SIDE)
        assert found is not None
        outputs = features @ found[0].T + found[1]
        return float(np.square(np.where(targets > 0, outputs - targets, outputs.clip(0))).mean())

    assert loss(rounds + 1) <= loss(rounds) * (1 + 1e-5)


NUMBERS = st.floats(-3, 3, width=32)
LOWS, HIGHS = st.sampled_from([-np.inf, 0.0]), st.sampled_from([np.inf, 1.0])


@given(target=NUMBERS, value=NUMBERS, low=LOWS, high=HIGHS)
def test_intervals_hold_what_readers_take_for_the_target(
    target: float, value: float, low: float, high: float
) -> None:
    least, most = Seen(low, high).intervals(torch.tensor([target]))
    assert (float(least) <= value <= float(most)) == (np.clip(value, low, high) == np.clip(target, low, high))


@settings(max_examples=50)
@given(seed=SEEDS, low=LOWS, high=HIGHS, changed=st.booleans())
def test_missing_leads_to_the_nearest_value_that_is_wanted(
    seed: int, low: float, high: float, changed: bool
) -> None:
    generator = np.random.default_rng(seed)
    outputs, targets, change = (torch.from_numpy(generator.normal(size=(20, 3))).float() for _ in range(3))
    least, most = Seen(low, high).intervals(targets)
    rows = Rows(torch.zeros(20, 1), outputs, least, most)
    now = outputs + change if changed else outputs
    missing, loss = rows.missing(change.clone() if changed else None)
    # between both ends, and no other point of the interval is nearer
    nearest = torch.minimum(torch.maximum(now, least), most)
    torch.testing.assert_close(outputs + missing, nearest)
    assert loss == pytest.approx(float((nearest - now).square().sum(1).mean()), rel=1e-5)
