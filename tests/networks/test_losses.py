"""What networks are trained to do is measured as a literal computation would measure it."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from emoprune.networks.build import build
from emoprune.networks.losses import LOSSES, hits, judge, squared_errors, task_of
from emoprune.networks.registry import ARCHITECTURES
from emoprune.networks.table_networks import fitted_scaling
from emoprune.networks.types import Spec

ROWS = (
    torch.randn(23, 4, generator=torch.Generator().manual_seed(0)) * torch.tensor([1.0, 50.0, 0.1, 3.0]) + 7
)
LABELS = torch.arange(23) % 4


def network(arch: str) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(2)
        net = build(Spec(arch, 4, (4,), (3,), "sigmoid", dropout=0.4))
    scaling = fitted_scaling(ROWS, "minmax", columns=[str(i) for i in range(ROWS.shape[1])])
    net.get_submodule("scaling").load_state_dict(scaling.state_dict())
    return net


def literal(net: nn.Module, rows: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Scaled rows and outputs of a network with one hidden layer of sigmoids, in numpy."""
    state = {name: value.double().numpy() for name, value in net.state_dict().items()}
    scaled = (rows.double().numpy() - state["scaling.shift"]) * state["scaling.scale"]
    hidden = scaled @ state["classifier.hidden1.weight"].T + state["classifier.hidden1.bias"]
    hidden = 1 / (1 + np.exp(-hidden))
    return scaled, hidden @ state["classifier.output.weight"].T + state["classifier.output.bias"]


def test_the_table_has_one_network_that_reconstructs() -> None:
    assert [name for name in ARCHITECTURES if task_of(name) == "reconstruct"] == ["autoencoder"]


def test_judge_takes_the_squared_error_of_scaled_columns() -> None:
    net = network("autoencoder").train()
    loss, accuracy = judge(net, iter(ROWS.split(5)), LABELS, "reconstruct")
    scaled, outputs = literal(net, ROWS)
    assert loss == pytest.approx(float(np.mean((outputs - scaled) ** 2)), rel=1e-5)
    assert accuracy is None


def test_judge_takes_cross_entropy_and_hits() -> None:
    net = network("mlp").train()
    loss, accuracy = judge(net, iter(ROWS.split(5)), LABELS, "classify")
    _, outputs = literal(net, ROWS)
    surprise = [
        math.log(np.exp(row).sum()) - row[label] for row, label in zip(outputs, LABELS.tolist(), strict=True)
    ]
    assert loss == pytest.approx(np.mean(surprise), rel=1e-5)
    assert accuracy == pytest.approx(np.mean(outputs.argmax(1) == LABELS.numpy()))


def test_squared_errors_are_per_output_and_sample() -> None:
    net = network("autoencoder").train()
    found = squared_errors(net, iter(ROWS.split(5)))
    assert not found.requires_grad
    scaled, outputs = literal(net, ROWS)
    np.testing.assert_allclose(found.numpy(), (outputs - scaled) ** 2, atol=1e-5)


def test_judge_weighs_batches_by_their_size() -> None:
    for task, arch in (("classify", "mlp"), ("reconstruct", "autoencoder")):
        net = network(arch).eval()
        loss = LOSSES[task]  # type: ignore[index]  # one of the two tasks
        outputs = net(ROWS)
        once = loss(net, ROWS, outputs, LABELS)
        twice = loss(net, ROWS.repeat(2, 1), outputs.repeat(2, 1), LABELS.repeat(2))
        torch.testing.assert_close(once, twice)
        assert once.requires_grad


def test_hits_is_none_for_a_reconstruction() -> None:
    outputs = torch.tensor([[1.0, 2.0], [3.0, 0.0], [0.0, 1.0]])
    assert hits(outputs, torch.tensor([1, 1, 1]), "classify") == 2
    assert hits(outputs, torch.tensor([1, 1, 1]), "reconstruct") is None
