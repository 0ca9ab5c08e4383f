"""Training learns, repeats itself exactly, keeps what it should and touches nothing else."""

import dataclasses
import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from emoprune.choices import Optimizer
from emoprune.data.types import Preprocess
from emoprune.errors import TrainingFault
from emoprune.networks.build import build
from emoprune.networks.types import Epoch, Spec
from emoprune.training.loop import Recipe, TensorSamples, batches, fit, predict, training_batches

CPU = torch.device("cpu")
TABLE = Preprocess(kind="table")
PHOTO = Preprocess(kind="image", size=(12, 12), colour="gray", mean=(0.5,), std=(0.5,))
RECIPE = Recipe(
    epochs=4,
    lr=0.05,
    batch_size=8,
    optimizer="adam",
    momentum=0.9,
    weight_decay=0.0,
    augment={},
    keep="last",
    seed=0,
)


def clouds(n: int = 60) -> TensorSamples:
    """Three clouds of points that a few units can tell apart."""
    labels = torch.arange(n) % 3
    centres = torch.tensor([[3.0, 0.0], [-3.0, 3.0], [-3.0, -3.0]])
    return TensorSamples(
        centres[labels] + torch.randn(n, 2, generator=torch.Generator().manual_seed(0)), labels
    )


def photos(n: int = 24) -> TensorSamples:
    """Grey pictures, light above or light below."""
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


def trained(net: nn.Module, samples: TensorSamples, recipe: Recipe, *, val: int = 0) -> list[Epoch]:
    preprocess = TABLE if samples.values.ndim == 2 else PHOTO
    return list(fit(net, samples, parts_of(samples, val), preprocess, recipe, CPU))


def state_of(net: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in net.state_dict().items()}


def same(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize(("optimizer", "lr"), [("adam", 0.05), ("adamw", 0.05), ("sgd", 0.1)])
def test_a_separable_problem_is_learned(optimizer: Optimizer, lr: float) -> None:
    recipe = dataclasses.replace(RECIPE, optimizer=optimizer, lr=lr, epochs=20)
    curve = trained(mlp(), clouds(), recipe, val=15)
    assert [epoch.index for epoch in curve] == list(range(1, 21))
    assert curve[-1].train_accuracy is not None
    assert curve[-1].val_accuracy is not None
    assert curve[-1].train_accuracy >= 0.95
    assert curve[-1].val_accuracy >= 0.95
    assert curve[-1].train_loss < curve[0].train_loss / 2


def test_photos_are_learned_with_augmentation() -> None:
    recipe = dataclasses.replace(
        RECIPE, lr=0.01, epochs=12, augment={"flip": 0.5, "shift": 0.1, "brightness": 0.1}
    )
    accuracy = trained(conv1(), photos(), recipe)[-1].train_accuracy
    assert accuracy is not None
    assert accuracy >= 0.95


@pytest.mark.parametrize("augment", [{}, {"rotate": 10.0, "contrast": 0.2}])
def test_one_seed_gives_the_same_bits_and_another_does_not(augment: dict[str, float]) -> None:
    states, curves = [], []
    for number, seed in enumerate((5, 5, 6)):
        net = conv1(dropout=0.3)
        torch.manual_seed(number)  # what the rest of the program drew must not matter
        curves.append(trained(net, photos(), dataclasses.replace(RECIPE, seed=seed, augment=augment), val=6))
        states.append(state_of(net))
    assert same(states[0], states[1])
    assert curves[0] == curves[1]
    assert not same(states[0], states[2])


def test_the_global_generator_stays_as_it_was_at_every_epoch() -> None:
    torch.manual_seed(11)
    before = torch.random.get_rng_state()
    samples = photos()
    recipe = dataclasses.replace(RECIPE, augment={"flip": 0.5})
    for _ in fit(conv1(dropout=0.5), samples, parts_of(samples, 6), PHOTO, recipe, CPU):
        assert torch.equal(torch.random.get_rng_state(), before)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_every_epoch_shuffles_anew_and_sees_every_sample_once() -> None:
    seen: list[list[int]] = []

    class Watched(TensorSamples):
        def batch(self, indices: Tensor) -> Tensor:
            seen.append(indices.tolist())
            return super().batch(indices)

    samples = clouds(20)
    trained(mlp(), Watched(samples.values, samples.labels), dataclasses.replace(RECIPE, epochs=2))
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
    recipe = dataclasses.replace(RECIPE, lr=0.3, epochs=8, keep="best" if keep == "best" else "last")
    net = mlp()
    curve, states = [], []
    for epoch in fit(net, samples, parts_of(samples, 8), TABLE, recipe, CPU):
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
    curve = trained(net, clouds(), dataclasses.replace(RECIPE, keep="best"), val=12)
    assert len(curve) == RECIPE.epochs


def test_keep_last_and_best_without_a_validation_part_end_at_the_last_epoch() -> None:
    _, states, net = watched_run("last", 0)
    assert same(state_of(net), states[-1])
    last, best = mlp(), mlp()
    trained(last, clouds(), RECIPE)
    curve = trained(best, clouds(), dataclasses.replace(RECIPE, keep="best"))
    assert same(state_of(last), state_of(best))
    assert (curve[-1].val_loss, curve[-1].val_accuracy) == (None, None)


def test_validation_figures_are_those_of_the_network_as_it_is_after_the_epoch() -> None:
    samples, net = clouds(), mlp(dropout=0.5)
    for epoch in fit(net, samples, parts_of(samples, 12), TABLE, RECIPE, CPU):
        net.eval()
        with torch.no_grad():
            logits = net(samples.values[:12])
        wanted = nn.functional.cross_entropy(logits, samples.labels[:12])
        assert epoch.val_loss == pytest.approx(float(wanted), rel=1e-5)
        assert epoch.val_accuracy == pytest.approx(
            float((logits.argmax(1) == samples.labels[:12]).float().mean())
        )


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 70), st.integers(0, 80))
def test_chunks_cover_all_in_order_and_none_of_one_stands_at_the_end(n: int, batch_size: int) -> None:
    chunks = training_batches(torch.arange(n), batch_size)
    assert torch.cat(list(chunks)).tolist() == list(range(n))
    sizes = [len(chunk) for chunk in chunks]
    assert n == 1 or sizes[-1] > 1
    size = batch_size or n
    assert all(length == size for length in sizes[:-1])
    assert sizes[-1] <= size + 1


def test_batch_size_0_is_one_step_on_all_samples() -> None:
    samples, net = clouds(), nn.Linear(2, 3)
    weight, bias = (parameter.detach().clone().requires_grad_() for parameter in net.parameters())
    loss = nn.functional.cross_entropy(samples.values @ weight.T + bias, samples.labels)
    loss.backward()
    recipe = dataclasses.replace(RECIPE, epochs=1, batch_size=0, optimizer="sgd", momentum=0.0, lr=0.1)
    [epoch] = trained(net, samples, recipe)
    assert epoch.train_loss == pytest.approx(loss.item(), rel=1e-5)
    assert weight.grad is not None
    torch.testing.assert_close(net.weight.detach(), (weight - 0.1 * weight.grad).detach())


def test_no_epochs_leave_the_network_as_it_was() -> None:
    net = mlp()
    before = state_of(net)
    assert trained(net, clouds(), dataclasses.replace(RECIPE, epochs=0), val=12) == []
    assert same(state_of(net), before)


def test_a_loss_that_is_not_finite_is_a_training_fault() -> None:
    samples = clouds()
    values = samples.values.clone()
    values[0, 0] = math.inf
    with pytest.raises(TrainingFault, match="loss is nan after epoch 1"):
        trained(mlp(), TensorSamples(values, samples.labels), RECIPE)
    with pytest.raises(TrainingFault, match="lower --lr"):
        trained(blank(), samples, dataclasses.replace(RECIPE, lr=3e38, optimizer="sgd"))


def test_a_validation_loss_that_is_not_finite_is_a_training_fault_too() -> None:
    recipe = dataclasses.replace(RECIPE, epochs=1, batch_size=0, lr=3e38, optimizer="sgd", momentum=0.0)
    with pytest.raises(TrainingFault):
        trained(blank(), clouds(), recipe, val=12)


def test_predictions_come_in_order_without_gradients_and_without_dropout() -> None:
    samples, net = clouds(150), mlp(dropout=0.5).train()
    order = torch.randperm(150, generator=torch.Generator().manual_seed(0))
    found = list(predict(net, batches(samples, order, TABLE, CPU)))
    assert len(found) > 1
    assert not any(logits.requires_grad for logits in found)
    with torch.no_grad():
        torch.testing.assert_close(torch.cat(found), net.eval()(samples.values[order]))
