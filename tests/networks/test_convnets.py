"""The papers' convolutional networks are those that the papers print."""

from __future__ import annotations

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import nn

from emoprune.errors import InvalidRecord
from emoprune.networks.build import blueprint
from emoprune.networks.convnets import CONVNETS, POOLS, Stage, stages_of
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
def test_luans_network_takes_each_of_the_four_combinations_of_section_2_2(channels: tuple[int, int]) -> None:
    net = paper("lenet", gray=True, channels=channels)
    first, second = channels
    assert [shape[:2] for shape in convolutions(net)] == [(1, first), (first, second)]
    assert pools(net) == [(nn.MaxPool2d, 2, 2), (nn.MaxPool2d, 3, 3)]
    # two convolutions, two poolings, and the last layer is the output layer
    assert [outputs for _, outputs in dense(net)] == [7]
    assert ARCHITECTURES["lenet"].size == (72, 90)
    assert logits_shape(net, 4, 1, 72, 90) == (4, 7)


def test_luans_first_combination_is_the_usual_one() -> None:
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
    kind=st.sampled_from(sorted(POOLS)),
)
def test_a_stage_shrinks_a_side_as_torch_does(
    side: int, kernel: int, stride: int, padding: int, pool: int, pool_stride: int, kind: str
) -> None:
    assume(side + 2 * padding >= kernel)
    assume(pool == 0 or (side + 2 * padding - kernel) // stride + 1 >= pool)
    stage = Stage(2, kernel, stride, padding, pool, pool_stride, kind)
    with torch.device("meta"), torch.no_grad():
        made = nn.Sequential(*stage.layers(3))(torch.zeros(1, 3, side, side))
    assert made.shape == (1, 2, stage.shrunk(side), stage.shrunk(side))


@pytest.mark.parametrize("arch", sorted(CONVNETS))
def test_the_table_of_architectures_tells_how_many_widths_can_be_set(arch: str) -> None:
    assert ARCHITECTURES[arch].channels == len(CONVNETS[arch])
    widths = tuple(range(2, 2 + len(CONVNETS[arch])))
    assert [stage.channels for stage in stages_of(arch, widths)] == list(widths)
    for wrong in (widths[1:] or (1, 2), (*widths, 9)):
        with pytest.raises(InvalidRecord, match=f"{len(wrong)} widths"):
            stages_of(arch, wrong)
