import math

import pytest
import torch
from torch import nn

from emoprune.deployment.agreement import Agreement, compare
from emoprune.io.onnx_engine import Engine
from tests.support.onnx_networks import exported_by


def identity(scale: float) -> nn.Module:
    """A network whose logits are `scale` times its input."""
    net = nn.Linear(2, 2, bias=False)
    with torch.no_grad():
        net.weight.copy_(scale * torch.eye(2))
    return net.eval()


def passing() -> Engine:
    """A file whose logits are its input."""
    return Engine(exported_by(nn.Identity().eval(), torch.zeros(2, 2)))


def test_compare_measures_in_units_of_the_logits_and_names_the_worst_sample() -> None:
    engine = passing()
    batches = [torch.tensor([[8.0, 2.0], [0.5, 0.25]]), torch.tensor([[-1000.0, 999.5]])]
    same = compare(engine, identity(1.0), iter(batches))
    assert same == Agreement(samples=3)
    # the second sample is compared with 1, which is more than its own size
    found = compare(engine, identity(1.01), iter(batches))
    assert found.difference == pytest.approx(0.01 / 1.01, rel=1e-4)
    assert (found.samples, found.worst, found.changed) == (3, 2, 0)
    assert found.absolute == pytest.approx(10, rel=1e-4)
    assert compare(engine, identity(1.01), iter(batches[:1])).worst == 0
    assert compare(engine, identity(1.01), iter([])) == Agreement()


def test_compare_counts_samples_of_another_class() -> None:
    engine = passing()
    batch = torch.tensor([[1.0, 2.0], [2.0, 1.0], [3.0, -1.0]])
    assert compare(engine, identity(-1.0), [batch]).changed == 3


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_compare_takes_what_is_not_finite_for_an_infinite_difference(value: float) -> None:
    engine = passing()
    broken = torch.tensor([[1.0, 2.0], [value, 2.0], [1.0, 2.0]])
    found = compare(engine, identity(1.0), [broken[:1], broken])
    assert (found.difference, found.worst) == (math.inf, 2)
