"""Training learns, repeats itself exactly, keeps what it should and touches nothing else."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from emoprune.choices import Keep, Optimizer
from emoprune.data.loader import TensorSamples, batches
from emoprune.data.types import Preprocess
from emoprune.errors import TrainingFault
from emoprune.networks.build import build
from emoprune.networks.losses import judge, predict
from emoprune.networks.table_networks import fitted_scaling
from emoprune.networks.types import Epoch, Spec
from emoprune.training.config import TrainConfig
from emoprune.training.loop import Diverged, Feed, fit
from emoprune.training.state import State, from_bytes, to_bytes

CPU = torch.device("cpu")
TABLE = Preprocess(kind="table")
PHOTO = Preprocess(kind="image", size=(12, 12), color="gray", mean=(0.5,), std=(0.5,))
CONFIG = TrainConfig(epochs=4, lr=0.05, batch_size=8, keep="last")


def clouds(n: int = 60) -> TensorSamples:
    """Three clouds of points that a few units can tell apart."""
    labels = torch.arange(n) % 3
    centers = torch.tensor([[3.0, 0.0], [-3.0, 3.0], [-3.0, -3.0]])
    return TensorSamples(
        centers[labels] + torch.randn(n, 2, generator=torch.Generator().manual_seed(0)), labels
    )


def photos(n: int = 24) -> TensorSamples:
    """Gray pictures, light above or light below."""
    labels = torch.arange(n) % 2
    raw = torch.randint(0, 100, (n, 1, 12, 12), generator=torch.Generator().manual_seed(0))
    raw[labels == 0, :, :6] += 150
    raw[labels == 1, :, 6:] += 150
    return TensorSamples(raw.to(torch.uint8), labels)


def parts_of(samples: TensorSamples, val: int = 0) -> dict[str, Tensor]:
    everything = torch.arange(len(samples.labels))
    return {"train": everything[val:], "val": everything[:val]} if val else {"train": everything}


def mlp(dropout: float = 0.0) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return build(Spec("mlp", 3, (2,), (8,), "tanh", dropout))


def conv1(dropout: float = 0.0) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return build(Spec("conv1", 2, (1, 12, 12), (6,), "sigmoid", dropout))


def blank() -> nn.Linear:
    """A layer that starts from 0, so that what a huge step makes of it is no matter of chance."""
    net = nn.Linear(2, 3)
    nn.init.zeros_(net.weight)
    nn.init.zeros_(net.bias)
    return net


def feed(net: nn.Module, samples: TensorSamples, val: int = 0, **more: Any) -> Feed:
    """The first `val` samples validate, the others train."""
    preprocess = TABLE if samples.values.ndim == 2 else PHOTO
    classes = int(samples.labels.max()) + 1
    return Feed(net, net, samples, parts_of(samples, val), preprocess, classes, **more)


def trained(net: nn.Module, samples: TensorSamples, config: TrainConfig, *, val: int = 0) -> list[Epoch]:
    return list(fit(feed(net, samples, val), config, CPU))


def state_of(net: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in net.state_dict().items()}


def same(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize(("optimizer", "lr"), [("adam", 0.05), ("adamw", 0.05), ("sgd", 0.1)])
def test_a_separable_problem_is_learned(optimizer: Optimizer, lr: float) -> None:
    config = dataclasses.replace(CONFIG, optimizer=optimizer, lr=lr, epochs=20)
    curve = trained(mlp(), clouds(), config, val=15)
    assert [epoch.index for epoch in curve] == list(range(1, 21))
    assert curve[-1].train_accuracy is not None
    assert curve[-1].val_accuracy is not None
    assert curve[-1].train_accuracy >= 0.95
    assert curve[-1].val_accuracy >= 0.95
    assert curve[-1].train_loss < curve[0].train_loss / 2


def test_photos_are_learned_with_augmentation() -> None:
    config = dataclasses.replace(CONFIG, lr=0.01, epochs=12, augment=("flip", "shift", "brightness:0.1"))
    accuracy = trained(conv1(), photos(), config)[-1].train_accuracy
    assert accuracy is not None
    assert accuracy >= 0.95


@pytest.mark.parametrize("augment", [(), ("rotate:10", "contrast")])
def test_one_seed_gives_the_same_bits_and_another_does_not(augment: tuple[str, ...]) -> None:
    states, curves = [], []
    for number, seed in enumerate((5, 5, 6)):
        net = conv1(dropout=0.3)
        torch.manual_seed(number)  # what the rest of the program drew must not matter
        curves.append(trained(net, photos(), dataclasses.replace(CONFIG, seed=seed, augment=augment), val=6))
        states.append(state_of(net))
    assert same(states[0], states[1])
    assert curves[0] == curves[1]
    assert not same(states[0], states[2])


def test_the_global_generator_stays_as_it_was_at_every_epoch() -> None:
    torch.manual_seed(11)
    before = torch.random.get_rng_state()
    samples = photos()
    config = dataclasses.replace(CONFIG, augment=("flip",))
    for _ in fit(feed(conv1(dropout=0.5), samples, 6), config, CPU):
        assert torch.equal(torch.random.get_rng_state(), before)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_fit_shuffles_every_epoch_and_reads_every_sample_once() -> None:
    seen: list[list[int]] = []

    class Watched(TensorSamples):
        def batch(self, indices: Tensor) -> Tensor:
            seen.append(indices.tolist())
            return super().batch(indices)

    samples = clouds(20)
    trained(mlp(), Watched(samples.values, samples.labels), dataclasses.replace(CONFIG, epochs=2))
    epochs = [[index for chunk in seen[start : start + 3] for index in chunk] for start in (0, 3)]
    assert [len(chunk) for chunk in seen] == [8, 8, 4] * 2
    assert sorted(epochs[0]) == sorted(epochs[1]) == list(range(20))
    assert epochs[0] != epochs[1]
    assert epochs[0] != list(range(20))


def watched_run(keep: str, seed: int) -> tuple[list[Epoch], list[dict[str, Tensor]], nn.Module]:
    """A run whose few validation labels are noise, so that its best epoch lies anywhere, with ties."""
    samples = clouds(40)
    noise = torch.randint(3, (40,), generator=torch.Generator().manual_seed(seed))
    samples = TensorSamples(samples.values, noise)
    config = dataclasses.replace(CONFIG, lr=0.3, epochs=8, keep="best" if keep == "best" else "last")
    net = mlp()
    curve, states = [], []
    for epoch in fit(feed(net, samples, 8), config, CPU):
        curve.append(epoch)
        states.append(state_of(net))
    return curve, states, net


def test_keep_best_restores_the_earliest_epoch_of_the_highest_validation_accuracy() -> None:
    kinds = set()
    for seed in range(12):
        curve, states, net = watched_run("best", seed)
        accuracies = [epoch.val_accuracy or 0.0 for epoch in curve]
        best = accuracies.index(max(accuracies))
        assert same(state_of(net), states[best])
        kinds.add((0 < best < 7, accuracies.count(max(accuracies)) > 1))
    assert (True, True) in kinds, "no run had its best in the middle and a tie: the test shows nothing"


class Versioned(nn.Linear):
    """Refuses a state that does not say which version it is of, as torchvision's MNASNet does."""

    _version = 2

    def _load_from_state_dict(self, state_dict: Any, prefix: str, local_metadata: Any, *rest: Any) -> None:
        if local_metadata.get("version") != 2:
            raise ValueError("no version")
        super()._load_from_state_dict(state_dict, prefix, local_metadata, *rest)


def test_the_best_epoch_is_restored_into_a_network_that_versions_its_state() -> None:
    net = nn.Sequential(Versioned(2, 3))
    curve = trained(net, clouds(), dataclasses.replace(CONFIG, keep="best"), val=12)
    assert len(curve) == CONFIG.epochs


def test_keep_last_and_best_without_a_validation_part_end_at_the_last_epoch() -> None:
    _, states, net = watched_run("last", 0)
    assert same(state_of(net), states[-1])
    last, best = mlp(), mlp()
    trained(last, clouds(), CONFIG)
    curve = trained(best, clouds(), dataclasses.replace(CONFIG, keep="best"))
    assert same(state_of(last), state_of(best))
    assert (curve[-1].val_loss, curve[-1].val_accuracy) == (None, None)


def test_validation_figures_are_those_of_the_network_as_it_is_after_the_epoch() -> None:
    samples, net = clouds(), mlp(dropout=0.5)
    for epoch in fit(feed(net, samples, 12), CONFIG, CPU):
        net.eval()
        with torch.no_grad():
            logits = net(samples.values[:12])
        wanted = nn.functional.cross_entropy(logits, samples.labels[:12])
        assert epoch.val_loss == pytest.approx(float(wanted), rel=1e-5)
        assert epoch.val_accuracy == pytest.approx(
            float((logits.argmax(1) == samples.labels[:12]).float().mean())
        )


def test_batch_size_0_is_one_step_on_all_samples() -> None:
    samples, net = clouds(), nn.Linear(2, 3)
    weight, bias = (parameter.detach().clone().requires_grad_() for parameter in net.parameters())
    loss = nn.functional.cross_entropy(samples.values @ weight.T + bias, samples.labels)
    loss.backward()
    config = dataclasses.replace(CONFIG, epochs=1, batch_size=0, optimizer="sgd", momentum=0.0, lr=0.1)
    [epoch] = trained(net, samples, config)
    assert epoch.train_loss == pytest.approx(loss.item(), rel=1e-5)
    assert weight.grad is not None
    torch.testing.assert_close(net.weight.detach(), (weight - 0.1 * weight.grad).detach())


def test_no_epochs_leave_the_network_as_it_was() -> None:
    net = mlp()
    before = state_of(net)
    assert trained(net, clouds(), dataclasses.replace(CONFIG, epochs=0), val=12) == []
    assert same(state_of(net), before)


def test_a_loss_that_is_not_finite_is_a_training_fault() -> None:
    samples = clouds()
    values = samples.values.clone()
    values[0, 0] = math.inf
    with pytest.raises(TrainingFault, match="loss is nan in epoch 1, step"):
        trained(mlp(), TensorSamples(values, samples.labels), CONFIG)
    with pytest.raises(TrainingFault, match="lower `lr`"):
        trained(blank(), samples, dataclasses.replace(CONFIG, lr=3e38, optimizer="sgd"))


def test_a_validation_loss_that_is_not_finite_is_a_training_fault_too() -> None:
    config = dataclasses.replace(CONFIG, epochs=1, batch_size=0, lr=3e38, optimizer="sgd", momentum=0.0)
    with pytest.raises(TrainingFault):
        trained(blank(), clouds(), config, val=12)


def test_predictions_come_in_order_without_gradients_and_without_dropout() -> None:
    samples, net = clouds(150), mlp(dropout=0.5).train()
    order = torch.randperm(150, generator=torch.Generator().manual_seed(0))
    found = list(predict(net, batches(samples, order, TABLE, CPU)))
    assert len(found) > 1
    assert not any(logits.requires_grad for logits in found)
    with torch.no_grad():
        torch.testing.assert_close(torch.cat(found), net.eval()(samples.values[order]))


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


def run(net: nn.Module, config: TrainConfig, masks: Mapping[str, Tensor] | None = None) -> list[Epoch]:
    samples = clouds()
    return list(fit(feed(net, samples, 12, masks=masks or {}), config, CPU))


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
    for epoch in run(net, dataclasses.replace(CONFIG, **how, keep=keep), masks):
        assert epoch.val_accuracy is not None
    for name, mask in masks.items():
        weight = net.get_parameter(name)
        assert bool((weight[~mask] == 0).all())
        assert bool((weight[mask] != before[name][mask]).any())


def test_masks_that_hold_nothing_change_nothing() -> None:
    plain, held = mlp(), mlp()
    run(plain, CONFIG)
    run(held, CONFIG, {name: torch.ones_like(value).bool() for name, value in held.named_parameters()})
    assert same(state_of(plain), state_of(held))


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
    config = dataclasses.replace(CONFIG, **changes)
    list(fit(feed(net, samples), config, CPU))
    for value, wanted in zip(net.parameters(), parameters, strict=True):
        np.testing.assert_allclose(value.detach().numpy(), wanted, rtol=1e-4, atol=1e-6)


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


def reconstructed(net: nn.Module, samples: TensorSamples, config: TrainConfig, val: int = 0) -> list[Epoch]:
    return list(fit(feed(net, samples, val, task="reconstruct"), config, CPU))


def test_a_table_of_rank_two_goes_through_three_units() -> None:
    samples = low_rank()
    net = autoencoder(samples, 3)
    spread = float(net.get_submodule("scaling")(samples.values).var(0).mean())
    config = dataclasses.replace(CONFIG, epochs=600, lr=0.03, batch_size=0)
    curve = reconstructed(net, samples, config, val=16)
    assert all(epoch.train_accuracy is None and epoch.val_accuracy is None for epoch in curve)
    assert curve[-1].train_loss < 0.05 * spread
    assert curve[-1].val_loss is not None
    assert curve[-1].val_loss < 0.1 * spread


def test_keep_best_ends_as_the_epoch_of_least_validation_loss() -> None:
    middle = 0
    for seed in range(4):
        samples = low_rank(30, seed)
        # a rate so high that the loss goes up and down
        config = dataclasses.replace(CONFIG, epochs=12, lr=1.5, keep="best")
        net = autoencoder(samples, 4)
        curve, states = [], []
        parts = parts_of(samples, 6)
        for epoch in fit(feed(net, samples, 6, task="reconstruct"), config, CPU):
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


def test_an_fp16_training_goes_on_from_its_state() -> None:
    config = dataclasses.replace(CONFIG, epochs=2, save_every=0, keep="last")
    saved: list[bytes] = []

    def keep(state: State) -> None:
        saved.append(to_bytes(state))

    whole, again = conv1(), conv1()
    list(fit(feed(whole, photos()), config, CPU, dtype=torch.float16, save=keep))
    begun = from_bytes(saved[1], run="")
    assert begun.progress.step
    list(fit(feed(again, photos()), config, CPU, dtype=torch.float16, start=begun))
    assert same(state_of(whole), state_of(again))


def test_a_loss_that_diverges_after_going_on_falls_back_to_the_epoch_before() -> None:
    config = dataclasses.replace(CONFIG, epochs=3, save_every=0, keep="last")
    saved: list[State] = []
    first = mlp()
    epochs = fit(
        feed(first, clouds()),
        config,
        CPU,
        save=lambda state: saved.append(from_bytes(to_bytes(state), run="")),
    )
    next(epochs)
    after_one = state_of(first)
    next(epochs)
    begun = next(state for state in saved if len(state.progress.curve) == 1 and state.progress.step > 1)
    samples, net = clouds(), mlp()
    broken = TensorSamples(samples.values.clone().fill_(math.inf), samples.labels)
    with pytest.raises(Diverged):
        list(fit(feed(net, broken), config, CPU, start=begun))
    assert same(state_of(net), after_one)
