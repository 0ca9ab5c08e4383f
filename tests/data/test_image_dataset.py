"""From pictures to batches: resizing, gray, and the cache."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch.nn import functional as F
from torchvision.transforms.functional import normalize

from emoprune.data.image_dataset import (
    IN_MEMORY,
    Kept,
    Photos,
    standardize,
    to_array,
    to_input,
    to_pictures,
    unit_scale,
)
from emoprune.data.types import Preprocess
from emoprune.errors import BadImage
from emoprune.io.pictures import images

RGB = Preprocess("image", (6, 8), "rgb", (0.5,) * 3, (0.5,) * 3)
GRAY = Preprocess("image", (6, 8), "gray", (0.5,), (0.5,))


def noise(height: int, width: int, *, seed: int = 0) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def photos_of(paths: list[Path], labels: list[int], preprocess: Preprocess, kept: Kept = IN_MEMORY) -> Photos:
    return Photos(lambda index: images.read_photo(paths[index]), labels, preprocess, kept=kept)


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    found = [tmp_path / f"{index}.png" for index in range(5)]
    for index, path in enumerate(found):
        noise(10 + index, 12, seed=index).save(path)
    return found


# from 2 on: torch itself goes astray where a side of one pixel makes its memory layout ambiguous
@given(st.integers(2, 40), st.integers(2, 40), st.integers(2, 30), st.integers(2, 30))
@settings(max_examples=60, deadline=None)
def test_to_array_averages_as_torch_does(height: int, width: int, new_height: int, new_width: int) -> None:
    photo = noise(height, width)
    preprocess = Preprocess("image", (new_height, new_width), "rgb", (0.5,) * 3, (0.5,) * 3)
    ours = to_array(photo, preprocess)
    source = torch.from_numpy(np.array(photo)).permute(2, 0, 1)[None].float().contiguous()
    theirs = F.interpolate(source, (new_height, new_width), mode="bilinear", antialias=True)[0]
    assert ours.dtype == torch.uint8
    assert tuple(ours.shape) == (3, new_height, new_width)
    # rounded to whole numbers after rows and again after columns
    assert float((ours.float() - theirs).abs().max()) < 1.01


def test_to_array_does_not_change_a_picture_of_the_right_size() -> None:
    photo = noise(6, 8)
    assert np.array_equal(to_array(photo, RGB).permute(1, 2, 0).numpy(), np.asarray(photo))


def test_to_array_makes_gray_from_luma() -> None:
    photo = noise(6, 8)
    luma = np.asarray(photo).astype(float) @ np.array([0.299, 0.587, 0.114])
    found = to_array(photo, GRAY)
    assert tuple(found.shape) == (1, 6, 8)
    assert np.abs(found[0].numpy() - luma).max() <= 1.0


def test_to_array_repeats_gray_for_three_channels() -> None:
    photo = noise(6, 8)
    three = to_array(photo, Preprocess("image", (6, 8), "gray", (0.5,) * 3, (0.5,) * 3))
    assert torch.equal(three, to_array(photo, GRAY).repeat(3, 1, 1))


def test_batch_returns_pictures_in_the_order_of_indices(paths: list[Path]) -> None:
    photos = photos_of(paths, [0, 1, 0, 1, 2], RGB)
    batch = photos.batch(torch.tensor([3, 0, 3]))
    assert batch.dtype == torch.uint8
    assert tuple(batch.shape) == (3, 3, 6, 8)
    for row, index in enumerate((3, 0, 3)):
        assert torch.equal(batch[row], to_array(images.read_photo(paths[index]), RGB))
    assert photos.labels.tolist() == [0, 1, 0, 1, 2]
    assert photos.labels.dtype == torch.int64


def test_batch_is_the_same_with_and_without_cache(paths: list[Path]) -> None:
    everything = torch.arange(len(paths))
    cached = photos_of(paths, [0] * 5, GRAY)
    uncached = photos_of(paths, [0] * 5, GRAY, kept=Kept(most=0))
    first = cached.batch(everything)
    assert torch.equal(first, uncached.batch(everything))
    paths[2].unlink()
    assert torch.equal(cached.batch(everything), first)
    with pytest.raises(BadImage, match="no such file"):
        uncached.batch(everything)


def test_pictures_are_kept_in_a_file_that_a_later_run_reads(paths: list[Path], tmp_path: Path) -> None:
    everything, kept = torch.arange(len(paths)), Kept(most=0, file=tmp_path / "pictures.npy")
    first = photos_of(paths, [0] * 5, GRAY, kept=kept).batch(everything)
    assert torch.equal(first, photos_of(paths, [0] * 5, GRAY).batch(everything))
    for path in paths:
        path.unlink()
    assert torch.equal(photos_of(paths, [0] * 5, GRAY, kept=kept).batch(everything), first)


def test_a_broken_picture_leaves_no_file(paths: list[Path], tmp_path: Path) -> None:
    paths[3].write_bytes(b"no picture")
    with pytest.raises(BadImage):
        photos_of(paths, [0] * 5, GRAY, kept=Kept(most=0, file=tmp_path / "pictures.npy"))
    assert not list(tmp_path.glob("*.npy"))
    assert not list(tmp_path.glob(".*"))


def test_batch_does_not_share_memory_with_the_cache(paths: list[Path]) -> None:
    photos = photos_of(paths, [0] * 5, RGB)
    batch = photos.batch(torch.tensor([1]))
    kept = batch.clone()
    batch.zero_()
    assert torch.equal(photos.batch(torch.tensor([1])), kept)


def test_batch_names_a_broken_picture(paths: list[Path]) -> None:
    paths[3].write_bytes(b"text")
    photos = photos_of(paths, [0] * 5, RGB)
    assert len(photos.batch(torch.tensor([0, 1]))) == 2
    with pytest.raises(BadImage, match="not an image") as caught:
        photos.batch(torch.arange(5))
    assert caught.value.place == str(paths[3])


RGB_PREPROCESSING = Preprocess(
    kind="image", size=(4, 6), mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)
)


def raw_photos(n: int, channels: int = 3) -> torch.Tensor:
    generator = torch.Generator().manual_seed(n)
    return torch.randint(0, 256, (n, channels, 4, 6), dtype=torch.uint8, generator=generator)


@settings(deadline=None, max_examples=20)
@given(st.integers(1, 5))
def test_to_input_standardizes_as_torchvision_does(n: int) -> None:
    raw = raw_photos(n)
    wanted = normalize(raw.double() / 255, list(RGB_PREPROCESSING.mean), list(RGB_PREPROCESSING.std))
    found = to_input(raw, RGB_PREPROCESSING)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), wanted, atol=1e-5, rtol=1e-5)


def test_unit_scale_maps_black_to_0_and_white_to_1() -> None:
    scaled = unit_scale(torch.tensor([[[[0, 255]]]], dtype=torch.uint8))
    assert scaled.dtype == torch.float32
    assert scaled.flatten().tolist() == [0, 1]


def test_standardize_uses_one_mean_and_std_for_one_channel() -> None:
    gray = Preprocess(kind="image", size=(4, 6), color="gray", mean=(0.5,), std=(0.25,))
    found = to_input(torch.tensor([[[[0, 255]]]], dtype=torch.uint8), gray)
    assert found.shape == (1, 1, 1, 2)
    assert found.flatten().tolist() == [-2, 2]


def test_standardize_repeats_gray_for_three_means() -> None:
    gray = raw_photos(2, channels=1)
    torch.testing.assert_close(
        to_input(gray, RGB_PREPROCESSING), to_input(gray.expand(-1, 3, -1, -1), RGB_PREPROCESSING)
    )


def test_standardize_can_be_undone() -> None:
    images = torch.rand(3, 3, 4, 6, generator=torch.Generator().manual_seed(0))
    mean, std = (
        torch.tensor(numbers)[:, None, None] for numbers in (RGB_PREPROCESSING.mean, RGB_PREPROCESSING.std)
    )
    torch.testing.assert_close(standardize(images, RGB_PREPROCESSING) * std + mean, images)


def test_to_input_does_not_change_table_rows() -> None:
    rows = torch.tensor([[1.5, -300.0], [0.0, 7.25]], dtype=torch.float64)
    found = to_input(rows, Preprocess(kind="table"))
    assert found.dtype == torch.float32
    assert found.tolist() == rows.tolist()


@pytest.mark.parametrize("preprocess", [RGB, GRAY, RGB_PREPROCESSING], ids=["rgb", "gray", "imagenet"])
def test_to_pictures_undoes_to_input(preprocess: Preprocess) -> None:
    every = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 16, 16)
    raw = torch.cat([every.roll(shift, 3) for shift in range(preprocess.channels)], 1)
    found = to_pictures(to_input(raw, preprocess), preprocess)
    assert (found.shape, found.dtype) == (torch.Size([1, 16, 16, 3]), torch.uint8)
    assert torch.equal(found, raw.expand(1, 3, 16, 16).permute(0, 2, 3, 1))
