from __future__ import annotations

from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from emoprune.pruning import refit
from emoprune.pruning.refit import Sums, correction
from tests.support import reference_pruning as literal
from tests.support.layers import Array

Real = NDArray[np.floating[Any]]
"""Float64, or the float32 of a network."""

SEEDS = st.integers(0, 10_000)


def sums_of(features: Real, missing: Real, *, pieces: int = 1) -> Sums:
    sums = Sums()
    for x, z in zip(np.array_split(features, pieces), np.array_split(missing, pieces), strict=True):
        sums.add(torch.from_numpy(x), torch.from_numpy(z))
    return sums


def draw(seed: int, rows: int, *, noise: float = 0.1) -> tuple[Array, Array]:
    """Features and what is missing of three outputs, most of it in reach of the features."""
    generator = np.random.default_rng(seed)
    mixing = np.eye(6) + generator.normal(size=(6, 6)) / 3
    features = generator.normal(size=(rows, 6)) @ mixing + generator.normal(size=6)
    missing = features @ generator.normal(size=(6, 3)) + generator.normal(size=3)
    return features, missing + noise * generator.normal(size=(rows, 3))


def halves(features: Real, missing: Real, *, held: int) -> tuple[Sums, Sums]:
    return sums_of(features[:-held], missing[:-held]), sums_of(features[-held:], missing[-held:])


@settings(max_examples=20)
@given(seed=SEEDS, constant=st.booleans())
def test_with_many_rows_it_is_plain_least_squares(seed: int, constant: bool) -> None:
    features, missing = draw(seed, 5000)
    found = correction(*halves(features, missing, held=1000), constant=constant)
    assert found is not None
    change, offset = found
    expected = literal.corrected(features, missing, constant=constant)

    def error(weight: Array, shift: Array) -> float:
        return float(np.square(features @ weight.T + shift - missing).mean())

    # a little ridge is left, which costs next to nothing
    assert error(change.numpy(), offset.numpy()) <= 1.01 * error(*expected) + 1e-4
    assert change.numpy() == pytest.approx(expected[0], abs=0.05)
    assert offset.numpy() == pytest.approx(expected[1], abs=0.1)
    if not constant:
        assert not offset.any()


def test_what_is_held_back_is_learned_from_in_the_end() -> None:
    features, missing = draw(0, 60)
    with mock.patch.object(refit, "RIDGES", (1e-10,)):
        found = correction(*halves(features, missing, held=30), constant=True)
    assert found is not None
    for ours, expected in zip(found, literal.corrected(features, missing, constant=True), strict=True):
        assert ours.numpy() == pytest.approx(expected, abs=1e-6)


@settings(max_examples=20)
@given(seed=SEEDS, pieces=st.integers(1, 5))
def test_sums_tell_the_error_of_any_change(seed: int, pieces: int) -> None:
    features, missing = draw(seed, 40)
    generator = np.random.default_rng(seed)
    change, constant = generator.normal(size=(3, 6)), generator.normal(size=3)
    expected = np.square(features @ change.T + constant - missing).sum(1).mean()
    whole = sums_of(features, missing, pieces=pieces)
    parts = sums_of(features[:13], missing[:13]).joined(sums_of(features[13:], missing[13:]))
    for sums in (whole, parts):
        assert sums.count == 40
        found = sums.error(torch.from_numpy(change), torch.from_numpy(constant))
        assert found == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("constant", [True, False])
def test_noise_in_few_rows_teaches_nothing(constant: bool) -> None:
    taught = 0
    for seed in range(40):
        generator = np.random.default_rng(seed)
        features, missing = generator.normal(size=(24, 16)), generator.normal(size=(24, 400))
        found = correction(*halves(features, missing, held=8), constant=constant)
        taught += found is not None
    assert taught == 0


@pytest.mark.parametrize("rows", [12, 20, 60])
def test_what_is_learned_from_few_rows_helps_on_others(rows: int) -> None:
    for seed in range(40):
        features, missing = draw(seed, 2000 + rows, noise=1.0)
        found = correction(*halves(features[:rows], missing[:rows], held=rows // 4), constant=True)
        change, offset = (part.numpy() for part in found) if found else (np.zeros((3, 6)), np.zeros(3))
        left = features[rows:] @ change.T + offset - missing[rows:]
        assert float(np.square(left).mean()) <= float(np.square(missing[rows:]).mean())


def test_without_rows_to_learn_from_or_to_hold_back_there_is_none() -> None:
    features, missing = draw(0, 30)
    empty = sums_of(features[:0], missing[:0])
    assert correction(empty, sums_of(features, missing), constant=True) is None
    assert correction(sums_of(features, missing), empty, constant=True) is None


def test_nothing_missing_needs_nothing() -> None:
    features, _ = draw(0, 400)
    assert correction(*halves(features, np.zeros((400, 3)), held=80), constant=True) is None


@pytest.mark.parametrize("constant", [True, False])
def test_dead_features_are_given_nothing_to_say(constant: bool) -> None:
    features, missing = draw(1, 2000)
    features[:, [1, 4]] = 0.0
    found = correction(*halves(features, missing, held=400), constant=constant)
    assert found is not None
    change, offset = found
    assert bool(change.isfinite().all() and offset.isfinite().all())
    assert not change[:, [1, 4]].any()


@pytest.mark.parametrize("level", [0.3, 30.0, 3000.0])
@pytest.mark.parametrize("seed", range(5))
def test_constant_features_break_nothing_in_float32(seed: int, level: float) -> None:
    generator = np.random.default_rng(seed)
    features, missing = draw(seed, 3000)
    constants = np.tile(generator.uniform(0.5, 1, size=12) * level, (3000, 1))
    whole = np.hstack([features, constants]).astype(np.float32)
    found = correction(*halves(whole, missing.astype(np.float32), held=600), constant=True)
    assert found is not None
    change, offset = (part.float().numpy() for part in found)
    left = whole @ change.T + offset - missing
    best, shift = literal.corrected(features, missing, constant=True)
    assert float(np.square(left).mean()) <= 1.1 * float(np.square(features @ best.T + shift - missing).mean())


@pytest.mark.parametrize("level", [30, 300])
def test_features_far_from_zero_are_learned_from_in_float32(level: float) -> None:
    features, missing = draw(2, 3000)
    far = (features + level).astype(np.float32)
    found = correction(*halves(far, missing.astype(np.float32), held=600), constant=True)
    assert found is not None
    change, offset = (part.numpy() for part in found)
    left = far.astype(np.float64) @ change.T + offset - missing
    # what is noise is 0.01
    assert float(np.square(left).mean()) < 0.02


def test_more_features_than_rows_are_no_obstacle() -> None:
    generator = np.random.default_rng(0)
    source = generator.normal(size=(1040, 3))
    features = source @ generator.normal(size=(3, 200)) + 0.1 * generator.normal(size=(1040, 200))
    missing = source @ generator.normal(size=(3, 5))
    found = correction(*halves(features[:40], missing[:40], held=8), constant=True)
    assert found is not None
    left = features[40:] @ found[0].numpy().T + found[1].numpy() - missing[40:]
    assert float(np.square(left).mean()) < 0.1 * float(np.square(missing[40:]).mean())


@settings(max_examples=40)
@given(seed=SEEDS, wobble=st.sampled_from([0.0, 1e-9, 1e-8, 1e-7, 1e-6, 1e-5]))
def test_features_that_hardly_move_are_solved_for_or_left_alone(seed: int, wobble: float) -> None:
    generator = np.random.default_rng(seed)
    level = generator.normal(size=40)
    features = (level + wobble * generator.normal(size=(60, 40))).astype(np.float32)
    missing = 3.0 + generator.normal(size=(60, 3)).astype(np.float32)
    found = correction(*halves(features, missing, held=12), constant=True)
    assert found is not None
    change, offset = (tensor.numpy() for tensor in found)
    fitted = features.astype(np.float64) @ change.T + offset
    assert np.isfinite(fitted).all()
    assert np.square(fitted - missing).mean() <= np.square(missing).mean()
