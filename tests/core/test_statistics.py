from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from emoprune.core import statistics
from emoprune.core.graph import dense_hidden_layers
from emoprune.errors import TrainingFault
from tests.core.layers import sigmoid_layer, statistics_of


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 10_000), cut=st.integers(1, 59))
def test_batches_add_up_to_the_whole(seed: int, cut: int) -> None:
    activations = torch.from_numpy(sigmoid_layer(seed))
    accumulator = statistics.Accumulator()
    accumulator.add(activations[:cut])
    accumulator.add(activations[cut:])
    parts, whole = accumulator.result("layer"), statistics_of(activations.numpy())
    assert parts.count == whole.count == 60
    for name in ("gram", "total", "low", "high"):
        assert torch.allclose(getattr(parts, name), getattr(whole, name), rtol=1e-12)


def test_mean_and_covariance_are_numpys() -> None:
    activations = sigmoid_layer(1)
    found = statistics_of(activations)
    assert np.allclose(statistics.mean(found).numpy(), activations.mean(0))
    assert np.allclose(statistics.covariance(found).numpy(), np.cov(activations.T, bias=True), atol=1e-12)


def test_a_small_variance_far_from_zero_survives() -> None:
    activations = 1e4 + np.random.default_rng(0).normal(size=(1000, 2))
    found = statistics.covariance(statistics_of(activations)).diagonal().numpy()
    assert np.allclose(found, activations.var(0), rtol=1e-4)


def test_survivors_keep_their_own_statistics() -> None:
    activations = sigmoid_layer(2)
    kept = [0, 3, 7]
    found, expected = (
        statistics.survivors(statistics_of(activations), kept),
        statistics_of(activations[:, kept]),
    )
    for name in ("gram", "total", "low", "high"):
        assert torch.allclose(getattr(found, name), getattr(expected, name))


def _net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(4, 6), nn.Tanh(), nn.Dropout(0.5), nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 2)
    )


def test_what_is_collected_is_what_the_next_layer_reads() -> None:
    net = _net().train()
    inputs = torch.randn(50, 4)
    found = statistics.collect(net, dense_hidden_layers(net), inputs.split(16))
    assert not net.training
    with torch.no_grad():
        first = net[:3](inputs)
        second = net[:5](inputs)
    for name, activations in (("0", first), ("3", second)):
        expected = statistics_of(activations.double().numpy())
        assert found[name].count == 50
        assert torch.allclose(found[name].gram, expected.gram)
        assert torch.equal(found[name].low, expected.low)


def test_a_part_of_a_network_is_known_by_its_own_names() -> None:
    net = _net()
    whole = nn.ModuleDict({"head": net})
    layers = dense_hidden_layers(net)
    renamed = [
        type(layer)(f"head.{layer.name}", layer.activation, tuple(f"head.{name}" for name in layer.consumers))
        for layer in layers
    ]
    found = statistics.collect(whole["head"], renamed, [torch.randn(8, 4)], prefix="head.")
    assert set(found) == {"head.0", "head.3"}


def test_no_hook_is_left_behind_even_after_a_failure() -> None:
    net = _net()
    with pytest.raises(RuntimeError):
        statistics.collect(net, dense_hidden_layers(net), [torch.randn(8, 3)])
    assert not any(module._forward_pre_hooks for module in net.modules())


def test_activations_that_are_not_finite_are_refused() -> None:
    accumulator = statistics.Accumulator()
    accumulator.add(torch.tensor([[0.5, float("nan")]]))
    with pytest.raises(TrainingFault, match="classifier"):
        accumulator.result("classifier")
