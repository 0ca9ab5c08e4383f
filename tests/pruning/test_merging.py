from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from unittest import mock

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from emoprune.pruning import merging
from emoprune.pruning.context import PruningContext
from emoprune.pruning.merging import LEAST, MERGES, POWER, least_squares, recalibrated_norms, summed
from emoprune.pruning.types import Plan, Removal
from tests.support import reference
from tests.support import reference_pruning as literal
from tests.support.layers import (
    Array,
    applied,
    context_of_net,
    context_with,
    relu_maps,
    sigmoid_layer,
    without,
)
from tests.support.wiring import Wired, conv, head

SEEDS = st.integers(0, 10_000)


def seen_by(h: Array, *consumers: literal.Consumer) -> literal.Seen:
    maps = h[:, :, None] if h.ndim == 2 else h
    return literal.Seen(maps, tuple(range(maps.shape[1])), consumers)


def layer(seed: int, *, outputs: int = 3, patterns: int = 60, units: int = 12) -> tuple[Array, Array, Array]:
    generator = np.random.default_rng(seed)
    activations = sigmoid_layer(seed, patterns=patterns, units=units)
    return activations, generator.normal(size=(outputs, units)), generator.normal(size=outputs)


def dense_context(h: Array, w: Array, b: Array | None) -> PruningContext:
    context = context_with([seen_by(h, literal.dense(w, constant=b is not None))])
    if b is not None:
        context.tensors["0.0.bias"].copy_(torch.from_numpy(b))
    return context


def read(h: Array, context: PruningContext, merged: Mapping[str, Tensor], name: str = "0.0") -> Array:
    """What the dense consumer computes of all channels with its new tensors."""
    tensors = {**context.tensors, **merged}
    bias = tensors.get(f"{name}.bias")
    constant = 0.0 if bias is None else bias.numpy()
    return np.asarray(h @ tensors[f"{name}.weight"].numpy()[:, :, 0].T + constant)


def as_float(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.float() for name, tensor in tensors.items()}


def unridged() -> AbstractContextManager[object]:
    """Meanwhile nothing is left to choose: plain least squares, but for rounding."""
    return mock.patch.object(merging, "RIDGES", torch.tensor([1e-12], dtype=torch.float64))


def chosen(seed: int, units: int, count: int) -> list[int]:
    return [int(unit) for unit in np.random.default_rng(seed).permutation(units)[:count]]


@settings(max_examples=40)
@given(seed=SEEDS)
def test_summed_is_the_literal_merge(seed: int) -> None:
    h, w, b = layer(seed)
    removed, merges = reference.published_rule(h, "half", 40.0)
    removal = Removal(
        layer="hidden",
        units=12,
        similar=tuple(merges),
        complementary=tuple(sorted(removed - set(merges))),
        merges=merges,
    )
    merged = summed(dense_context(h, w, b), Plan((removal,)))
    expected, _ = reference.summed(w, b, removed, merges)
    if not removed:
        assert merged == {}
        return
    found = merged["0.0.weight"].numpy()[:, :, 0]
    assert np.allclose(found[:, list(removal.kept)], expected)
    assert not found[:, list(removal.removed)].any()
    assert set(merged) == {"0.0.weight"}


def test_summed_adds_every_tap_and_every_channel_of_a_unit() -> None:
    h = relu_maps(0, channels=6)
    weight = np.random.default_rng(0).normal(size=(2, 6, 3))
    seen = literal.Seen(h, (0, 1, 2, 0, 1, 2), (literal.Consumer(weight, np.ones(3)),))
    removal = Removal("hidden", 3, similar=(2,), merges={2: 0})
    found = summed(context_with([seen]), Plan((removal,)))["0.0.weight"].numpy()
    expected = weight.copy()
    expected[:, 0] += weight[:, 2]
    expected[:, 3] += weight[:, 5]
    expected[:, [2, 5]] = 0
    assert np.allclose(found, expected)


@settings(max_examples=30)
@given(seed=SEEDS, count=st.integers(1, 8))
def test_least_squares_is_numpys_with_many_patterns(seed: int, count: int) -> None:
    h, w, b = layer(seed, patterns=4000)
    removed = set(chosen(seed, 12, count))
    weight, bias = reference.least_squares(h, w, b, removed)
    best = reference.relative_error(h, w, b, weight, bias, removed)
    context = dense_context(h, w, b)
    merged = least_squares(context, without(context, removed))
    kept = reference.kept_units(12, removed)
    new_weight, new_bias = merged["0.0.weight"].numpy()[:, kept, 0], merged["0.0.bias"].numpy()
    ours = reference.relative_error(h, w, b, new_weight, new_bias, removed)
    # the ridge may cost a little on the patterns themselves, never a lot
    assert best - 1e-6 <= ours <= best * 1.02 + 1e-4


@settings(max_examples=15)
@given(
    seed=SEEDS,
    taps=st.sampled_from([1, 4]),
    where=st.sampled_from(["bias", "norm", "none"]),
    count=st.integers(1, 6),
)
def test_least_squares_has_the_literal_taps_and_constant(
    seed: int, taps: int, where: str, count: int
) -> None:
    h = relu_maps(seed, patterns=3000, channels=8)
    weight = np.random.default_rng(seed).normal(size=(3, 8, taps))
    deviation = np.full(3, 2.0) if where == "norm" else None
    consumer = literal.Consumer(weight, np.ones(taps), where != "none", deviation)
    removed = sorted(chosen(seed, 8, count))
    context = context_with([seen_by(h, consumer)])
    with unridged():
        merged = least_squares(context, without(context, removed))
    expected, gained = literal.merged(h, consumer, removed)
    assert merged["0.0.weight"].numpy() == pytest.approx(expected, abs=1e-6)
    if where == "none":
        assert set(merged) == {"0.0.weight"}
    elif where == "norm":
        assert -merged["0.0.norm.running_mean"].numpy() == pytest.approx(gained, abs=1e-6)
    else:
        assert merged["0.0.bias"].numpy() == pytest.approx(gained, abs=1e-6)


@pytest.mark.parametrize("share", [0.5, 0.9])
def test_least_squares_moves_less_of_a_constant_at_padding(share: float) -> None:
    h = relu_maps(1, patterns=4000, channels=6)
    consumer = literal.Consumer(np.random.default_rng(1).normal(size=(3, 6, 2)), np.full(2, share))
    context = context_with([seen_by(h, consumer)])
    with unridged():
        merged = least_squares(context, without(context, [1, 4]))
    expected, gained = literal.merged(h, consumer, [1, 4], inside=share)
    assert merged["0.0.weight"].numpy() == pytest.approx(expected, abs=1e-6)
    assert merged["0.0.bias"].numpy() == pytest.approx(gained, abs=1e-6)


@settings(max_examples=15)
@given(seed=SEEDS, taps=st.sampled_from([1, 9]))
def test_least_squares_at_padding_is_nearly_the_best_of_any_fraction(seed: int, taps: int) -> None:
    h = relu_maps(seed, patterns=1500, channels=6)
    generator = np.random.default_rng(seed)
    consumer = literal.Consumer(generator.normal(size=(3, 6, taps)), generator.uniform(0.6, 1, size=taps))
    removed = chosen(seed, 6, 2)
    context = context_with([seen_by(h, consumer)])
    merged = least_squares(context, without(context, removed))
    ours = literal.relative_error(h, consumer, merged["0.0.weight"].numpy(), merged["0.0.bias"].numpy())
    by_share = [
        literal.merged(h, consumer, removed, inside=share) for share in (0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
    ]
    assert ours <= 1.02 * min(literal.relative_error(h, consumer, *solved) for solved in by_share)


def test_least_squares_solves_each_consumer_for_what_it_can_absorb() -> None:
    h = relu_maps(2, patterns=3000, channels=6)
    generator = np.random.default_rng(2)
    consumers = [
        literal.Consumer(generator.normal(size=(2, 6, 1)), np.ones(1), constant) for constant in (True, False)
    ]
    context = context_with([seen_by(h, *consumers)])
    with unridged():
        merged = least_squares(context, without(context, [0, 3]))
    assert set(merged) == {"0.0.weight", "0.0.bias", "0.1.weight"}
    for index, consumer in enumerate(consumers):
        expected, _ = literal.merged(h, consumer, [0, 3])
        assert merged[f"0.{index}.weight"].numpy() == pytest.approx(expected, abs=1e-6)


def test_least_squares_replaces_a_twin_an_opposite_and_a_constant() -> None:
    h, w, b = layer(0)
    h[:, 3] = h[:, 0]
    h[:, 5] = 1 - h[:, 1]
    h[:, 7] = 0.8
    context = dense_context(h, w, b)
    merged = least_squares(context, without(context, [3, 5, 7]))
    assert np.allclose(read(h, context, merged), h @ w.T + b, atol=1e-5)
    assert not merged["0.0.weight"][:, [3, 5, 7]].any()


def test_merges_change_nothing_where_nothing_is_removed() -> None:
    h, w, b = layer(1)
    context = dense_context(h, w, b)
    for merge in MERGES.values():
        assert merge(context, without(context, [])) == {}


def test_merges_keep_dtype_and_shape() -> None:
    h, w, b = layer(1)
    context = dense_context(h, w, b)
    halved = {name: tensor.float() for name, tensor in context.tensors.items()}
    context = PruningContext(context.graph, halved, context.statistics, context.moments, context.layers)
    for merge in MERGES.values():
        for name, tensor in merge(context, without(context, [2, 3])).items():
            assert (tensor.dtype, tensor.shape) == (torch.float32, halved[name].shape)


@pytest.mark.parametrize("patterns", [5, 200])
def test_least_squares_gives_dead_survivors_no_weight(patterns: int) -> None:
    h, w, b = layer(3, patterns=patterns)
    h[:, [0, 6]] = 0.0
    context = dense_context(h, w, b)
    for removed in ([4], [0], [*range(1, 6), *range(7, 12)], list(range(11)), list(range(1, 12))):
        merged = least_squares(context, without(context, removed))
        assert all(bool(tensor.isfinite().all()) for tensor in merged.values())
        error = np.abs(read(h, context, merged) - (h @ w.T + b)).max()
        assert error <= np.abs((h - h.mean(0)) @ np.abs(w.T)).max() * 12
        # what says nothing is given nothing to say
        assert merged["0.0.weight"][:, [0, 6], 0].numpy() == pytest.approx(
            np.where(np.isin([0, 6], removed), 0.0, w[:, [0, 6]]), abs=1e-9
        )


@pytest.mark.parametrize("seed", [1, 17, 21, 22, 26, 44, 56])
@pytest.mark.parametrize("highest", [1, 30])
def test_least_squares_leaves_constant_survivors_as_they_are(seed: int, highest: float) -> None:
    still = [0, 2, 4, 6, 8]
    h, w, b = layer(seed, patterns=300)
    h[:, still] = np.random.default_rng(seed).uniform(0.1, highest, size=5)
    context = dense_context(h, w, b)
    merged = least_squares(context, without(context, [1, 3, 11]))
    assert merged["0.0.weight"].numpy()[:, still, 0] == pytest.approx(w[:, still], abs=1e-3)
    weight, bias = reference.least_squares(h, w, b, {1, 3, 11, *still})
    best = np.square(h[:, [5, 7, 9, 10]] @ weight.T + bias - (h @ w.T + b)).mean()
    # a network computes in float32
    ours = np.square(read(h.astype(np.float32), context, as_float(merged)) - (h @ w.T + b)).mean()
    assert ours <= 1.05 * best + 1e-6


def test_least_squares_with_one_survivor_is_the_literal_one() -> None:
    h, w, b = layer(4, patterns=3000)
    context = dense_context(h, w, b)
    with unridged():
        merged = least_squares(context, without(context, [unit for unit in range(12) if unit != 5]))
    expected = literal.merged(h[:, :, None], literal.dense(w), [unit for unit in range(12) if unit != 5])[0]
    assert merged["0.0.weight"].numpy() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("patterns", [40, 150])
def test_least_squares_does_not_fit_noise_of_few_patterns(patterns: int) -> None:
    generator = np.random.default_rng(0)
    mixing = generator.normal(size=(20, 256))

    def draw(count: int) -> Array:
        sources = generator.normal(size=(count, 20))
        return np.asarray(np.tanh(sources @ mixing / 4) + 0.5 * generator.normal(size=(count, 256)))

    seen, unseen = draw(patterns), draw(2000)
    w, b = generator.normal(size=(7, 256)), np.zeros(7)
    removed = list(range(0, 256, 2))
    kept = list(range(1, 256, 2))

    def error_on_unseen(weight: Array, bias: Array) -> float:
        return reference.relative_error(unseen, w, b, weight, bias, set(removed))

    context = dense_context(seen, w, b)
    merged = least_squares(context, without(context, removed))
    ours = error_on_unseen(merged["0.0.weight"].numpy()[:, kept, 0], merged["0.0.bias"].numpy())
    mean, deviation = seen.mean(0), seen.std(0)
    target = (seen - mean)[:, removed] @ w[:, removed].T
    errors = []
    for ridge in np.logspace(-8, 2, 21):
        # a ridge is a few more rows, each with one channel of that length and nothing to say
        rows = np.vstack([((seen - mean) / deviation)[:, kept], np.sqrt(ridge * patterns) * np.eye(128)])
        wanted = np.vstack([target, np.zeros((128, 7))])
        solved = np.linalg.lstsq(rows, wanted, rcond=None)[0] / deviation[kept][:, None]
        shift = mean[removed] @ w[:, removed].T - mean[kept] @ solved
        errors.append(error_on_unseen(w[:, kept] + solved.T, b + shift))
    plain_weight, plain_bias = reference.least_squares(seen, w, b, set(removed))
    assert ours <= 1.1 * min(errors)
    assert ours < 0.8 * error_on_unseen(plain_weight, plain_bias)


def ratios(context: PruningContext, removed: list[int]) -> Array:
    """By how much each running variance is multiplied."""
    plan = without(context, removed)
    name = "0.0.norm.running_var"
    found = recalibrated_norms(context, plan, least_squares(context, plan))
    return np.asarray((found[name] / context.tensors[name]).numpy())


@settings(max_examples=20)
@given(seed=SEEDS, taps=st.sampled_from([1, 4]), count=st.integers(1, 6))
def test_recalibrated_norms_follows_the_variance_that_survivors_make(
    seed: int, taps: int, count: int
) -> None:
    generator = np.random.default_rng(seed)
    h = relu_maps(seed, positions=2)
    inside = np.ones(1) if taps == 1 else generator.uniform(0.5, 1, size=taps)
    consumer = literal.Consumer(
        generator.normal(size=(5, 8, taps)), inside, deviation=generator.uniform(0.5, 2, size=5)
    )
    context = context_with([literal.Seen(h, tuple(range(8)), (consumer,))])
    removed = [int(unit) for unit in generator.permutation(8)[:count]]
    new = least_squares(context, without(context, removed))["0.0.weight"].numpy()
    shares = literal.variances(h, new, inside) / literal.variances(h, consumer.weight, inside)
    # never more than there was: by as much as a share is over 1 least squares has found noise
    expected = np.clip(shares, LEAST, 1.0) ** POWER
    assert ratios(context, removed) == pytest.approx(expected, rel=1e-6)


def net_of_one_by_one(*, bias: bool = False) -> nn.Module:
    def wire(net: Wired, x: Tensor) -> Tensor:
        found: Tensor = net.head(torch.relu(net.norm(net.read(torch.relu(net.first(x))))))
        return found

    torch.manual_seed(0)
    return Wired(
        wire, first=conv(3, 12), read=conv(12, 5, 1, bias=bias), norm=nn.BatchNorm2d(5), head=head(5)
    ).eval()


def before_the_norm(net: nn.Module, batch: Tensor) -> Tensor:
    kept: list[Tensor] = []
    hook = net.get_submodule("norm").register_forward_pre_hook(lambda _, inputs: kept.append(inputs[0]))
    with torch.no_grad():
        net(batch)
    hook.remove()
    return kept[0]


@pytest.mark.parametrize("bias", [False, True])
def test_a_convolution_that_runs_has_lost_that_share_of_its_variance(bias: bool) -> None:
    net = net_of_one_by_one(bias=bias)
    batch = torch.randn(50, 3, 6, 6, generator=torch.Generator().manual_seed(0))
    context = context_of_net(net, [batch])
    plan = without(context, [1, 2, 5, 7, 8])
    merged = least_squares(context, plan)
    small = applied(net, context, plan, merged)
    old, new = (before_the_norm(each, batch).var((0, 2, 3), correction=0) for each in (net, small))
    found = recalibrated_norms(context, plan, merged)
    assert set(found) == {"norm.running_var"}
    assert found["norm.running_var"].dtype == torch.float32
    expected = np.clip((new / old).numpy(), LEAST, 1.0) ** POWER
    assert found["norm.running_var"].numpy() == pytest.approx(expected, rel=1e-4)
    assert float((new / old).min()) < 0.95


def test_recalibrated_norms_is_empty_where_nothing_was_removed() -> None:
    context = context_of_net(net_of_one_by_one(), [torch.randn(8, 3, 6, 6)])
    assert recalibrated_norms(context, without(context, []), {}) == {}


def test_recalibrated_norms_leaves_norms_of_consumers_that_lost_nothing() -> None:
    generator = np.random.default_rng(0)
    first, second = relu_maps(0), relu_maps(1)
    consumer = literal.Consumer(generator.normal(size=(4, 8, 1)), np.ones(1), deviation=np.ones(4))
    context = context_with(
        [
            literal.Seen(first, tuple(range(8)), (consumer,)),
            literal.Seen(second, tuple(range(8, 16)), (consumer,)),
        ],
        {"a": 8, "b": 8},
    )
    plan = without(context, [9, 10])
    assert set(recalibrated_norms(context, plan, least_squares(context, plan))) == {"1.0.norm.running_var"}


def test_recalibrated_norms_is_empty_for_a_consumer_without_a_norm() -> None:
    context = context_with([literal.Seen(relu_maps(0), tuple(range(8)), (literal.dense(np.ones((2, 8))),))])
    plan = without(context, [1])
    assert recalibrated_norms(context, plan, least_squares(context, plan)) == {}


def test_recalibrated_norms_keeps_the_variance_where_a_copy_is_removed() -> None:
    h = relu_maps(0, patterns=2000)
    h[:, 4] = h[:, 1]
    consumer = literal.Consumer(
        np.random.default_rng(0).normal(size=(4, 8, 1)), np.ones(1), deviation=np.ones(4)
    )
    context = context_with([literal.Seen(h, tuple(range(8)), (consumer,))])
    assert ratios(context, [4]) == pytest.approx(1.0, abs=1e-6)


def test_recalibrated_norms_never_raises_a_variance() -> None:
    h = relu_maps(3, patterns=2000)
    weight = np.abs(np.random.default_rng(3).normal(size=(4, 8, 1)))
    consumer = literal.Consumer(weight, np.ones(1), deviation=np.ones(4))
    context = context_with([literal.Seen(h, tuple(range(8)), (consumer,))])
    # two that vary little are added to the one that varies most
    order = np.argsort(h.var((0, 2)))
    small, large = [int(unit) for unit in order[:2]], int(order[-1])
    plan = Plan((Removal("hidden", 8, similar=tuple(small), merges=dict.fromkeys(small, large)),))
    merged = MERGES["sum"](context, plan)
    made = literal.variances(h, merged["0.0.weight"].numpy(), np.ones(1))
    assert float((made / literal.variances(h, weight, np.ones(1))).min()) > 1.01
    found = recalibrated_norms(context, plan, merged)["0.0.norm.running_var"]
    assert torch.equal(found, context.tensors["0.0.norm.running_var"])


def test_recalibrated_norms_stays_finite_for_outputs_that_do_not_vary() -> None:
    h = relu_maps(0, patterns=2000)
    h[:, 3] = 0.0
    h[:, 4] = np.random.default_rng(5).normal(size=(2000, 1))
    weight = np.zeros((3, 8, 1))
    weight[1, 3], weight[2, 4] = 1.0, 1.0
    consumer = literal.Consumer(weight, np.ones(1), deviation=np.ones(3))
    context = context_with([literal.Seen(h, tuple(range(8)), (consumer,))])
    found = ratios(context, [3, 4])
    # the third output was what unit 4 alone said
    assert found[:2].tolist() == [1.0, 1.0]
    assert found[2] == pytest.approx(LEAST**POWER)
