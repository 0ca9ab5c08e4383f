"""What a network costs, against counts by hand and torchvision's published figures."""

import time

import pytest
import torch
from torch import Tensor, nn
from torchvision import models

from emoprune.networks import build
from emoprune.networks.profiling import cost, latency_ms
from emoprune.networks.types import Spec


def test_a_dense_layer_costs_inputs_times_outputs_and_its_bias_is_a_parameter() -> None:
    found = cost(nn.Linear(7, 5), Spec("mlp", 5, (7,)))
    assert (found.parameters, found.macs) == (7 * 5 + 5, 7 * 5)


@pytest.mark.parametrize(("stride", "positions"), [(1, 6 * 8), (2, 3 * 4)])
def test_a_convolution_costs_its_kernel_at_every_position(stride: int, positions: int) -> None:
    net = nn.Conv2d(3, 4, 5, stride=stride)
    found = cost(net, Spec("conv1", 4, (3, 10, 12)))
    assert (found.parameters, found.macs) == (4 * 3 * 25 + 4, 4 * 3 * 25 * positions)


def test_a_grouped_convolution_costs_its_own_channels_only() -> None:
    found = cost(nn.Conv2d(6, 6, 3, groups=6, bias=False), Spec("conv1", 6, (6, 5, 5)))
    assert (found.parameters, found.macs) == (6 * 9, 6 * 9 * 9)


def test_conv1_costs_what_its_layers_add_up_to() -> None:
    spec = Spec("conv1", 3, (1, 12, 14), hidden=(7,))
    found = cost(build.build(spec).eval(), spec)
    features = 16 * 4 * 5
    assert found.parameters == 16 * 25 + 16 + features * 7 + 7 + 7 * 3 + 3
    assert found.macs == 16 * 25 * 8 * 10 + features * 7 + 7 * 3


def test_parameters_that_are_zero_are_counted_apart_and_buffers_not_at_all() -> None:
    dense, norm = nn.Linear(3, 2), nn.BatchNorm1d(2)
    for parameter in (dense.weight, dense.bias, norm.weight, norm.bias):
        nn.init.ones_(parameter)
    nn.init.zeros_(dense.weight[0])
    nn.init.zeros_(norm.bias)
    found = cost(nn.Sequential(dense, norm).eval(), Spec("mlp", 2, (3,)))
    assert (found.parameters, found.nonzero_parameters) == (12, 12 - 3 - 2)


class SelfAttention(nn.Module):
    """Attention of 5 tokens of 8 numbers, with 2 heads."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        tokens = x.reshape(-1, 5, 8)
        read: Tensor = self.attention(tokens, tokens, tokens, need_weights=False)[0]
        return read


def test_attention_costs_its_four_projections_and_its_two_products() -> None:
    found = cost(SelfAttention().eval(), Spec("vit_b_16", 2, (40,)))
    assert found.macs == 4 * 5 * 8 * 8 + 2 * 5 * 5 * 8


@pytest.mark.parametrize("arch", ["resnet18", "mobilenet_v3_small"])
def test_torchvision_networks_cost_what_torchvision_publishes(arch: str) -> None:
    published = models.get_model_weights(arch).DEFAULT.meta
    spec = Spec(arch, 1000, (3, 224, 224))
    found = cost(build.build(spec).eval(), spec)
    assert found.parameters == published["num_params"]
    assert found.macs / 1e9 == pytest.approx(published["_ops"], abs=0.0006)


def test_counting_leaves_the_network_as_it_was() -> None:
    net = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2)).eval()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    cost(net, Spec("mlp", 2, (3,)))
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert not net.training


def test_latency_is_the_median_run_in_milliseconds_after_a_warm_up(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, calls = [0.0], [0]
    monkeypatch.setattr(time, "perf_counter", lambda: clock[0])

    def run() -> None:
        calls[0] += 1
        # slow while it warms up, and a third of the rest held up by something else
        clock[0] += 60.0 if calls[0] <= 5 else 9.0 if calls[0] % 3 == 0 else 0.25

    assert latency_ms(run) == pytest.approx(250)
