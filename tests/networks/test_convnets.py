"""The papers' convolutional networks are those that the papers print."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import Tensor, nn

from emoprune.choices import Activation
from emoprune.networks.build import blueprint, build
from emoprune.networks.convnets import CONVNETS, GAINS, SPREAD, Stage, keep_spread
from emoprune.networks.registry import ARCHITECTURES
from emoprune.networks.types import Spec

Side = tuple[int, int]


def paper(
    arch: str, *, gray: bool = False, channels: tuple[int, ...] = (), dropout: float = 0.0
) -> nn.Module:
    """A network of a paper at the paper's own size, for seven expressions."""
    entry = ARCHITECTURES[arch]
    shape = (1 if gray else 3, *entry.size)
    return blueprint(Spec(arch, 7, shape, entry.hidden, dropout=dropout, channels=channels))


def convolutions(net: nn.Module) -> list[tuple[int, int, object, object, object]]:
    """Input channels, kernels, their size, stride and padding, of every convolution in order."""
    return [
        (layer.in_channels, layer.out_channels, layer.kernel_size[0], layer.stride[0], layer.padding[0])
        for layer in net.modules()
        if isinstance(layer, nn.Conv2d)
    ]


def dense(net: nn.Module) -> list[tuple[int, int]]:
    return [
        (layer.in_features, layer.out_features) for layer in net.modules() if isinstance(layer, nn.Linear)
    ]


def kinds(net: nn.Module, part: str) -> list[str]:
    return [type(layer).__name__ for layer in net.get_submodule(part).children()]


def pools(net: nn.Module) -> list[tuple[type, object, object]]:
    return [
        (type(layer), layer.kernel_size, layer.stride)
        for layer in net.modules()
        if isinstance(layer, nn.MaxPool2d | nn.AvgPool2d)
    ]


def logits_shape(net: nn.Module, *shape: int) -> tuple[int, ...]:
    with torch.no_grad():
        return tuple(net(torch.zeros(*shape, device="meta")).shape)


SIGMOID_HEAD = ["Linear", "Sigmoid", "Linear", "Sigmoid", "Linear", "Sigmoid", "Linear"]


def test_zhangs_alexnet_has_the_kernels_and_neurons_of_section_2_2_1() -> None:
    net = paper("zhang_alexnet")
    assert convolutions(net) == [
        (3, 96, 11, 4, 0),
        (96, 96, 11, 1, 0),
        (96, 256, 5, 1, 0),
        (256, 384, 3, 1, 0),
        (384, 384, 3, 1, 0),
        (384, 256, 3, 1, 0),
    ]
    assert pools(net) == [(nn.MaxPool2d, 3, 2)] * 3, "overlapping: 3 wide in steps of 2"
    first, second, *_ = (index for index, kind in enumerate(kinds(net, "features")) if kind == "MaxPool2d")
    assert kinds(net, "features")[: second + 1] == ["Conv2d", "ReLU", "MaxPool2d"] * 2
    assert kinds(net, "features")[-3:] == ["ReLU", "MaxPool2d", "Flatten"]
    assert first == 2
    assert [outputs for _, outputs in dense(net)] == [3072, 1526, 100, 7]
    assert kinds(net, "classifier") == SIGMOID_HEAD
    assert logits_shape(net, 2, 3, 576, 720) == (2, 7)


def test_zhangs_vgg_has_the_kernels_and_neurons_of_section_2_2_2() -> None:
    net = paper("zhang_vgg")
    doubled = [8, 16, 32, 64, 128, 256, 512]
    assert convolutions(net) == [
        (inputs, outputs, 3, 1, 1) for inputs, outputs in zip([3, *doubled], doubled, strict=False)
    ]
    assert pools(net) == [(nn.MaxPool2d, 2, 2)] * 7
    assert kinds(net, "features") == ["Conv2d", "ReLU", "MaxPool2d"] * 7 + ["Flatten"]
    assert dense(net) == [(10240, 5120), (5120, 1000), (1000, 100), (100, 7)]
    assert kinds(net, "classifier") == SIGMOID_HEAD
    assert logits_shape(net, 3, 3, 576, 720) == (3, 7)


@pytest.mark.parametrize("channels", [(16, 32), (12, 24), (20, 40), (6, 12)])
def test_lenet_takes_the_four_combinations_of_luan2020(channels: tuple[int, int]) -> None:
    net = paper("lenet", gray=True, channels=channels)
    first, second = channels
    assert [shape[:2] for shape in convolutions(net)] == [(1, first), (first, second)]
    assert pools(net) == [(nn.MaxPool2d, 2, 2), (nn.MaxPool2d, 3, 3)]
    # two convolutions, two poolings, and the last layer is the output layer
    assert [outputs for _, outputs in dense(net)] == [7]
    assert ARCHITECTURES["lenet"].size == (72, 90)
    assert logits_shape(net, 4, 1, 72, 90) == (4, 7)


def test_lenet_has_the_first_combination_of_luan2020_by_default() -> None:
    assert convolutions(paper("lenet", gray=True)) == convolutions(
        paper("lenet", gray=True, channels=(16, 32))
    )


def test_wrights_network_is_that_of_section_6() -> None:
    net = paper("wright_cnn", gray=True, dropout=0.5)
    assert convolutions(net) == [
        (1, 36, 5, 1, 1),
        (36, 48, 3, 1, 1),
        *[(48, 48, 3, 1, 1)] * 3,
    ]
    assert pools(net) == [(nn.AvgPool2d, 2, 2)] * 3
    block = ["Conv2d", "ReLU", "Conv2d", "ReLU", "AvgPool2d"]
    assert kinds(net, "features") == ["Conv2d", "ReLU", "AvgPool2d", *block, *block, "Flatten"]
    assert len(dense(net)) == 3
    dropouts = [layer.p for layer in net.modules() if isinstance(layer, nn.Dropout)]
    assert dropouts == [0.5, 0.5], "between the three dense layers, not after the last"
    assert logits_shape(net, 2, 1, 48, 48) == (2, 7)


@given(
    side=st.integers(1, 60),
    kernel=st.integers(1, 11),
    stride=st.integers(1, 5),
    padding=st.integers(0, 4),
    pool=st.integers(0, 4),
    pool_stride=st.integers(0, 4),
    kind=st.sampled_from([nn.MaxPool2d, nn.AvgPool2d]),
)
def test_shrunk_agrees_with_torch(
    side: int, kernel: int, stride: int, padding: int, pool: int, pool_stride: int, kind: type[nn.MaxPool2d]
) -> None:
    assume(side + 2 * padding >= kernel)
    assume(pool == 0 or (side + 2 * padding - kernel) // stride + 1 >= pool)
    stage = Stage(2, kernel, stride, padding, pool, pool_stride, kind)
    with torch.device("meta"), torch.no_grad():
        made = nn.Sequential(*stage.layers(3, 2))(torch.zeros(1, 3, side, side))
    assert made.shape == (1, 2, stage.shrunk(side), stage.shrunk(side))


@pytest.mark.parametrize("arch", sorted(CONVNETS))
def test_stages_are_as_many_as_the_widths_in_the_registry(arch: str) -> None:
    assert ARCHITECTURES[arch].channels == len(CONVNETS[arch])
    widths = tuple(range(2, 2 + len(CONVNETS[arch])))
    convolutions = [layer for layer in paper(arch, channels=widths).modules() if isinstance(layer, nn.Conv2d)]
    assert [layer.out_channels for layer in convolutions] == list(widths)


SPECS = {
    "zhang_vgg": Spec("zhang_vgg", 7, (3, 128, 160), (200, 150, 100)),
    "zhang_alexnet": Spec("zhang_alexnet", 7, (3, 307, 307), (64, 48, 32), channels=(8, 8, 12, 16, 16, 12)),
}


def drawn(spec: Spec, seed: int) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return build(spec).eval()


def as_torch_does(net: nn.Module) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        for module in net.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                module.reset_parameters()
    return net


def pictures(spec: Spec) -> Tensor:
    """Six that differ in their shades and slopes, (6, channels, height, width) in -1..1."""
    values = torch.rand(6, 3, 4, 5, generator=torch.Generator().manual_seed(0)) * 2 - 1
    return nn.functional.interpolate(values, spec.input[1:], mode="bilinear")


def spread(net: nn.Module, inputs: Tensor) -> float:
    """Root mean square over units of the last hidden layer's deviation over pictures."""
    seen: list[Tensor] = []
    hook = net.get_submodule("classifier.activation3").register_forward_hook(
        lambda _module, _inputs, activation: seen.append(activation)
    )
    with torch.no_grad():
        net(inputs)
    hook.remove()
    return float(seen[0].var(0).mean().sqrt())


def test_keep_spread_is_only_for_deep_networks() -> None:
    assert set(SPECS) == SPREAD


@pytest.mark.parametrize("arch", sorted(SPECS))
def test_keep_spread_keeps_pictures_apart_through_all_layers(
    arch: str,
) -> None:
    spec = SPECS[arch]
    inputs = pictures(spec)
    for seed in range(3):
        net = drawn(spec, seed)
        ours = spread(net, inputs)
        assert ours > 0.01
        assert ours > 1000 * spread(as_torch_does(net), inputs)


@pytest.mark.parametrize("arch", sorted(SPECS))
def test_keep_spread_follows_the_seed(arch: str) -> None:
    first, again, other = (drawn(SPECS[arch], seed).state_dict() for seed in (5, 5, 6))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["classifier.hidden1.weight"], other["classifier.hidden1.weight"])
    assert blueprint(SPECS[arch]).state_dict().keys() == first.keys()


@pytest.mark.parametrize("activation", GAINS)
def test_keep_spread_draws_weights_by_gain_and_biases_0(
    activation: Activation,
) -> None:
    norm = nn.BatchNorm1d(200)
    net = nn.Sequential(
        *(nn.Conv2d(16, 40, 3), nn.ReLU(), nn.Flatten(), nn.Linear(300, 200), norm, nn.Linear(200, 50)),
    )
    untouched = norm.weight.clone()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        keep_spread(net, activation)
    # section 2.2 of He et al. 2015 for the convolution
    expected = {
        "0": math.sqrt(2 / (16 * 9)),
        "3": GAINS[activation] / math.sqrt(300),
        "5": 1 / math.sqrt(200),
    }
    for name, deviation in expected.items():
        layer = net.get_submodule(name)
        assert isinstance(layer, nn.Conv2d | nn.Linear)
        assert layer.bias is not None
        assert float(layer.weight.detach().std()) == pytest.approx(deviation, rel=0.05)
        assert float(layer.weight.detach().mean()) == pytest.approx(0, abs=0.05 * deviation)
        assert not layer.bias.detach().any()
    assert torch.equal(norm.weight, untouched)


@pytest.mark.parametrize(("gain", "left"), [(4.0, 2 / 3), (GAINS["sigmoid"], 0.9)])
def test_gains_of_sigmoids_keep_the_stated_fraction(gain: float, left: float) -> None:
    generator = torch.Generator().manual_seed(0)
    before, differences = (torch.randn(1000, generator=generator).double() for _ in range(2))
    # a layer deep in a network: sigmoids of such weights read by further ones
    weight = torch.randn(1000, 1000, generator=generator).double() * gain / math.sqrt(1000)
    units = torch.sigmoid(gain * 0.65 * before)
    moved = units + 1e-4 * differences
    change = torch.sigmoid(weight @ moved) - torch.sigmoid(weight @ units)
    assert float(change.norm() / (moved - units).norm()) == pytest.approx(left, rel=0.1)
