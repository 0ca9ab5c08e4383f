"""What a deep network sees is still there after its last hidden layer, before it has learned."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from emoprune.core.convnets import SPREAD
from emoprune.core.initialisation import GAINS, keep_spread
from emoprune.core.nets import blueprint, build
from emoprune.records import Spec
from emoprune.records.choices import Activation

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
def test_weights_have_the_deviations_of_he_and_of_glorot_and_biases_are_0(activation: Activation) -> None:
    norm = nn.BatchNorm1d(9)
    net = nn.Sequential(nn.Conv2d(16, 40, 3), nn.ReLU(), nn.Flatten(), nn.Linear(300, 200), norm)
    untouched = norm.weight.clone()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        keep_spread(net, activation)
    # section 2.2 of He et al. 2015; formula 12 of Glorot & Bengio 2010, whose gain is 1
    expected = {"0": math.sqrt(2 / (16 * 9)), "3": GAINS[activation] * math.sqrt(2 / (300 + 200))}
    for name, deviation in expected.items():
        layer = net.get_submodule(name)
        assert isinstance(layer, nn.Conv2d | nn.Linear)
        assert layer.bias is not None
        assert float(layer.weight.detach().std()) == pytest.approx(deviation, rel=0.05)
        assert float(layer.weight.detach().mean()) == pytest.approx(0, abs=0.05 * deviation)
        assert not layer.bias.detach().any()
    assert torch.equal(norm.weight, untouched)
