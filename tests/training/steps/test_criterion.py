"""What a training minimizes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from emoprune.data.randomness import generator_at
from emoprune.data.types import Preprocess, SplitRule
from emoprune.errors import UsageFault
from emoprune.networks.build import build
from emoprune.networks.types import Checkpoint, Spec
from emoprune.training.config import TrainConfig
from emoprune.training.steps.batches import Batch
from emoprune.training.steps.criterion import Criterion, Teacher, last_width, matches

CPU = torch.device("cpu")
CLASSES = ("a", "b", "c")
PHOTO = Preprocess(kind="image", size=(12, 12), color="rgb", mean=(0.5,) * 3, std=(0.5,) * 3)


def checkpoint(
    classes: tuple[str, ...] = CLASSES, *, size: int = 12, color: Any = "rgb", width: int = 5
) -> Checkpoint:
    channels = 3 if color == "rgb" else 1
    spec = Spec("conv1", len(classes), (channels, size, size), (width,))
    preprocess = Preprocess("image", (size, size), color, (0.4,) * channels, (0.3,) * channels)
    with torch.random.fork_rng():
        torch.manual_seed(4)
        net = build(spec)
    return Checkpoint(
        spec=spec,
        classes=classes,
        preprocess=preprocess,
        split=SplitRule("80/20", 0, None, "f"),
        tensors=net.state_dict(),
    )


def batch(targets: Tensor | None = None) -> Batch:
    pictures = torch.rand(6, 3, 12, 12, generator=generator_at(0))
    labels = torch.arange(6) % 3 if targets is None else targets
    return Batch((pictures - 0.5) / 0.5, labels, pictures)


def student() -> nn.Module:
    return checkpoint(width=4).module()


def test_the_loss_without_a_teacher_is_cross_entropy() -> None:
    net, read = student(), batch()
    weights = torch.tensor([1.0, 2.0, 3.0])
    config = TrainConfig(label_smoothing=0.1)
    loss, outputs = Criterion.of(net, config, "classify", weights=weights)(net, read)
    torch.testing.assert_close(outputs, net(read.inputs))
    torch.testing.assert_close(
        loss, F.cross_entropy(outputs, read.targets, weight=weights, label_smoothing=0.1)
    )


def test_the_loss_of_a_teacher_is_that_of_hinton_computed_by_hand() -> None:
    net, read = student(), batch()
    teacher = Teacher.of(checkpoint(), CLASSES, name="t", device=CPU)
    config = TrainConfig(temperature=2.0, teacher_weight=0.75)
    loss, outputs = Criterion.of(net, config, "classify", teacher=teacher)(net, read)
    assert read.pictures is not None
    taught = checkpoint().module()((read.pictures - 0.4) / 0.3).double()
    target, own = ((each.double() / 2).softmax(1) for each in (taught, outputs))
    soft = (target * (target.log() - own.log())).sum(1).mean() * 4
    wanted = 0.75 * soft + 0.25 * F.cross_entropy(outputs, read.targets).double()
    torch.testing.assert_close(loss.double(), wanted, rtol=1e-4, atol=1e-5)


def test_a_teacher_answers_in_the_order_of_the_classes() -> None:
    pictures = batch().pictures
    assert pictures is not None
    known, asked = (
        Teacher.of(checkpoint(("a", "b", "c")), order, name="t", device=CPU).answer(pictures)[0]
        for order in (("a", "b", "c"), ("c", "a", "b"))
    )
    assert torch.equal(asked, known[:, [2, 0, 1]])


@pytest.mark.parametrize(("size", "color"), [(24, "rgb"), (12, "gray"), (24, "gray")])
def test_a_teacher_looks_at_pictures_in_its_own_size_and_color(size: int, color: str) -> None:
    teacher = Teacher.of(checkpoint(size=size, color=color), CLASSES, name="t", device=CPU)
    flat = torch.full((2, 3, 12, 12), 0.7)
    logits, features = teacher.answer(flat)
    channels = 1 if color == "gray" else 3
    wanted = checkpoint(size=size, color=color).module()(torch.full((2, channels, size, size), 1.0))
    torch.testing.assert_close(logits, wanted, rtol=1e-4, atol=1e-5)
    assert features.shape == (2, 5)


def test_a_teacher_of_other_classes_is_refused() -> None:
    with pytest.raises(UsageFault, match=r"the teacher t\.st does not know c"):
        Teacher.of(checkpoint(("a", "b")), CLASSES, name="t.st", device=CPU)


def test_a_teacher_is_not_changed_and_gets_no_gradients() -> None:
    made = checkpoint()
    teacher = Teacher.of(made, CLASSES, name="t", device=CPU)
    net = student()
    loss, _ = Criterion.of(net, TrainConfig(match_features=1.0), "classify", teacher=teacher)(net, batch())
    loss.backward()
    assert all(each.grad is None for each in teacher.net.parameters())
    assert all(torch.equal(made.tensors[name], value) for name, value in teacher.net.state_dict().items())


def test_features_are_matched_by_a_map_that_learns_where_widths_differ() -> None:
    teacher = Teacher.of(checkpoint(), CLASSES, name="t", device=CPU)
    config = TrainConfig(match_features=0.5, teacher_weight=1.0)
    net, same = student(), checkpoint().module()
    criterion = Criterion.of(net, config, "classify", teacher=teacher)
    assert [tuple(each.shape) for each in criterion.parameters()] == [(5, 4)]
    assert (last_width(net), last_width(same)) == (4, 5)
    assert not list(Criterion.of(same, config, "classify", teacher=teacher).parameters())
    read = batch()
    plain = Criterion.of(net, replace(config, match_features=0.0), "classify", teacher=teacher)(net, read)[0]
    assert criterion(net, read)[0].item() > plain.item()


def test_matches_counts_right_answers_and_fractions_of_mixed_ones() -> None:
    outputs = torch.tensor([[2.0, 1.0, 0.0], [0.0, 3.0, 0.0], [0.0, 0.0, 1.0]])
    assert int(matches(outputs, torch.tensor([0, 1, 0]))) == 2
    mixed = torch.tensor([[0.7, 0.3, 0.0], [0.6, 0.4, 0.0], [0.0, 0.0, 1.0]])
    assert float(matches(outputs, mixed)) == pytest.approx(2.1)
