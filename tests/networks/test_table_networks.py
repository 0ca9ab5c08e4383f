"""Networks on feature tables: what they compute, by hand."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
import torch
from torch import Tensor

from emoprune.networks.build import build, restore
from emoprune.networks.table_networks import SupportVectorMachine
from emoprune.networks.types import Spec


def machine(classes: int, decisions: Tensor) -> SupportVectorMachine:
    """A machine whose pairs decide as in `decisions` (pairs,) whatever it is shown."""
    net = SupportVectorMachine(Spec("svm", classes, (2,), (4,)))
    with torch.no_grad():
        net.classifier.weight.zero_()
        net.classifier.bias.copy_(decisions)
    return net


def votes(classes: int, decisions: list[float]) -> np.ndarray:
    """The votes of each class and a share of one for how decided they were, pair by pair."""
    won, sure = np.zeros(classes), np.zeros(classes)
    for (first, second), decision in zip(combinations(range(classes), 2), decisions, strict=True):
        won[first if decision > 0 else second] += 1
        sure[first] += decision
        sure[second] -= decision
    scores: np.ndarray = won + sure / (3 * (np.abs(sure) + 1))
    return scores


@pytest.mark.parametrize("classes", [2, 3, 5])
def test_scores_are_votes_and_less_than_half_a_vote_for_confidence(classes: int) -> None:
    generator = torch.Generator().manual_seed(classes)
    for _ in range(10):
        decisions = 5 * torch.randn(classes * (classes - 1) // 2, generator=generator)
        scores = machine(classes, decisions)(torch.zeros(1, 2))[0]
        np.testing.assert_allclose(scores.numpy(), votes(classes, decisions.tolist()), atol=1e-6)


def test_the_kernel_is_that_of_a_literal_double_loop() -> None:
    generator = torch.Generator().manual_seed(0)
    net = SupportVectorMachine(Spec("svm", 2, (3,), (5,)))
    with torch.no_grad():
        net.vectors.copy_(torch.randn(5, 3, generator=generator))
        net.classifier.weight.copy_(torch.randn(1, 5, generator=generator))
        net.classifier.bias.fill_(0.3)
        net.gamma.fill_(0.7)
    rows = torch.randn(6, 3, generator=generator)
    vectors, weight = net.vectors.numpy(), net.classifier.weight.detach().numpy()[0]
    wanted = []
    for row in rows.numpy():
        decision = 0.3
        for vector, share in zip(vectors, weight, strict=True):
            decision += share * np.exp(-0.7 * np.sum((row - vector) ** 2))
        wanted.append(votes(2, [decision]))
    with torch.no_grad():
        np.testing.assert_allclose(net(rows).numpy(), np.array(wanted), atol=1e-5)


def test_a_machine_has_nothing_that_training_by_gradient_would_change() -> None:
    net = build(Spec("svm", 4, (3,), (5,)))
    assert not any(parameter.requires_grad for parameter in net.parameters())


def test_the_compression_network_has_linear_outputs_as_many_as_inputs() -> None:
    spec = Spec("autoencoder", 11, (11,), (10,))
    net = build(spec)
    head = [type(layer).__name__ for layer in net.get_submodule("classifier").children()]
    assert head == ["Linear", "Sigmoid", "Linear"]
    assert net(torch.zeros(3, 11)).shape == (3, 11)


def test_a_perceptron_reads_the_pixels_of_a_picture_as_one_row() -> None:
    net = build(Spec("mlp", 7, (1, 48, 48), (1000, 1000), "relu"))
    assert net.get_submodule("classifier.hidden1").weight.shape == (1000, 2304)
    rows = torch.rand(2, 1, 48, 48, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        x = rows.reshape(2, 2304)
        for layer in ("hidden1", "hidden2", "output"):
            dense = net.get_submodule(f"classifier.{layer}")
            x = x @ dense.weight.T + dense.bias  # type: ignore[operator]  # a dense layer
            x = x.clamp(min=0) if layer != "output" else x
        torch.testing.assert_close(net(rows), x)


@pytest.mark.parametrize("arch", ["svm", "autoencoder"])
def test_what_is_restored_computes_the_same(arch: str) -> None:
    spec = Spec(arch, 3, (3,), (4,))
    net = build(spec)
    with torch.no_grad():
        for value in net.state_dict().values():
            value.add_(0.25)
    again = restore(spec, {name: value.clone() for name, value in net.state_dict().items()})
    rows = torch.rand(5, 3, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        assert torch.equal(again(rows), net.eval()(rows))
