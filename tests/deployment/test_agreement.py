import math

import pytest
import torch
from PIL import Image
from torch import nn

from emoprune.data.image_dataset import Photos
from emoprune.data.types import Preprocess
from emoprune.deployment.agreement import Agreement, compare, compare_pictures
from emoprune.evaluation.model import Subset
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


SEEN = [(torch.Size([height, 6, 3]), torch.uint8, 2) for height in (4, 5)]


class OfRed(Engine):
    """Its probability of the first class is how red a picture is; it is never asked for what it is not."""

    def __init__(self, more: float) -> None:
        self.more = more

    def probabilities(self, batch: torch.Tensor, outputs: int) -> torch.Tensor:
        # pictures of one size at a time
        assert (batch.shape[1:], batch.dtype, outputs) in SEEN
        red = batch[:, 0, 0, 0] / 255 + self.more
        return torch.stack((red, 1 - red), 1)


class Red(nn.Module):
    """The same of network input, as logits."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        red = x[:, 0, 0, 0]
        return torch.stack((red, 1 - red), 1).log()


def of_red(*levels: int) -> Subset:
    """Pictures of one color each."""
    preprocess = Preprocess("image", (2, 2), "rgb", (0.0,) * 3, (1.0,) * 3)
    made = [Image.new("RGB", (6, 4 + place % 2), (level, 0, 0)) for place, level in enumerate(levels)]
    photos = Photos(made.__getitem__, [0] * len(made), preprocess)
    return Subset(photos, torch.arange(len(made)), preprocess, torch.device("cpu"))


def test_compare_pictures_gives_each_picture_as_it_is() -> None:
    part = of_red(10, 127, 240)
    same = compare_pictures(OfRed(0.0), Red(), part)
    assert (same.samples, same.changed) == (3, 0)
    assert same.difference < 1e-6
    found = compare_pictures(OfRed(0.01), Red(), part)
    assert found.difference == pytest.approx(0.01, abs=1e-6)
    # 127 of 255 is nearly a tie, but none within 1e-4
    assert (found.samples, found.changed) == (3, 1)


def test_compare_pictures_counts_what_is_no_number_as_infinite() -> None:
    found = compare_pictures(OfRed(math.nan), Red(), of_red(10, 20))
    assert found.difference == math.inf


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
