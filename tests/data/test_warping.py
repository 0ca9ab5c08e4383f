import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms.functional import rotate

from emoprune.data.augmentation import AUGMENTATIONS
from emoprune.data.warping import augment

GEOMETRY = ("flip", "rotate", "crop", "shift")
ALL = {name: kind.default for name, kind in AUGMENTATIONS.items()}

sizes = st.tuples(st.integers(8, 24), st.integers(8, 24))
seeds = st.integers(0, 2**31)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def noise(n: int, size: tuple[int, int], channels: int = 3) -> Tensor:
    return torch.rand(n, channels, *size, generator=seeded(1))


def ramps(n: int, size: tuple[int, int]) -> Tensor:
    """Images whose two channels hold each pixel's own column and row, so that the warp can be read off."""
    height, width = size
    across = torch.arange(width).expand(height, width) + 0.5
    down = torch.arange(height)[:, None].expand(height, width) + 0.5
    return torch.stack([across, down]).expand(n, 2, height, width) / max(size)


def maps_of(size: tuple[int, int], strengths: dict[str, float], seed: int, n: int = 32) -> Tensor:
    """(n, 2, 3): where each output pixel (column, row, 1) of each image was read, in pixels."""
    height, width = size
    warped = augment(ramps(n, size), strengths, generator=seeded(seed)) * max(size)
    x, y = width // 2 - 1, height // 2 - 1  # at the middle no edge is repeated
    here = warped[:, :, y, x].double()
    along, below = warped[:, :, y, x + 1].double() - here, warped[:, :, y + 1, x].double() - here
    return torch.stack([along, below, here - along * (x + 0.5) - below * (y + 0.5)], 2)


def angles_of(maps: Tensor) -> list[float]:
    return [math.degrees(math.atan2(row[1][0], row[0][0])) for row in maps.tolist()]


def test_augment_without_strengths_changes_nothing() -> None:
    images = noise(2, (5, 7))
    assert torch.equal(augment(images, {}, generator=seeded(0)), images)


@pytest.mark.parametrize("strengths", [{"crop": 1.0}, {"flip": 0.0}, {"rotate": 0.0}, {"shift": 0.0}])
def test_augment_with_strength_0_changes_nothing(strengths: dict[str, float]) -> None:
    images = noise(4, (9, 14))
    torch.testing.assert_close(augment(images, strengths, generator=seeded(0)), images, atol=1e-5, rtol=0)


@settings(deadline=None, max_examples=20)
@given(sizes, seeds)
def test_augment_mirrors_with_probability_1(size: tuple[int, int], seed: int) -> None:
    images = noise(3, size)
    found = augment(images, {"flip": 1.0}, generator=seeded(seed))
    torch.testing.assert_close(found, torch.flip(images, (3,)), atol=1e-5, rtol=0)


def test_augment_mirrors_a_quarter_with_probability_one_quarter() -> None:
    images = noise(1, (6, 6)).expand(800, -1, -1, -1)
    found = augment(images, {"flip": 0.25}, generator=seeded(0))
    mirrored = (found - torch.flip(images, (3,))).abs().amax((1, 2, 3)) < 1e-4
    left = (found - images).abs().amax((1, 2, 3)) < 1e-4
    assert bool((mirrored ^ left).all())
    assert 140 <= int(mirrored.sum()) <= 260  # five standard deviations


@settings(deadline=None, max_examples=20)
@given(sizes, st.floats(5, 180), seeds)
def test_augment_turns_both_ways_without_distortion(size: tuple[int, int], degrees: float, seed: int) -> None:
    maps = maps_of(size, {"rotate": degrees}, seed, n=64)
    turns = maps[:, :, :2]
    torch.testing.assert_close(turns @ turns.mT, torch.eye(2).double().expand(64, 2, 2), atol=1e-3, rtol=0)
    assert bool((torch.linalg.det(turns) > 0).all())
    middle = torch.tensor([size[1] / 2, size[0] / 2]).double()
    torch.testing.assert_close((turns @ middle) + maps[:, :, 2], middle.expand(64, 2), atol=1e-2, rtol=0)
    angles = angles_of(maps)
    assert max(map(abs, angles)) <= degrees + 0.1
    assert min(angles) < -degrees / 2
    assert max(angles) > degrees / 2


@pytest.mark.parametrize("size", [(40, 40), (36, 60), (60, 36)])
def test_augment_turns_as_torchvision_does(size: tuple[int, int]) -> None:
    n, height, width = 4, *size
    coarse = noise(n, (6, 6))
    smooth = torch.nn.functional.interpolate(coarse, size=size, mode="bicubic")
    found = augment(smooth, {"rotate": 35.0}, generator=seeded(3))
    for image, result, angle in zip(
        smooth, found, angles_of(maps_of(size, {"rotate": 35.0}, 3, n)), strict=True
    ):
        assert abs(angle) > 1
        wanted = rotate(image, angle, InterpolationMode.BILINEAR)
        down, across = np.mgrid[:height, :width] + 0.5
        # the inscribed circle never leaves the image, so what either does about the outside is not seen
        inside = np.hypot(down - height / 2, across - width / 2) < min(size) / 2 - 1
        assert float((result - wanted).abs()[:, torch.from_numpy(inside)].max()) < 0.01


@settings(deadline=None, max_examples=20)
@given(sizes, st.floats(0.3, 1), seeds)
def test_augment_crops_squares_inside_the_image(size: tuple[int, int], share: float, seed: int) -> None:
    height, width = size
    for across, down in maps_of(size, {"crop": share}, seed).tolist():
        zoom = across[0]
        assert share - 1e-3 <= zoom <= 1 + 1e-3
        assert down[1] == pytest.approx(zoom, abs=1e-3)
        assert (across[1], down[0]) == pytest.approx((0, 0), abs=1e-3)
        assert -0.02 <= across[2] <= width * (1 - zoom) + 0.02
        assert -0.02 <= down[2] <= height * (1 - zoom) + 0.02


@settings(deadline=None, max_examples=20)
@given(sizes, st.floats(0.05, 0.25), seeds)  # farther, and the middle would show the repeated edge
def test_augment_shifts_both_ways_up_to_its_fraction(size: tuple[int, int], share: float, seed: int) -> None:
    height, width = size
    maps = maps_of(size, {"shift": share}, seed, n=64)
    torch.testing.assert_close(maps[:, :, :2], torch.eye(2).double().expand(64, 2, 2), atol=1e-3, rtol=0)
    for moved, side in ((maps[:, 0, 2], width), (maps[:, 1, 2], height)):
        assert float(moved.abs().max()) <= share * side + 0.02
        assert float(moved.min()) < -share * side / 3
        assert float(moved.max()) > share * side / 3


def test_augment_repeats_the_edge() -> None:
    images = torch.zeros(16, 1, 10, 10)
    images[:, :, :, :5], images[:, :, :, 5:] = 0.25, 0.75
    found = augment(images, {"shift": 0.4}, generator=seeded(5))
    assert float(found[..., 0].max()) <= 0.75
    torch.testing.assert_close(found[..., 0].clamp(max=0.25), torch.full((16, 1, 10), 0.25))


@settings(deadline=None, max_examples=10)
@given(sizes, seeds)
def test_augment_warps_as_pillow_does(size: tuple[int, int], seed: int) -> None:
    strengths = {name: ALL[name] for name in GEOMETRY}
    image = torch.nn.functional.interpolate(noise(1, (4, 4), 1), size=size, mode="bilinear")
    found = augment(image, strengths, generator=seeded(seed))[0, 0]
    across, down = maps_of(size, strengths, seed, n=1)[0].tolist()
    photo = Image.fromarray(image[0, 0].numpy())
    wanted = photo.transform(
        photo.size, Image.Transform.AFFINE, (*across, *down), Image.Resampling.BILINEAR, fillcolor=-1
    )
    seen = torch.from_numpy(np.array(wanted))
    inside = (
        torch.nn.functional.max_pool2d(-seen[None], 3, 1, 1)[0] < 0
    )  # away from where Pillow sees nothing
    assert float(((seen - found).abs() * inside).max()) < 0.02


@settings(deadline=None, max_examples=25)
@given(sizes, st.sets(st.sampled_from(sorted(AUGMENTATIONS)), min_size=1), seeds)
def test_augment_keeps_values_within_0_and_1(size: tuple[int, int], names: set[str], seed: int) -> None:
    images = noise(3, size).round()
    found = augment(images, {name: AUGMENTATIONS[name].up_to for name in names}, generator=seeded(seed))
    assert found.shape == images.shape
    assert float(found.min()) >= -1e-6
    assert float(found.max()) <= 1 + 1e-6


def test_augment_adds_one_brightness_per_image() -> None:
    images = 0.4 + 0.2 * noise(64, (5, 6))
    offsets = (augment(images, {"brightness": 0.3}, generator=seeded(0)) - images).flatten(1)
    torch.testing.assert_close(offsets, offsets[:, :1].expand_as(offsets), atol=1e-6, rtol=0)
    assert float(offsets.abs().max()) <= 0.3 + 1e-6
    assert float(offsets.min()) < -0.15
    assert float(offsets.max()) > 0.15


def test_augment_scales_contrast_about_the_mean() -> None:
    images = 0.4 + 0.2 * noise(64, (5, 6))
    found = augment(images, {"contrast": 0.5}, generator=seeded(0)).flatten(1)
    before = images.flatten(1)
    torch.testing.assert_close(found.mean(1), before.mean(1))
    factors = found.std(1) / before.std(1)
    torch.testing.assert_close(
        found - found.mean(1, keepdim=True), (before - before.mean(1, keepdim=True)) * factors[:, None]
    )
    assert 0.5 - 1e-4 <= float(factors.min()) < 0.75
    assert 1.25 < float(factors.max()) <= 1.5 + 1e-4


def test_augment_moves_no_pixel_for_contrast_and_brightness() -> None:
    images = (noise(4, (6, 6)) > 0.5).float() * 0.2 + 0.4
    found = augment(images, {"contrast": 0.5, "brightness": 0.2}, generator=seeded(1))
    for image, result in zip(images, found, strict=True):
        assert len(result.unique(sorted=True)) == 2
        assert bool(((result > result.mean()) == (image > 0.5)).all())


def test_augment_follows_the_generator() -> None:
    images = noise(4, (8, 11))
    first = augment(images, ALL, generator=seeded(7))
    assert torch.equal(first, augment(images, ALL, generator=seeded(7)))
    assert not torch.equal(first, augment(images, ALL, generator=seeded(8)))


def test_augment_changes_every_image_differently() -> None:
    images = noise(1, (8, 8)).expand(6, -1, -1, -1)
    found = augment(images, ALL, generator=seeded(7)).flatten(1)
    assert float(torch.nn.functional.pdist(found).min()) > 0.01


def test_augment_changes_neither_images_nor_the_global_generator() -> None:
    images = noise(2, (8, 8))
    before, state = images.clone(), torch.random.get_rng_state()
    augment(images, ALL, generator=seeded(7))
    assert torch.equal(images, before)
    assert torch.equal(torch.random.get_rng_state(), state)
