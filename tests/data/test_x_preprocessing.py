"""Raw samples become network input as their Preprocess says."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.transforms.functional import normalize

from emoprune.data.image_dataset import standardise, to_input, unit_scale
from emoprune.data.types import Preprocess

RGB = Preprocess(kind="image", size=(4, 6), mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))


def raw_photos(n: int, channels: int = 3) -> torch.Tensor:
    generator = torch.Generator().manual_seed(n)
    return torch.randint(0, 256, (n, channels, 4, 6), dtype=torch.uint8, generator=generator)


@settings(deadline=None, max_examples=20)
@given(st.integers(1, 5))
def test_photos_are_scaled_and_standardised_as_torchvision_does(n: int) -> None:
    raw = raw_photos(n)
    wanted = normalize(raw.double() / 255, list(RGB.mean), list(RGB.std))
    found = to_input(raw, RGB)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), wanted, atol=1e-5, rtol=1e-5)


def test_black_is_0_and_white_is_1_after_scaling() -> None:
    scaled = unit_scale(torch.tensor([[[[0, 255]]]], dtype=torch.uint8))
    assert scaled.dtype == torch.float32
    assert scaled.flatten().tolist() == [0, 1]


def test_a_single_channel_is_standardised_by_its_own_pair() -> None:
    gray = Preprocess(kind="image", size=(4, 6), colour="gray", mean=(0.5,), std=(0.25,))
    found = to_input(torch.tensor([[[[0, 255]]]], dtype=torch.uint8), gray)
    assert found.shape == (1, 1, 1, 2)
    assert found.flatten().tolist() == [-2, 2]


def test_grey_photos_are_repeated_where_the_mean_has_three_channels() -> None:
    gray = raw_photos(2, channels=1)
    torch.testing.assert_close(to_input(gray, RGB), to_input(gray.expand(-1, 3, -1, -1), RGB))


def test_standardising_is_undone_by_multiplying_and_adding() -> None:
    images = torch.rand(3, 3, 4, 6, generator=torch.Generator().manual_seed(0))
    mean, std = (torch.tensor(numbers)[:, None, None] for numbers in (RGB.mean, RGB.std))
    torch.testing.assert_close(standardise(images, RGB) * std + mean, images)


def test_table_rows_go_in_as_they_are() -> None:
    rows = torch.tensor([[1.5, -300.0], [0.0, 7.25]], dtype=torch.float64)
    found = to_input(rows, Preprocess(kind="table"))
    assert found.dtype == torch.float32
    assert found.tolist() == rows.tolist()
