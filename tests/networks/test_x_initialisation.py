"""What a deep network sees is still there after its last hidden layer, before it has learned."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from emoprune.choices import Activation
from emoprune.networks.build import blueprint, build
from emoprune.networks.convnets import GAINS, SPREAD, keep_spread
from emoprune.networks.types import Spec

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


def test_only_the_networks_that_need_it_are_drawn_so() -> None:
    assert set(SPECS) == SPREAD


@pytest.mark.parametrize("arch", sorted(SPECS))
def test_pictures_differ_after_the_last_hidden_layer_where_torchs_own_weights_make_them_alike(
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
def test_one_seed_draws_one_network_and_another_seed_another(arch: str) -> None:
    first, again, other = (drawn(SPECS[arch], seed).state_dict() for seed in (5, 5, 6))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["classifier.hidden1.weight"], other["classifier.hidden1.weight"])
    assert blueprint(SPECS[arch]).state_dict().keys() == first.keys()


@pytest.mark.parametrize("activation", GAINS)
def test_a_weight_deviates_by_its_gain_over_the_root_of_the_inputs_and_biases_are_0(
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
def test_of_a_difference_a_layer_of_sigmoids_leaves_what_its_gain_says(gain: float, left: float) -> None:
    generator = torch.Generator().manual_seed(0)
    before, differences = (torch.randn(1000, generator=generator).double() for _ in range(2))
    # a layer deep in a network: sigmoids of such weights read by further ones
    weight = torch.randn(1000, 1000, generator=generator).double() * gain / math.sqrt(1000)
    units = torch.sigmoid(gain * 0.65 * before)
    moved = units + 1e-4 * differences
    change = torch.sigmoid(weight @ moved) - torch.sigmoid(weight @ units)
    assert float(change.norm() / (moved - units).norm()) == pytest.approx(left, rel=0.1)
