"""Drawn faces have the contrast and the brightness of the images that a batch norm has seen."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from emoprune.data.image_dataset import standardize
from emoprune.data.types import Preprocess
from emoprune.evaluation.drawn_data import COUNT, drawn_faces, matched

USUAL = Preprocess("image", (12, 12), "rgb", (0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
GRAY = replace(USUAL, color="gray", mean=(0.5,), std=(0.25,))
OTHER = {
    "rgb": replace(USUAL, mean=(0.4, 0.55, 0.7), std=(0.1, 0.1, 0.1)),
    "gray": replace(GRAY, mean=(0.3,), std=(0.4,)),
}


def pictures(channels: int) -> Tensor:
    """Images (60, channels, 12, 12) in 0..1."""
    found = torch.rand(60, 3, 12, 12, generator=torch.Generator().manual_seed(0))
    return found[:, :channels]


def net_that_has_seen(images: Tensor) -> nn.Module:
    """A network whose batch norm has the moments of what its first layer makes of some input."""
    torch.manual_seed(1)
    first, norm = nn.Conv2d(images.shape[1], 16, 3, stride=2), nn.BatchNorm2d(16)
    with torch.no_grad():
        seen = first(images)
        norm.running_mean, norm.running_var = seen.mean((0, 2, 3)), seen.var((0, 2, 3))
    return nn.Sequential(nn.Identity(), first, norm, nn.ReLU(), nn.Conv2d(16, 4, 3), nn.BatchNorm2d(4)).eval()


@pytest.mark.parametrize("usual", [USUAL, GRAY])
def test_matched_finds_the_preprocess_of_what_the_norm_has_seen(usual: Preprocess) -> None:
    wanted, given = OTHER[usual.color], pictures(usual.channels)
    net = net_that_has_seen(standardize(given, wanted))
    found = matched(net, usual, standardize(given, usual))
    assert found.mean == pytest.approx(wanted.mean, abs=1e-4)
    assert found.std == pytest.approx(wanted.std, rel=1e-4)
    assert replace(found, mean=usual.mean, std=usual.std) == usual


def test_matched_has_one_brightness_for_the_three_channels_of_a_gray_picture() -> None:
    usual = replace(USUAL, color="gray")
    given = pictures(1).expand(-1, 3, -1, -1)
    wanted = replace(usual, mean=(0.3, 0.3, 0.3), std=(0.4, 0.4, 0.4))
    net = net_that_has_seen(standardize(given, wanted))
    assert matched(net, usual, standardize(given, usual)).mean == pytest.approx(wanted.mean, abs=1e-4)


@pytest.mark.parametrize(
    "net",
    [
        nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()),
        nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, track_running_stats=False)),
        nn.Sequential(nn.Flatten(), nn.Linear(432, 4), nn.BatchNorm1d(4)),
    ],
)
def test_matched_changes_nothing_where_no_norm_knows_the_images(net: nn.Module) -> None:
    assert matched(net.eval(), USUAL, standardize(pictures(3), USUAL)) == USUAL


def test_matched_stays_finite_where_channels_are_dead() -> None:
    net = net_that_has_seen(standardize(pictures(3), USUAL))
    with torch.no_grad():
        net.get_parameter("1.weight")[:5] = 0
        net.get_buffer("2.running_var")[3:9] = 0
    found = matched(net, USUAL, standardize(pictures(3), USUAL))
    assert found.mean == pytest.approx(USUAL.mean, abs=1e-4)
    assert found.std == pytest.approx(USUAL.std, rel=1e-4)


def test_drawn_faces_are_as_many_as_asked_and_the_same_for_a_seed() -> None:
    net = nn.Conv2d(3, 4, 3).eval()
    one, same, other = (torch.cat(list(drawn_faces(net, USUAL, 9, seed=seed).inputs())) for seed in (1, 1, 2))
    assert one.shape == (9, 3, 12, 12)
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    assert len(drawn_faces(net, USUAL, 10**6, seed=1)) == COUNT
