"""Faces cut out of photos: square, at the box, in proportion."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from emoprune.choices import Pad
from emoprune.errors import BadImage
from emoprune.faces import cropping
from emoprune.faces.cropping import LARGEST
from emoprune.faces.types import Box

WIDTH, HEIGHT = 60, 40


def photo(width: int = WIDTH, height: int = HEIGHT) -> Image.Image:
    """Every pixel another color: its column in red, its row in green."""
    down, across = np.mgrid[:height, :width]
    return Image.fromarray(np.stack([across * 4, down * 6, across + down], 2).astype(np.uint8))


def pixels(image: Image.Image) -> NDArray[np.uint8]:
    return np.asarray(image)


def crop_face(image: Image.Image, box: Box, *, margin: float, size: int, pad: Pad = "reflect") -> Image.Image:
    return cropping.crop_face(image, box, margin=margin, size=size, pad=pad)


def mirrored(place: int, length: int) -> int:
    """Where a line of `length` shows what its mirrors at both ends show at `place`."""
    while not 0 <= place < length:
        place = -1 - place if place < 0 else 2 * length - 1 - place
    return place


def looked_up(image: Image.Image, left: int, top: int, side: int, pad: Pad = "reflect") -> NDArray[np.uint8]:
    """The square pixel by pixel, with what lies outside taken from the mirrored photo, or black."""
    source, found = pixels(image), np.zeros((side, side, 3), dtype=np.uint8)
    for row in range(side):
        for column in range(side):
            x, y = left + column, top + row
            inside = 0 <= x < image.width and 0 <= y < image.height
            if inside or pad == "reflect":
                found[row, column] = source[mirrored(y, image.height), mirrored(x, image.width)]
    return found


def test_a_square_box_at_its_own_size_is_cut_out_pixel_by_pixel() -> None:
    found = crop_face(photo(), Box(10, 5, 30, 25), margin=0, size=20)
    np.testing.assert_array_equal(pixels(found), pixels(photo())[5:25, 10:30])


def test_a_margin_widens_the_square_about_its_center_by_that_share() -> None:
    found = crop_face(photo(), Box(20, 15, 30, 25), margin=0.6, size=16)
    np.testing.assert_array_equal(pixels(found), pixels(photo())[12:28, 17:33])


@pytest.mark.parametrize(
    ("box", "left", "top"), [(Box(20, 10, 40, 14), 20, 2), (Box(28, 10, 32, 30), 20, 10)]
)
def test_the_square_has_the_longer_side_of_the_box_and_its_center(box: Box, left: int, top: int) -> None:
    found = crop_face(photo(), box, margin=0, size=20)
    np.testing.assert_array_equal(pixels(found), looked_up(photo(), left, top, 20))


@settings(deadline=None, max_examples=60)
@given(
    st.integers(0, WIDTH - 2),
    st.integers(0, HEIGHT - 2),
    st.integers(2, 40),
    st.integers(0, 20),
    st.sampled_from(["reflect", "constant"]),
)
def test_what_leaves_the_photo_on_any_side_is_mirrored_or_black(
    left: int, top: int, side: int, beyond: int, pad: Pad
) -> None:
    side = min(side, WIDTH - left, HEIGHT - top)
    whole = side + 2 * beyond
    box = Box(left, top, left + side, top + side)
    found = crop_face(photo(), box, margin=2 * beyond / side, size=whole, pad=pad)
    wanted = looked_up(photo(), left - beyond, top - beyond, whole, pad).astype(np.int16)
    # the margin is a share, so its pixels can be off by a rounding error that resampling sees
    assert np.abs(pixels(found).astype(np.int16) - wanted).max() <= 1


@pytest.mark.parametrize("pad", ["reflect", "constant"])
@pytest.mark.parametrize(
    "box", [Box(-55, -57, 5, 3), Box(1, 2, 21, 22), Box(4, -1, 34, 29), Box(-8, 1, 12, 21)]
)
def test_more_may_lie_outside_the_photo_than_inside(box: Box, pad: Pad) -> None:
    for width, height in ((7, 5), (21, 2), (1, 23)):
        small, side = photo(width, height), int(box.x2 - box.x1)
        if box.x1 >= width or box.y1 >= height or side > LARGEST * max(width, height):
            continue
        found = crop_face(small, box, margin=0, size=side, pad=pad)
        wanted = looked_up(small, int(box.x1), int(box.y1), side, pad)
        np.testing.assert_array_equal(pixels(found), wanted)


@pytest.mark.parametrize(
    ("box", "left", "top", "side"),
    [
        (Box(-6, 10, 14, 30), 0, 10, 20),
        (Box(50, 30, 70, 50), 40, 20, 20),
        (Box(-5, -5, 25, 25), 0, 0, 30),
        (Box(20, -30, 90, 40), 20, 0, 40),
        (Box(-60, 0, 60, 120), 0, 0, 40),
        (Box(10, 8, 20, 18), 10, 8, 10),
    ],
)
def test_clipping_moves_the_square_inside_and_shrinks_it_only_where_it_must(
    box: Box, left: int, top: int, side: int
) -> None:
    found = crop_face(photo(), box, margin=0, size=side, pad="clip")
    np.testing.assert_array_equal(pixels(found), pixels(photo())[top : top + side, left : left + side])


@settings(deadline=None, max_examples=60)
@given(st.floats(-60, 59), st.floats(-60, 39), st.floats(1, 110), st.floats(0, 0.5), st.integers(8, 30))
def test_clipping_invents_no_color(x: float, y: float, side: float, margin: float, size: int) -> None:
    box = Box(x, y, max(x + side, 0.5), max(y + side, 0.5))
    # both ramps are straight: moved inside, their steps are all alike, and no mirror turns them round
    found = pixels(crop_face(photo(), box, margin=margin, size=size, pad="clip")).astype(np.int16)
    across, down = np.diff(found[..., 0], axis=1), np.diff(found[..., 1], axis=0)
    assert across.min() >= 0
    assert down.min() >= 0
    assert across.max() - np.median(across) <= 6
    assert found[..., 0].max() <= 4 * (WIDTH - 1)


@pytest.mark.parametrize("pad", ["reflect", "constant", "clip"])
@pytest.mark.parametrize("box", [Box(311, 187, 1203, 1079), Box(-190, 400, 900, 1490), Box(0, 0, 1500, 1100)])
def test_a_large_face_is_shrunk_as_if_every_pixel_had_its_say(box: Box, pad: Pad) -> None:
    down, across = np.mgrid[:1100, :1500].astype(np.float64)
    waves = 127 + 60 * np.sin(across / 17) + 60 * np.cos(down / 23 + across / 90)
    scene = Image.fromarray(np.repeat(waves.astype(np.uint8)[..., None], 3, 2))
    found = pixels(crop_face(scene, box, margin=0, size=48, pad=pad)).astype(np.int16)
    side = max(box.x2 - box.x1, box.y2 - box.y1)
    side, size = (min(side, 1100.0) if pad == "clip" else side), 48
    x, y = box.center
    if pad == "clip":
        x, y = np.clip(x, side / 2, 1500 - side / 2), np.clip(y, side / 2, 1100 - side / 2)
    left, top = round(x - side / 2), round(y - side / 2)
    whole = Image.fromarray(_shown(pixels(scene), left, top, round(side), pad))
    wanted = pixels(whole.resize((size, size), Image.Resampling.BICUBIC)).astype(np.int16)
    # beyond the last row the mirror may stand a part of a pixel off
    inside = np.s_[: round(size * (1100 - top) / side) - 1]
    assert np.abs(found[inside] - wanted[inside]).max() <= 6
    assert np.abs(found[inside] - wanted[inside]).mean() <= 0.7


def _shown(source: NDArray[np.uint8], left: int, top: int, side: int, pad: Pad) -> NDArray[np.uint8]:
    height, width = source.shape[:2]
    before, after = (max(-top, 0), max(-left, 0)), (max(top + side - height, 0), max(left + side - width, 0))
    mode = "symmetric" if pad == "reflect" else "constant"
    edges = ((before[0], after[0]), (before[1], after[1]), (0, 0))
    padded = np.pad(source, edges, mode=mode)  # type: ignore[call-overload]  # a mode told by name
    top, left = top + before[0], left + before[1]
    return np.asarray(padded[top : top + side, left : left + side])


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
def test_the_center_of_the_box_is_the_center_of_the_picture(
    y: float, x: float, half_width: float, half_height: float, margin: float
) -> None:
    box = Box(x - half_width, y - half_height, x + half_width, y + half_height)
    found = pixels(crop_face(photo(), box, margin=margin, size=32)).astype(np.float64)
    middle = found[12:20, 12:20].mean((0, 1))  # the ramps are straight, so their mean is their center
    assert middle[0] / 4 + 0.5 == pytest.approx(x, abs=0.6)
    assert middle[1] / 6 + 0.5 == pytest.approx(y, abs=0.6)


@pytest.mark.parametrize("box", [Box(70, 40, 130, 160), Box(40, 80, 160, 120), Box(60.3, 49.6, 139.8, 148.2)])
@pytest.mark.parametrize("margin", [0.0, 0.35, 2.5])
def test_crop_face_keeps_a_circle_a_circle(box: Box, margin: float) -> None:
    scene = Image.new("RGB", (200, 200))
    ImageDraw.Draw(scene).ellipse((80, 80, 120, 120), fill="white")
    # mirrored, there would be others around it
    found = pixels(crop_face(scene, box, margin=margin, size=120, pad="constant"))[..., 0] > 127
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


def test_crop_face_keeps_a_face_at_the_edge_in_the_middle() -> None:
    scene = Image.new("RGB", (60, 40), "black")
    scene.paste((255, 255, 255), (0, 10, 10, 30))  # the right half of a white square, cut off at the left
    found = pixels(crop_face(scene, Box(-10, 10, 10, 30), margin=1, size=40)).astype(np.float64)
    # the photo is mirrored at the picture's middle, so the white is whole again
    row = found[20, :, 0]
    assert row[12:28].min() > 200
    assert max(row[:8].max(), row[32:].max()) < 50


def test_crop_face_does_not_change_the_photo() -> None:
    scene = photo()
    crop_face(scene, Box(-10, -10, 30, 30), margin=1, size=8)
    np.testing.assert_array_equal(pixels(scene), pixels(photo()))
