"""Gray pictures of any depth mean the same."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from emoprune.errors import BadData
from emoprune.features.extract import DESCRIBE
from emoprune.features.grayscale import unit_gray
from emoprune.features.registry import DESCRIPTORS
from tests.support.descriptor_pictures import noise


def test_the_whole_range_of_a_type_is_0_to_1() -> None:
    assert unit_gray(np.array([[0, 51, 255]], np.uint8)).tolist() == [[0, 0.2, 1]]
    assert unit_gray(np.array([[0, 13107, 65535]], np.uint16)).tolist() == [[0, 0.2, 1]]
    assert unit_gray(np.array([[0, 0.25, 1]], np.float32)).tolist() == [[0, 0.25, 1]]


@pytest.mark.parametrize("name", DESCRIBE)
def test_depth_makes_no_difference(name: str) -> None:
    describe = DESCRIBE[name]
    image = noise(24, 31)
    expected = describe(image)
    assert expected.any()
    np.testing.assert_array_equal(describe(image.astype(np.uint16) * 257), expected)
    np.testing.assert_array_equal(describe(image / 255), expected)


@pytest.mark.parametrize("name", DESCRIBE)
def test_a_picture_is_left_as_it_was(name: str) -> None:
    image = noise(20, 20) / 255
    before = image.copy()
    DESCRIBE[name](image)
    np.testing.assert_array_equal(image, before)


@pytest.mark.parametrize("name", DESCRIBE)
@pytest.mark.parametrize("shape", [(8, 8), (7, 90), (90, 7), (33, 64)])
def test_any_shape_gives_the_documented_count_of_numbers_that_sum_to_1(
    name: str, shape: tuple[int, int]
) -> None:
    found = DESCRIBE[name](noise(*shape))
    assert found.ndim == 1
    assert f"{len(found)} numbers" in DESCRIPTORS[name]
    assert found.min() >= 0
    assert found.sum() == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize(
    ("image", "says"),
    [
        (np.zeros((4, 4, 3), np.uint8), "4x4x3"),
        (np.zeros((0, 4), np.uint8), "0x4"),
        (np.zeros((4, 4), np.int64), "int64"),
        (np.zeros((4, 4), bool), "bool"),
        (np.full((4, 4), 1.5), "0..1"),
        (np.full((4, 4), -0.1), "0..1"),
        (np.full((4, 4), np.nan), "0..1"),
    ],
)
def test_unit_gray_refuses_other_arrays(image: NDArray[np.generic], says: str) -> None:
    with pytest.raises(BadData, match=says):
        unit_gray(image)
