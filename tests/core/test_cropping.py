"""Faces cut out of photos: square, where the box is, never squashed."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from emoprune.core.cropping import LARGEST, crop_face
from emoprune.errors import BadImage
from emoprune.records import Box

WIDTH, HEIGHT = 60, 40


def photo(width: int = WIDTH, height: int = HEIGHT) -> Image.Image:
    """Every pixel another colour: its column in red, its row in green."""
    down, across = np.mgrid[:height, :width]
    return Image.fromarray(np.stack([across * 4, down * 6, across + down], 2).astype(np.uint8))


def pixels(image: Image.Image) -> NDArray[np.uint8]:
    return np.asarray(image)


def looked_up(image: Image.Image, left: int, top: int, side: int) -> NDArray[np.uint8]:
    """The square pixel by pixel, with what lies outside taken from the nearest pixel of the edge."""
    source = pixels(image)
    down = np.clip(np.arange(top, top + side), 0, source.shape[0] - 1)
    across = np.clip(np.arange(left, left + side), 0, source.shape[1] - 1)
    return source[down][:, across]


def test_a_square_box_at_its_own_size_is_cut_out_pixel_by_pixel() -> None:
    found = crop_face(photo(), Box(10, 5, 30, 25), margin=0, size=20)
    np.testing.assert_array_equal(pixels(found), pixels(photo())[5:25, 10:30])


def test_a_margin_widens_the_square_about_its_centre_by_that_share() -> None:
    found = crop_face(photo(), Box(20, 15, 30, 25), margin=0.6, size=16)
    np.testing.assert_array_equal(pixels(found), pixels(photo())[12:28, 17:33])


@pytest.mark.parametrize(
    ("box", "left", "top"), [(Box(20, 10, 40, 14), 20, 2), (Box(28, 10, 32, 30), 20, 10)]
)
def test_the_square_has_the_longer_side_of_the_box_and_its_centre(box: Box, left: int, top: int) -> None:
    found = crop_face(photo(), box, margin=0, size=20)
    np.testing.assert_array_equal(pixels(found), looked_up(photo(), left, top, 20))


@settings(deadline=None, max_examples=60)
@given(st.integers(0, WIDTH - 2), st.integers(0, HEIGHT - 2), st.integers(2, 40), st.integers(0, 20))
def test_a_square_that_leaves_the_photo_on_any_side_repeats_its_edge(
    left: int, top: int, side: int, beyond: int
) -> None:
    side = min(side, WIDTH - left, HEIGHT - top)
    whole = side + 2 * beyond
    box = Box(left, top, left + side, top + side)
    found = crop_face(photo(), box, margin=2 * beyond / side, size=whole)
    wanted = looked_up(photo(), left - beyond, top - beyond, whole).astype(np.int16)
    # the margin is a share, so its pixels can be off by a rounding error that resampling sees
    assert np.abs(pixels(found).astype(np.int16) - wanted).max() <= 1


@pytest.mark.parametrize(
    ("box", "edge", "row", "column"),
    [
        (Box(-20, 10, 20, 30), (slice(None), 0), slice(12, 28), slice(0, 4)),
        (Box(40, 10, 80, 30), (slice(None), -1), slice(12, 28), slice(-4, None)),
        (Box(20, -20, 40, 20), (0, slice(None)), slice(0, 4), slice(12, 28)),
        (Box(20, 20, 40, 60), (-1, slice(None)), slice(-4, None), slice(12, 28)),
    ],
)
def test_a_box_that_leaves_the_photo_shows_the_repeated_edge(
    box: Box, edge: tuple[slice | int, ...], row: slice, column: slice
) -> None:
    striped = np.full((HEIGHT, WIDTH, 3), 200, dtype=np.uint8)
    for border in ((0, slice(None)), (-1, slice(None)), (slice(None), 0), (slice(None), -1)):
        striped[border] = 10
    striped[edge] = 90
    found = pixels(crop_face(Image.fromarray(striped), box, margin=1, size=40))
    np.testing.assert_array_equal(found[row, column], 90)


@pytest.mark.parametrize(
    "box",
    [
        Box(-20, 5, 0, 25),
        Box(-20, 5, -1, 25),
        Box(WIDTH, 5, 80, 25),
        Box(5, -9, 25, 0),
        Box(5, HEIGHT, 25, 90),
    ],
)
def test_a_box_outside_the_photo_is_a_bad_image(box: Box) -> None:
    with pytest.raises(BadImage, match="outside the photo of 60x40"):
        crop_face(photo(), box, margin=0.5, size=8)


@settings(deadline=None, max_examples=60)
@given(
    st.floats(-100, WIDTH - 0.1),
    st.floats(-100, HEIGHT - 0.1),
    st.floats(0.1, 300),
    st.floats(0.1, 300),
    st.floats(0, 3),
    st.integers(1, 50),
)
def test_any_box_that_touches_the_photo_gives_a_picture_of_the_size_asked_for(
    x: float, y: float, across: float, down: float, margin: float, size: int
) -> None:
    box = Box(x, y, max(x + across, 0.1), max(y + down, 0.1))
    assume(max(box.x2 - box.x1, box.y2 - box.y1) * (1 + margin) <= LARGEST * max(WIDTH, HEIGHT))
    found = crop_face(photo(), box, margin=margin, size=size)
    assert found.size == (size, size)
    assert found.mode == "RGB"


@settings(deadline=None, max_examples=40)
@given(st.floats(15, 25), st.floats(25, 35), st.floats(4, 12), st.floats(4, 12), st.floats(0, 1.5))
def test_the_centre_of_the_box_is_the_centre_of_the_picture(
    y: float, x: float, half_width: float, half_height: float, margin: float
) -> None:
    box = Box(x - half_width, y - half_height, x + half_width, y + half_height)
    found = pixels(crop_face(photo(), box, margin=margin, size=32)).astype(np.float64)
    middle = found[12:20, 12:20].mean((0, 1))  # the ramps are straight, so their mean is their centre
    assert middle[0] / 4 + 0.5 == pytest.approx(x, abs=0.6)
    assert middle[1] / 6 + 0.5 == pytest.approx(y, abs=0.6)


@pytest.mark.parametrize("box", [Box(70, 40, 130, 160), Box(40, 80, 160, 120), Box(60.3, 49.6, 139.8, 148.2)])
@pytest.mark.parametrize("margin", [0.0, 0.35, 2.5])
def test_a_drawn_circle_stays_a_circle(box: Box, margin: float) -> None:
    scene = Image.new("RGB", (200, 200))
    ImageDraw.Draw(scene).ellipse((80, 80, 120, 120), fill="white")
    found = pixels(crop_face(scene, box, margin=margin, size=120))[..., 0] > 127
    height, width = np.flatnonzero(found.any(1)), np.flatnonzero(found.any(0))
    assert np.ptp(height) == pytest.approx(np.ptp(width), abs=1.5)
    side = max(box.x2 - box.x1, box.y2 - box.y1) * (1 + margin)
    assert np.ptp(width) == pytest.approx(40 * 120 / side, abs=2)


def test_a_box_far_larger_than_the_photo_is_a_bad_image_and_costs_no_memory() -> None:
    tracemalloc.start()
    with pytest.raises(BadImage, match="far larger"):
        crop_face(photo(), Box(-1e9, -1e9, 1e9, 1e9), margin=0.5, size=16)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1_000_000


def test_a_face_that_the_photo_cuts_off_stays_in_the_middle() -> None:
    scene = Image.new("RGB", (60, 40), "black")
    scene.paste((255, 255, 255), (0, 10, 10, 30))  # the right half of a white square, cut off at the left
    found = pixels(crop_face(scene, Box(-10, 10, 10, 30), margin=1, size=40)).astype(np.float64)
    # its edge is repeated outwards, so the white reaches from the left to three quarters of the width
    row = found[20, :, 0]
    assert row[:28].min() > 200
    assert row[32:].max() < 50


def test_the_photo_stays_as_it_was() -> None:
    scene = photo()
    crop_face(scene, Box(-10, -10, 30, 30), margin=1, size=8)
    np.testing.assert_array_equal(pixels(scene), pixels(photo()))
