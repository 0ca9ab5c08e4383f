from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from emoprune.core.certificate import certify, relative_error
from emoprune.core.compensation import MERGES, least_squares, solve, summed
from emoprune.records import LayerView, Removal
from tests import reference
from tests.core.layers import Array, sigmoid_layer, view_of


def layer(seed: int, *, outputs: int = 3, patterns: int = 60, units: int = 12) -> tuple[Array, Array, Array]:
    generator = np.random.default_rng(seed)
    activations = sigmoid_layer(seed, patterns=patterns, units=units)
    return activations, generator.normal(size=(outputs, units)), generator.normal(size=outputs)


def gone(units: int, *removed: int) -> Removal:
    return Removal(layer="hidden", units=units, insignificant=removed)


def read(
    view: LayerView, readers: dict[str, tuple[Tensor, Tensor | None]], removal: Removal, h: Array
) -> Array:
    weight, bias = readers["output"]
    kept = h[:, list(removal.kept)]
    return np.asarray(kept @ weight.numpy().T + (0 if bias is None else bias.numpy()))


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 10_000))
def test_the_published_merge_is_the_literal_one(seed: int) -> None:
    h, w, b = layer(seed)
    removed, merges = reference.published_rule(h, "half", 40.0)
    similar = tuple(merges)
    removal = Removal(
        layer="hidden",
        units=12,
        similar=similar,
        complementary=tuple(sorted(removed - set(similar))),
        merges=merges,
    )
    weight, bias = summed(view_of(h, w, b), removal)["output"]
    expected_weight, expected_bias = reference.summed(w, b, removed, merges)
    assert bias is not None
    assert np.allclose(weight.numpy(), expected_weight)
    assert np.allclose(bias.numpy(), expected_bias)


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 10_000), count=st.integers(1, 8))
def test_with_many_patterns_least_squares_is_numpys(seed: int, count: int) -> None:
    h, w, b = layer(seed, patterns=4000)
    removed = np.random.default_rng(seed).permutation(12)[:count]
    removal = gone(12, *(int(unit) for unit in removed))
    weight, bias = reference.least_squares(h, w, b, set(removal.removed))
    best = reference.relative_error(h, w, b, weight, bias, set(removal.removed))
    view = view_of(h, w, b)
    ours = relative_error(view, removal, least_squares(view, removal))
    assert ours is not None
    # the ridge may cost a little on the patterns themselves, never a lot
    assert best - 1e-6 <= ours <= best * 1.02 + 1e-4


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 10_000), count=st.integers(1, 8))
def test_least_squares_is_never_worse_than_the_published_merge(seed: int, count: int) -> None:
    h, w, b = layer(seed, patterns=400)
    view = view_of(h, w, b)
    order = [int(unit) for unit in np.random.default_rng(seed).permutation(12)]
    removed, kept = order[:count], order[count:]
    merges = dict.fromkeys(removed, kept[0])
    removal = Removal(layer="hidden", units=12, similar=tuple(removed), merges=merges)
    certificate = certify(view, removal, solve(view, removal))
    assert certificate.error_lstsq is not None
    assert certificate.error_sum is not None
    assert certificate.error_lstsq <= certificate.error_sum * 1.02 + 1e-9


@pytest.mark.parametrize("merge", sorted(MERGES))
@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 10_000))
def test_the_certificate_tells_the_error_that_the_activations_show(merge: str, seed: int) -> None:
    h, w, b = layer(seed)
    removal = Removal(layer="hidden", units=12, similar=(4, 9), complementary=(1,), merges={4: 0, 9: 2})
    view = view_of(h, w, b)
    weight, bias = MERGES[merge](view, removal)["output"]  # type: ignore[index]  # names come as strings
    assert bias is not None
    expected = reference.relative_error(h, w, b, weight.numpy(), bias.numpy(), {1, 4, 9})
    certificate = certify(view, removal, solve(view, removal))
    assert getattr(certificate, f"error_{merge}") == pytest.approx(expected, rel=1e-6)
    assert (certificate.before, certificate.after) == (12, 9)


def test_a_twin_an_opposite_and_a_constant_cost_nothing() -> None:
    h, w, b = layer(0)
    h[:, 3] = h[:, 0]
    h[:, 5] = 1 - h[:, 1]
    h[:, 7] = 0.8
    removal = gone(12, 3, 5, 7)
    view = view_of(h, w, b)
    new = read(view, dict(least_squares(view, removal)), removal, h)
    assert np.allclose(new, h @ w.T + b, atol=1e-5)


def test_nothing_removed_changes_nothing() -> None:
    h, w, b = layer(1)
    removal = gone(12)
    for merge in MERGES.values():
        weight, bias = merge(view_of(h, w, b), removal)["output"]
        assert bias is not None
        assert np.array_equal(weight.numpy(), w)
        assert np.array_equal(bias.numpy(), b)


def test_a_reader_without_bias_gets_none_and_still_loses_least() -> None:
    h, w, _ = layer(2, patterns=2000)
    view = view_of(h, w)
    removal = gone(12, 3, 8)
    weight, bias = least_squares(view, removal)["output"]
    assert bias is None
    kept = h[:, list(removal.kept)]
    best, *_ = np.linalg.lstsq(kept, h @ w.T, rcond=None)
    ours = np.square(kept @ weight.numpy().T - h @ w.T).sum()
    assert ours <= np.square(kept @ best - h @ w.T).sum() * 1.02 + 1e-9


def test_dead_survivors_do_no_harm() -> None:
    h, w, b = layer(3)
    h[:, [0, 6]] = 0.0
    view = view_of(h, w, b)
    for removal in (gone(12, 4), gone(12, 0), gone(12, *range(1, 6), *range(7, 12))):
        weight, bias = least_squares(view, removal)["output"]
        assert bias is not None
        assert torch.isfinite(weight).all()
        assert torch.isfinite(bias).all()


def test_with_fewer_patterns_than_units_the_ridge_does_not_fit_noise() -> None:
    generator = np.random.default_rng(0)
    mixing = generator.normal(size=(20, 256))

    def draw(patterns: int) -> Array:
        sources = generator.normal(size=(patterns, 20))
        return np.asarray(np.tanh(sources @ mixing / 4) + 0.5 * generator.normal(size=(patterns, 256)))

    seen, unseen = draw(150), draw(2000)
    w, b = generator.normal(size=(7, 256)), np.zeros(7)
    removal = gone(256, *range(0, 256, 2))
    kept = list(removal.kept)

    def error_on_unseen(weight: Array, bias: Array) -> float:
        return reference.relative_error(unseen, w, b, weight, bias, set(removal.removed))

    view = view_of(seen, w, b, activation="tanh")
    weight, bias = least_squares(view, removal)["output"]
    assert bias is not None
    ours = error_on_unseen(weight.numpy(), bias.numpy())

    mean = seen.mean(0)
    centred = (seen - mean) / seen.std(0)
    target = (seen - mean)[:, list(removal.removed)] @ w[:, list(removal.removed)].T
    errors = []
    for ridge in np.logspace(-8, 2, 21):
        gram = centred[:, kept].T @ centred[:, kept] / len(seen) + ridge * np.eye(len(kept))
        solved = np.linalg.solve(gram, centred[:, kept].T @ target / len(seen)) / seen.std(0)[kept][:, None]
        shifted = mean[list(removal.removed)] @ w[:, list(removal.removed)].T - mean[kept] @ solved
        errors.append(error_on_unseen(w[:, kept] + solved.T, b + shifted))
    assert ours <= 1.1 * min(errors)
    assert ours < 0.8 * errors[0]
