"""Sums over patterns that come in parts are those over all of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from emoprune.choices import Center
from emoprune.errors import TrainingFault
from emoprune.networks import build
from emoprune.networks.graph import channel_graph
from emoprune.networks.graph.types import ChannelGraph, LayerInput
from emoprune.networks.statistics import activation_statistics
from emoprune.networks.types import Spec, UnitStatistics
from emoprune.pruning import angles
from tests.support import reference
from tests.support.layers import Array, relu_maps, sigmoid_layer, statistics_of
from tests.support.reference_pruning import samples
from tests.support.wiring import Wired, conv, head, layer_input

CENTERS: tuple[Center, ...] = ("half", "range", "mean", "none")
FIELDS = ("mean", "covariance", "low", "high")


@settings(max_examples=30)
@given(seed=st.integers(0, 10_000), cut=st.integers(1, 199), scale=st.sampled_from([1e-3, 1.0, 1e3]))
def test_pooled_halves_are_the_whole(seed: int, cut: int, scale: float) -> None:
    rows = samples(relu_maps(seed) * scale + 100 * scale)
    first, second, whole = (
        activation_statistics.channel_moments(torch.from_numpy(part.T.copy()))
        for part in (rows[:cut], rows[cut:], rows)
    )
    pooled = activation_statistics.pooled(first, second)
    assert pooled.count == whole.count == 200
    assert np.allclose(pooled.mean.numpy(), rows.mean(0), rtol=1e-12)
    for found in (pooled, whole):
        assert np.allclose(
            found.covariance.numpy(), np.cov(rows.T, bias=True), rtol=1e-9, atol=1e-12 * scale**2
        )


def test_pooled_changes_neither_part() -> None:
    parts = [activation_statistics.channel_moments(torch.randn(4, 10, dtype=torch.float64)) for _ in range(2)]
    copies = [(part.mean.clone(), part.covariance.clone()) for part in parts]
    activation_statistics.pooled(parts[0], parts[1])
    for part, (mean, covariance) in zip(parts, copies, strict=True):
        assert torch.equal(part.mean, mean)
        assert torch.equal(part.covariance, covariance)


def test_mean_and_covariance_agree_with_numpy() -> None:
    activations = sigmoid_layer(1)
    found = statistics_of(activations)
    assert found.count == 60
    assert np.allclose(found.mean.numpy(), activations.mean(0))
    assert np.allclose(found.covariance.numpy(), np.cov(activations.T, bias=True), atol=1e-12)


@pytest.mark.parametrize("kind", ["sums", "moments"])
def test_covariance_keeps_a_small_variance_far_from_zero(kind: str) -> None:
    activations = 1e4 + np.random.default_rng(0).normal(size=(1000, 2))
    if kind == "sums":
        found = statistics_of(activations).covariance
    else:
        found = activation_statistics.channel_moments(torch.from_numpy(activations.T.copy())).covariance
    assert np.allclose(found.diagonal().numpy(), activations.var(0), rtol=1e-4)


def test_survivors_keep_their_statistics() -> None:
    activations = sigmoid_layer(2)
    kept = [0, 3, 7]
    found = activation_statistics.survivors(statistics_of(activations), kept)
    expected = statistics_of(activations[:, kept])
    for name in FIELDS:
        assert torch.allclose(getattr(found, name), getattr(expected, name))


def read_by(net: nn.Module, name: str, batches: list[Tensor]) -> Tensor:
    """What a layer reads, by a hook of our own."""
    kept: list[Tensor] = []
    hook = net.get_submodule(name).register_forward_pre_hook(lambda _, inputs: kept.append(inputs[0]))
    with torch.no_grad():
        for batch in batches:
            net(batch)
    hook.remove()
    return torch.cat(kept).double()


def channels_of(found: LayerInput, h: Tensor) -> Array:
    """The same as (patterns, channels, positions), entry by entry."""
    count = len(found.owner)
    if h.ndim == 4 and found.dim == 1:
        return np.asarray(h.numpy().reshape(len(h), count, -1))
    rows = h.numpy().reshape(-1, h.shape[-1])
    maps = np.empty((len(rows), count, found.spread))
    for channel in range(count):
        maps[:, channel] = rows[:, channel * found.spread : (channel + 1) * found.spread]
    return maps


def conv_net() -> nn.Module:
    """A convolution, a grouped one, a flattened map and a dense layer."""

    def wire(net: Wired, x: Tensor) -> Tensor:
        h = torch.relu(net.narrow(torch.relu(net.grouped(torch.relu(net.first(x))))))
        found: Tensor = net.last(torch.sigmoid(net.dense(torch.flatten(h, 1))))
        return found

    return Wired(
        wire,
        first=conv(3, 8),
        grouped=conv(8, 8, groups=4),
        narrow=conv(8, 4, 3, stride=2),
        dense=nn.Linear(36, 5),
        last=nn.Linear(5, 2),
    )


def token_net() -> nn.Module:
    """Dense layers on (batch, tokens, features)."""
    return nn.Sequential(
        nn.Conv2d(3, 6, 3),
        nn.ReLU(),
        _Tokens(),
        nn.Linear(6, 9),
        nn.GELU(),
        nn.Linear(9, 2),
    )


class _Tokens(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.permute(x, (0, 2, 3, 1))


def excited_net() -> nn.Module:
    """Squeeze and excitation: a map is multiplied by what dense layers make of its averages."""

    def wire(net: Wired, x: Tensor) -> Tensor:
        h = torch.relu(net.first(x))
        found: Tensor = net.head(h * torch.sigmoid(net.widen(torch.relu(net.squeeze(net.pool(h))))))
        return found

    return Wired(
        wire,
        first=conv(3, 8),
        pool=nn.AdaptiveAvgPool2d(1),
        squeeze=conv(8, 3, 1),
        widen=conv(3, 8, 1),
        head=head(8),
    )


@pytest.mark.parametrize("make", [conv_net, token_net, excited_net])
def test_collect_agrees_with_stored_activations(make: Callable[[], nn.Module]) -> None:
    torch.manual_seed(0)
    net = make()
    batches = [torch.randn(count, 3, 6, 6) for count in (7, 4, 1)]
    graph = channel_graph(net, (3, 6, 6))
    found = activation_statistics.collect(net.train(), graph, graph.layers, batches)
    assert not net.training
    assert set(found.statistics) == set(graph.spans)
    for each in graph.layer_inputs:
        maps = channels_of(each, read_by(net, each.name, batches))
        rows = samples(maps)
        shared = activation_statistics.shared_layer(graph, each)
        assert (shared is None) == (each.name in found.moments)
        moments = found.statistics[shared] if shared else found.moments[each.name]
        assert moments.count == len(rows)
        assert np.allclose(moments.mean.numpy(), rows.mean(0), atol=1e-6)
        assert np.allclose(moments.covariance.numpy(), np.cov(rows.T, bias=True), atol=1e-5)
    for layer, (start, stop) in graph.spans.items():
        source = layer_input(graph, graph.sources[layer])
        maps = channels_of(source, read_by(net, source.name, batches)).mean(2)
        owners = source.owner.tolist()
        # the channels of a unit are patterns of their own
        rows = np.concatenate(
            [
                maps[:, [[c for c, unit in enumerate(owners) if unit == u][k] for u in range(start, stop)]]
                for k in range(owners.count(start))
            ]
        )
        check_same(found.statistics[layer], statistics_of(rows))


def check_same(found: UnitStatistics, expected: UnitStatistics) -> None:
    assert found.count == expected.count
    for name in FIELDS:
        assert torch.allclose(getattr(found, name), getattr(expected, name), rtol=1e-5, atol=1e-5)


def test_collect_has_the_angles_of_stored_activations() -> None:
    torch.manual_seed(0)
    net = build.build(Spec("mlp", 3, (6,), (12, 10))).eval()
    with torch.no_grad():
        # two units 0.006 degrees apart and one their opposite
        weight, bias = (net.get_parameter(f"classifier.hidden1.{name}") for name in ("weight", "bias"))
        weight[1], bias[1] = weight[0] * 1.001, bias[0]
        weight[2], bias[2] = -weight[0], -bias[0]
    batches = list(torch.randn(600, 6).split(256))
    graph = channel_graph(net, (6,))
    found = activation_statistics.collect(net, graph, graph.layers, batches)
    for layer, consumer in (
        ("classifier.hidden1", "classifier.hidden2"),
        ("classifier.hidden2", "classifier.output"),
    ):
        h = read_by(net, consumer, batches).numpy()
        for center in CENTERS:
            expected = reference.angles_deg(h, center)
            ours = angles.angles_deg(found.statistics[layer], center=center).numpy()
            assert np.abs(ours - expected).max() < 1e-3
            if layer == "classifier.hidden1" and center == "mean":
                assert 0.003 < expected[0, 1] < 0.01


def mlp() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(4, 6), nn.Tanh(), nn.Dropout(0.5), nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 2)
    )


def graph_of(net: nn.Module) -> ChannelGraph:
    return channel_graph(net, (4,))


def test_collect_covers_only_the_layers_asked_for() -> None:
    net = conv_net()
    graph = channel_graph(net, (3, 6, 6))
    found = activation_statistics.collect(net, graph, [graph.layers[-1]], [torch.randn(3, 3, 6, 6)])
    assert set(found.statistics) == {"dense"}
    assert found.moments == {}


def test_watching_a_part_takes_what_its_layers_read() -> None:
    torch.manual_seed(0)
    net, batch = mlp(), torch.randn(8, 4)
    whole = nn.Sequential(nn.Linear(4, 4), nn.ReLU())
    whole.add_module("head", net)
    graph = graph_of(whole)
    found = activation_statistics.Collector(graph, graph.layers)
    with found.watching(net, "head."), torch.no_grad():
        net(whole[:2](batch))
    found.finish()
    assert found.statistics.keys() == {"0", "head.0", "head.3"}
    expected = activation_statistics.collect(whole, graph, graph.layers, [batch])
    for name, entry in expected.statistics.items():
        check_same(found.statistics[name], entry)


def hooks(net: nn.Module) -> list[Any]:
    return [hook for module in net.modules() for hook in module._forward_pre_hooks.values()]


def test_watching_removes_its_hooks_after_a_failure() -> None:
    net = mlp()
    graph = graph_of(net)
    with pytest.raises(RuntimeError):
        activation_statistics.collect(net, graph, graph.layers, [torch.randn(8, 3)])
    assert hooks(net) == []
    activation_statistics.collect(net, graph, graph.layers, [torch.randn(8, 4)])
    assert hooks(net) == []


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_collect_names_the_input_that_is_not_finite(value: float) -> None:
    net = mlp()
    graph = graph_of(net)
    with torch.no_grad():
        net.get_parameter("3.bias")[1] = value
        net[4] = nn.Identity()
    with pytest.raises(TrainingFault, match=r"the input of 5"):
        activation_statistics.collect(net, graph, graph.layers, [torch.randn(8, 4)])
    assert hooks(net) == []


def test_collect_refuses_one_position_that_is_not_finite() -> None:
    net = conv_net()
    graph = channel_graph(net, (3, 6, 6))
    batch = torch.randn(3, 3, 6, 6)
    batch[1, 0, 2, 3] = float("nan")
    with pytest.raises(TrainingFault):
        activation_statistics.collect(net, graph, graph.layers, [batch])


@pytest.mark.parametrize("waiting", [8, 1024])
def test_unit_sums_of_uneven_parts_are_the_whole(waiting: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(activation_statistics, "WAITING", waiting)
    units = 2 * activation_statistics.GRAM_BLOCK + 100
    h = torch.randn(40, units, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    sums = activation_statistics.UnitSums()
    for part in h.split([1, 30, 9]):
        sums.take(part)
    found = sums.statistics()
    assert found.count == 40
    assert torch.allclose(found.mean, h.mean(0), rtol=1e-12, atol=1e-12)
    assert torch.allclose(found.covariance, torch.cov(h.T, correction=0), rtol=1e-12, atol=1e-12)
    assert torch.equal(found.covariance, found.covariance.T)
    assert torch.equal(found.low, h.amin(0))
    assert torch.equal(found.high, h.amax(0))


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
@pytest.mark.parametrize("units", [1, 3])
def test_unit_sums_take_any_type_and_layout(
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
    covariance = torch.cov(exact.T, correction=0).reshape(units, units)
    assert torch.allclose(found.covariance, covariance, rtol=1e-12, atol=1e-12)
