"""Faces turned upright by their eyes: always at the same places, never mirrored, never aliased."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from emoprune.choices import Pad
from emoprune.errors import BadImage
from emoprune.faces import alignment
from emoprune.faces.alignment import EYE_LEVEL, EYE_REACH, eye_places
from emoprune.faces.cropping import LARGEST, crop_face
from emoprune.faces.types import Box
from emoprune.synthetic_faces import draw_scene
from emoprune.synthetic_faces.scene import sample_pose

Point = tuple[float, float]
LEFT, RIGHT, NOSE = (120.0, 90.0), (200.0, 90.0), (160.0, 150.0)
GREEN, RED, BLUE = (0, 255, 0), (255, 0, 0), (0, 0, 255)


def align_face(
    image: Image.Image, landmarks: list[Point], *, size: int, margin: float = 0.0, pad: Pad = "reflect"
) -> NDArray[np.float64]:
    found = alignment.align_face(image, landmarks, margin=margin, size=size, pad=pad)
    assert found.size == (size, size)
    return np.asarray(found, dtype=np.float64)


def turned(points: list[Point], degrees: float, scale: float, shift: Point) -> list[Point]:
    """The points clockwise as seen, about the origin, y pointing down."""
    cos, sin = scale * math.cos(math.radians(degrees)), scale * math.sin(math.radians(degrees))
    return [(cos * x - sin * y + shift[0], sin * x + cos * y + shift[1]) for x, y in points]


def dots(points: list[Point], radius: float, background: Image.Image) -> Image.Image:
    """A green, a red and a blue disc at the points, their rims by the share of a pixel that they cover."""
    picture = np.asarray(background, dtype=np.float64).copy()
    rows, columns = np.indices(picture.shape[:2]) + 0.5
    for (x, y), color in zip(points, (GREEN, RED, BLUE), strict=True):
        cover = (radius + 0.5 - np.hypot(columns - x, rows - y)).clip(0, 1)[..., None]
        picture += cover * (np.array(color) - picture)
    return Image.fromarray(picture.round().astype(np.uint8))


def middle(picture: NDArray[np.float64], color: tuple[int, int, int]) -> Point:
    """The center of what has that color, in pixels from the corner."""
    share = (picture @ np.array(color) / 255 - picture.sum(2) / 3).clip(60) - 60
    rows, columns = np.indices(share.shape)
    x, y = (float((places * share).sum() / share.sum()) + 0.5 for places in (columns, rows))
    return x, y


def face(seed: int, degrees: float, scale: float) -> tuple[Image.Image, list[Point]]:
    """A drawn face, turned and scaled, with colored dots as eyes and nose, and where these are."""
    generator = np.random.default_rng(seed)
    pose = sample_pose((360, 288), np.random.default_rng(seed))
    drawn = draw_scene("happy", generator=generator).convert("L").convert("RGB")
    eyes = [tuple(map(float, point)) for point in pose.project(np.array([[-0.33, 0], [0.33, 0], [0, 0.35]]))]
    around = [(x - 180, y - 144) for x, y in eyes]
    side = round(700 * scale)
    points = turned(around, degrees, scale, (side / 2, side / 2))
    scene = Image.new("RGB", (700, 700), "gray")
    scene.paste(drawn, (170, 206))
    # Pillow turns the other way round
    scene = scene.rotate(-degrees, Image.Resampling.BICUBIC).resize((side, side))
    return dots(points, 6 * scale, scene), points


@settings(deadline=None, max_examples=25)
@given(
    st.integers(0, 9),
    st.floats(-60, 60),
    st.floats(0.5, 2),
    st.floats(0, 1),
    st.sampled_from([64, 112, 224]),
)
def test_the_eyes_of_any_face_come_to_their_places(
    seed: int, degrees: float, scale: float, margin: float, size: int
) -> None:
    scene, points = face(seed, degrees, scale)
    found = align_face(scene, points, margin=margin, size=size)
    left, right = eye_places(size, margin=margin)
    assert math.dist(middle(found, GREEN), left) < 0.5
    assert math.dist(middle(found, RED), right) < 0.5
    nose = middle(found, BLUE)
    assert left[0] < nose[0] < right[0]
    assert nose[1] > left[1] + 0.3 * (right[0] - left[0])


def test_the_places_are_those_of_arcfaces_template() -> None:
    left, right = eye_places(112, margin=0)
    assert math.dist(left, (38.2946, 51.6963)) < 0.25
    assert math.dist(right, (73.5318, 51.5014)) < 0.25


def test_a_margin_widens_about_the_same_center() -> None:
    for inner, outer in zip(eye_places(100, margin=0), eye_places(100, margin=0.6), strict=True):
        assert [(value - 50) / 1.6 + 50 for value in inner] == pytest.approx(outer)


def test_a_face_aligned_already_is_nearly_unchanged() -> None:
    scene = draw_scene("sad", generator=np.random.default_rng(3), size=(200, 200))
    again = align_face(scene, list(eye_places(200, margin=0)), size=200)
    assert np.abs(again - np.asarray(scene)).max() <= 1


def test_aligning_twice_changes_nothing_more() -> None:
    scene, points = face(1, 33, 1.0)
    once = align_face(scene, points, size=160, margin=0.3)
    places = list(eye_places(160, margin=0.3))
    twice = align_face(Image.fromarray(once.astype(np.uint8)), places, size=160, margin=0.3)
    assert np.abs(twice - once).max() <= 1


@pytest.mark.parametrize("size", [40, 100, 300])
def test_level_eyes_give_what_the_same_box_gives(size: int) -> None:
    scene = draw_scene("fear", generator=np.random.default_rng(4), size=(320, 240))
    side = (RIGHT[0] - LEFT[0]) / (2 * EYE_REACH)
    x, y = (LEFT[0] + RIGHT[0]) / 2, LEFT[1] + (0.5 - EYE_LEVEL) * side
    box = Box(x - side / 2, y - side / 2, x + side / 2, y + side / 2)
    wanted = np.asarray(crop_face(scene, box, margin=0, size=size, pad="reflect"), dtype=np.float64)
    assert np.abs(align_face(scene, [LEFT, RIGHT], size=size) - wanted).mean() < 1.2


def supersampled(image: Image.Image, points: list[Point], size: int, steps: int) -> NDArray[np.float64]:
    """Every pixel as the mean of `steps` x `steps` points, each mixed from its four neighbors."""
    source = np.asarray(image, dtype=np.float64)
    (x1, y1), (x2, y2) = points[0], points[1]
    (u1, v), (u2, _) = eye_places(size, margin=0)
    # the similarity as one complex factor: two points determine it
    factor = complex(x2 - x1, y2 - y1) / (u2 - u1)
    fine = (np.arange(size * steps) + 0.5) / steps
    place = complex(x1, y1) + factor * ((fine[None] - u1) + 1j * (fine[:, None] - v))
    x, y = place.real - 0.5, place.imag - 0.5
    left = np.clip(np.floor(x).astype(int), 0, source.shape[1] - 2)
    top = np.clip(np.floor(y).astype(int), 0, source.shape[0] - 2)
    right, below = (x - left)[..., None], (y - top)[..., None]
    upper = source[top, left] * (1 - right) + source[top, left + 1] * right
    lower = source[top + 1, left] * (1 - right) + source[top + 1, left + 1] * right
    mixed = upper * (1 - below) + lower * below
    return np.asarray(mixed.reshape(size, steps, size, steps, 3).mean((1, 3)))


@pytest.mark.parametrize("degrees", [-60.0, -17.0, 0.0, 5.0, 45.0])
@pytest.mark.parametrize("size", [12, 32, 96])
def test_shrinking_averages_over_every_pixel(degrees: float, size: int) -> None:
    scene, points = face(2, degrees, 1.0)
    found, wanted = (
        align_face(scene, points, size=size),
        supersampled(scene, points, size, max(4, 288 // size)),
    )
    # bicubic is a little sharper than a mean
    assert np.abs(found - wanted).mean() < 4
    # Pillow turns whole numbers into whole numbers by cutting off: half a level darker
    assert abs(found.mean() + 0.5 - wanted.mean()) < 0.3


@pytest.mark.parametrize("period", [2, 3, 4])
@pytest.mark.parametrize("degrees", [0.0, 12.0, 45.0])
@pytest.mark.parametrize("distance", [40.0, 90.0, 155.0])
def test_stripes_too_fine_to_show_become_gray(period: int, degrees: float, distance: float) -> None:
    stripes = np.where(np.arange(600) % period < period / 2, 255, 0).astype(np.uint8)
    scene = Image.fromarray(np.broadcast_to(stripes[None, :, None], (600, 600, 3)).copy())
    points = turned([(-distance / 2, 0), (distance / 2, 0)], degrees, 1.0, (300, 300))
    size = round(distance / (2 * EYE_REACH) / (2.6 * period))  # a stripe pair is well below a pixel
    found = align_face(scene, points, size=size)
    assert found.std() < 6
    assert abs(found.mean() - stripes.mean()) < 3


def test_a_steady_slope_remains_one() -> None:
    across = np.mgrid[:500, :500][1] / 2
    scene = Image.fromarray(np.repeat(across[..., None], 3, 2).astype(np.uint8))
    found = align_face(scene, [(215, 250), (285, 250)], size=50)[..., 0]
    steps = np.diff(found, axis=1)
    assert steps.min() > 0
    assert np.ptp(steps[:, 2:-2]) <= 2


def test_beyond_the_photo_it_is_mirrored_or_black() -> None:
    scene = Image.new("RGB", (100, 100), "white")
    eyes = [(8.0, 20.0), (40.0, 6.0)]
    assert align_face(scene, eyes, size=60, pad="reflect").min() >= 254
    black = align_face(scene, eyes, size=60, pad="constant")
    assert black[0, 0].max() == 0
    assert black[40, 40].min() >= 254


@settings(deadline=None, max_examples=60)
@given(st.floats(0, 100), st.floats(0, 80), st.floats(-180, 180), st.floats(2, 90), st.floats(0, 1))
def test_clipped_squares_show_nothing_but_the_photo(
    x: float, y: float, degrees: float, distance: float, margin: float
) -> None:
    eyes = turned([(-distance / 2, 0), (distance / 2, 0)], degrees, 1.0, (x, y))
    if distance / (2 * EYE_REACH) * (1 + margin) > LARGEST * 100:
        return
    scene = Image.new("RGB", (100, 80), "white")
    center, along = alignment._inside(
        *alignment._square(np.array(eyes[0]), np.array(eyes[1]), margin), scene.size
    )
    for corner in (along, -along, alignment._downwards(along), -alignment._downwards(along)):
        reached = center + (corner + alignment._downwards(corner)) / 2
        assert -1e-9 <= reached[0] <= 100 + 1e-9
        assert -1e-9 <= reached[1] <= 80 + 1e-9
    assert align_face(scene, eyes, size=20, margin=margin, pad="clip").min() >= 254


def test_a_face_upside_down_is_set_upright_and_not_mirrored() -> None:
    points = turned([(-40, 0), (40, 0), (0, 40)], 180, 1.0, (160, 120))
    found = align_face(dots(points, 6, Image.new("RGB", (320, 240))), points, size=100)
    left, right, nose = (middle(found, color) for color in (GREEN, RED, BLUE))
    assert left[0] < nose[0] < right[0]
    assert nose[1] > left[1]


@pytest.mark.parametrize(
    ("eyes", "fact"),
    [
        ([(50.0, 50.0), (50.0, 50.0)], "the two eyes are at one place"),
        ([(50.0, 50.0), (50.4, 50.4)], "the two eyes are at one place"),
        ([(math.nan, 50.0), (80.0, 50.0)], "the two eyes are at one place"),
        ([(-50.0, 50.0), (-20.0, 50.0)], "its eyes lie outside the photo of 100x80"),
        ([(20.0, 90.0), (40.0, 95.0)], "its eyes lie outside the photo of 100x80"),
        ([(-50.0, 40.0), (150.0, 40.0)], "its eyes are too far apart for the photo of 100x80"),
    ],
)
def test_eyes_that_cannot_be_are_a_bad_image(eyes: list[Point], fact: str) -> None:
    with pytest.raises(BadImage, match=fact) as caught:
        align_face(Image.new("RGB", (100, 80)), eyes, size=20)
    assert caught.value.remedy
