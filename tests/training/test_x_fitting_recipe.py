"""Training on: masks hold, the learning rate falls as told, and a network learns to repeat its input."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from emoprune.choices import Keep
from emoprune.networks.build import build
from emoprune.networks.losses import judge
from emoprune.networks.table_networks import fitted_scaling
from emoprune.networks.types import Epoch, Spec
from emoprune.training.loop import Recipe, TensorSamples, fit
from tests.training.test_loop import CPU, RECIPE, TABLE, clouds, mlp, parts_of, same, state_of


def masks_of(net: nn.Module, share: float = 0.5) -> dict[str, Tensor]:
    """A mask of every weight matrix, and the weights set to zero as it says."""
    generator = torch.Generator().manual_seed(3)
    masks = {}
    for name, parameter in net.named_parameters():
        if parameter.ndim > 1:
            masks[name] = torch.rand(parameter.shape, generator=generator) > share
            with torch.no_grad():
                parameter.mul_(masks[name])
    return masks


def run(net: nn.Module, recipe: Recipe, masks: Mapping[str, Tensor] | None = None) -> list[Epoch]:
    samples = clouds()
    return list(fit(net, samples, parts_of(samples, 12), TABLE, recipe, CPU, masks=masks))


@pytest.mark.parametrize(
    "how",
    [
        {"optimizer": "sgd", "momentum": 0.9},
        {"optimizer": "sgd", "momentum": 0.9, "weight_decay": 0.1},
        {"optimizer": "adam"},
        {"optimizer": "adam", "weight_decay": 0.1},
        {"optimizer": "adamw", "weight_decay": 0.1},
    ],
    ids=lambda how: "-".join(map(str, how.values())),
)
@pytest.mark.parametrize("keep", ["last", "best"])
def test_masked_weights_stay_exactly_zero_and_the_others_learn(how: dict[str, Any], keep: Keep) -> None:
    net = mlp()
    masks = masks_of(net)
    before = state_of(net)
    for epoch in run(net, dataclasses.replace(RECIPE, **how, keep=keep), masks):
        assert epoch.val_accuracy is not None
    for name, mask in masks.items():
        weight = net.get_parameter(name)
        assert bool((weight[~mask] == 0).all())
        assert bool((weight[mask] != before[name][mask]).any())


def test_masks_that_hold_nothing_change_nothing() -> None:
    plain, held = mlp(), mlp()
    run(plain, RECIPE)
    run(held, RECIPE, {name: torch.ones_like(value).bool() for name, value in held.named_parameters()})
    assert same(state_of(plain), state_of(held))


@pytest.mark.parametrize(
    ("factor", "decay", "epoch", "step", "rate"),
    [
        (1.0, 0.0, 7, 900, 0.2),
        (0.9, 0.0, 0, 5, 0.2),
        (0.9, 0.0, 1, 5, 0.18),
        (0.9, 0.0, 3, 5, 0.1458),
        (1.0, 0.001, 3, 0, 0.2),
        (1.0, 0.001, 3, 1000, 0.1),
        (1.0, 0.5, 0, 6, 0.05),
        (0.5, 0.25, 2, 4, 0.025),
        (0.0, 0.0, 0, 3, 0.2),
        (0.0, 0.0, 1, 3, 0.0),
    ],
)
def test_the_rate_is_the_one_computed_by_hand(
    factor: float, decay: float, epoch: int, step: int, rate: float
) -> None:
    recipe = dataclasses.replace(RECIPE, lr=0.2, lr_factor=factor, lr_decay=decay)
    assert recipe.rate(epoch=epoch, step=step) == pytest.approx(rate)


def gradients(weight: np.ndarray, bias: np.ndarray, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, ...]:
    """Of the mean cross entropy of a linear layer."""
    logits = x @ weight.T + bias
    shares = np.exp(logits - logits.max(1, keepdims=True))
    shares /= shares.sum(1, keepdims=True)
    shares[np.arange(len(y)), y] -= 1
    return shares.T @ x / len(y), shares.mean(0)


@pytest.mark.parametrize(("factor", "decay"), [(1.0, 0.0), (0.5, 0.0), (1.0, 0.8), (0.7, 2.0)])
def test_steps_of_momentum_use_the_rate_of_their_epoch_and_step(factor: float, decay: float) -> None:
    samples, net = clouds(), nn.Linear(2, 3)
    parameters = [value.detach().double().numpy().copy() for value in net.parameters()]
    velocity = [np.zeros_like(value) for value in parameters]
    x, y = samples.values.double().numpy(), samples.labels.numpy()
    for step in range(3):
        rate = 0.3 * factor**step / (1 + decay * step)
        found = gradients(parameters[0], parameters[1], x, y)
        for index, gradient in enumerate(found):
            decayed = gradient + 0.05 * parameters[index]
            velocity[index] = 0.6 * velocity[index] + decayed
        parameters = [value - rate * speed for value, speed in zip(parameters, velocity, strict=True)]
    changes: dict[str, Any] = {
        **{"epochs": 3, "batch_size": 0, "optimizer": "sgd", "lr": 0.3, "momentum": 0.6},
        **{"weight_decay": 0.05, "lr_factor": factor, "lr_decay": decay},
    }
    recipe = dataclasses.replace(RECIPE, **changes)
    list(fit(net, samples, parts_of(samples), TABLE, recipe, CPU))
    for value, wanted in zip(net.parameters(), parameters, strict=True):
        np.testing.assert_allclose(value.detach().numpy(), wanted, rtol=1e-4, atol=1e-6)


def test_steps_are_counted_on_from_epoch_to_epoch() -> None:
    rates: list[float] = []

    class Watched(Recipe):
        def rate(self, *, epoch: int, step: int) -> float:
            rates.append(super().rate(epoch=epoch, step=step))
            return rates[-1]

    samples = clouds(20)
    recipe = Watched(**{**dataclasses.asdict(RECIPE), "epochs": 2, "lr": 1.0, "lr_decay": 1.0})
    list(fit(mlp(), samples, parts_of(samples), TABLE, recipe, CPU))
    # 20 samples in batches of 8 are three steps an epoch
    assert rates == [1 / (1 + step) for step in range(6)]


def low_rank(n: int = 80, seed: int = 0) -> TensorSamples:
    """Six columns that two numbers make."""
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(n, 2, generator=generator) @ torch.randn(2, 6, generator=generator)
    return TensorSamples(values * torch.tensor([1.0, 20.0, 0.3, 1.0, 5.0, 1.0]), torch.zeros(n).long())


def autoencoder(samples: TensorSamples, units: int) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        net = build(Spec("autoencoder", 6, (6,), (units,), "sigmoid"))
    scaling = fitted_scaling(samples.values, "minmax", columns="abcdef")
    net.get_submodule("scaling").load_state_dict(scaling.state_dict())
    return net


def reconstructed(net: nn.Module, samples: TensorSamples, recipe: Recipe, val: int = 0) -> list[Epoch]:
    parts = parts_of(samples, val)
    return list(fit(net, samples, parts, TABLE, recipe, CPU, task="reconstruct"))


def test_a_table_of_rank_two_goes_through_three_units() -> None:
    samples = low_rank()
    net = autoencoder(samples, 3)
    spread = float(net.get_submodule("scaling")(samples.values).var(0).mean())
    recipe = dataclasses.replace(RECIPE, epochs=600, lr=0.03, batch_size=0)
    curve = reconstructed(net, samples, recipe, val=16)
    assert all(epoch.train_accuracy is None and epoch.val_accuracy is None for epoch in curve)
    assert curve[-1].train_loss < 0.05 * spread
    assert curve[-1].val_loss is not None
    assert curve[-1].val_loss < 0.1 * spread


def test_keep_best_ends_as_the_epoch_of_least_validation_loss() -> None:
    middle = 0
    for seed in range(4):
        samples = low_rank(30, seed)
        # a rate so high that the loss goes up and down
        recipe = dataclasses.replace(RECIPE, epochs=12, lr=1.5, keep="best")
        net = autoencoder(samples, 4)
        curve, states = [], []
        parts = parts_of(samples, 6)
        for epoch in fit(net, samples, parts, TABLE, recipe, CPU, task="reconstruct"):
            curve.append(epoch)
            states.append(state_of(net))
        losses = [epoch.val_loss for epoch in curve if epoch.val_loss is not None]
        best = losses.index(min(losses))
        assert same(state_of(net), states[best])
        loss, _ = judge(
            net, iter([samples.values[parts["val"]]]), samples.labels[parts["val"]], "reconstruct"
        )
        assert loss == pytest.approx(losses[best], rel=1e-5)
        middle += 0 < best < 11
    assert middle, "no run had its best in the middle: the test shows nothing"
