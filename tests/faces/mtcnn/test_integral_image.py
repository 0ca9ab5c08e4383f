import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from torch.nn.functional import interpolate

from emoprune.faces.mtcnn.boxes import cut
from emoprune.faces.mtcnn.integral_image import NARROW, WIDE, AreaSums
from emoprune.faces.mtcnn.pyramid import Level


def noise(width: int, height: int) -> Image.Image:
    pixels = np.random.default_rng(width * height).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def shrunk(image: Image.Image, shape: tuple[int, int]) -> NDArray[np.float32]:
    """What facenet-pytorch makes of a picture before a network sees it: (rows, columns, 3)."""
    pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].float()
    found = (interpolate(pixels, size=shape, mode="area") - 127.5) * 0.0078125
    return np.asarray(found[0].permute(1, 2, 0))


def level_rows(level: Level, sums: AreaSums) -> NDArray[np.float32]:
    return np.concatenate([level.rows(sums, strip) for strip in sums.strips()])


# rectangles of at most so many pixels, which decides how sums are packed
PACKINGS = pytest.mark.parametrize("largest", [NARROW.largest, WIDE.largest])


@PACKINGS
@pytest.mark.parametrize("scale", [0.6, 0.6 * 0.709, 0.13, 0.05])
@pytest.mark.parametrize("size", [(301, 240), (97, 333)])
def test_a_level_is_torchs_area_interpolation_to_the_last_bit(
    size: tuple[int, int], scale: float, largest: int
) -> None:
    image, level = noise(*size), Level(size, scale)
    assert np.array_equal(level_rows(level, AreaSums(image, largest)), shrunk(image, level.shape))


@PACKINGS
@pytest.mark.parametrize("side", [24, 48])
def test_a_crop_is_torchs_area_interpolation_to_the_last_bit(side: int, largest: int) -> None:
    image = noise(301, 240)
    windows = np.array(
        [[0, 0, 301, 240], [7, 11, 31, 35], [290, 3, 301, 240], [5, 5, 6, 7], [9, 90, 211, 97]]
    )
    found = cut(AreaSums(image, largest), windows, side)
    for picture, window in zip(found, windows, strict=True):
        assert np.array_equal(picture, shrunk(image.crop(tuple(window)), (side, side)))


@PACKINGS
def test_sums_that_overflow_their_table_are_still_right(largest: int) -> None:
    # a white photo's sums run over the lanes of the narrow packing fourteen times
    image = Image.new("RGB", (350, 340), "white")
    assert np.all(level_rows(Level(image.size, 0.1), AreaSums(image, largest)) == np.float32(127.5 / 128))


@PACKINGS
@given(
    st.tuples(st.integers(20, 90), st.integers(20, 90)),
    st.integers(1, 4000),
    st.sampled_from((0.6, 0.4254, 0.3016)),
)
@settings(max_examples=25)
def test_strips_change_nothing(largest: int, size: tuple[int, int], strip: int, scale: float) -> None:
    image = noise(*size)
    whole, parts = AreaSums(image, largest), AreaSums(image, largest, strip_pixels=strip)
    assert np.array_equal(level_rows(Level(size, scale), whole), level_rows(Level(size, scale), parts))
    windows = np.array([[2, 3, 17, 20], [0, 0, *size], [size[0] - 1, size[1] - 9, *size]])
    assert np.array_equal(cut(whole, windows, 24), cut(parts, windows, 24))


def test_no_window_gives_no_picture() -> None:
    for strip in (10**6, 100):
        sums = AreaSums(noise(40, 30), 100, strip_pixels=strip)
        assert cut(sums, np.empty((0, 4), dtype=np.int64), 24).shape == (0, 24, 24, 3)
