from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from emoprune.faces.mtcnn import Networks, find_faces, rescue
from emoprune.faces.mtcnn.image_variants import TURNS, brightened, turned, turned_back
from emoprune.faces.types import Box, Face
from emoprune.io.pictures.images import read_photo
from emoprune.synthetic_faces import draw_scene
from emoprune.synthetic_faces.background import draw_backdrop
from emoprune.synthetic_faces.scene import sample_pose

SIZE = (240, 300)


def scene(seed: int) -> Image.Image:
    return draw_scene("happy", generator=np.random.default_rng(seed), size=SIZE)


def marked(image: Image.Image, x: int, y: int) -> Image.Image:
    """A copy with one white pixel on black."""
    copy = Image.new("L", image.size)
    copy.putpixel((x, y), 255)
    return copy


@pytest.mark.parametrize("turn", TURNS)
def test_points_and_boxes_of_a_turned_photo_return_to_their_pixels(turn: int) -> None:
    image = marked(Image.new("L", (50, 30)), 7, 11)
    ((y, x),) = np.argwhere(np.asarray(turned(image, turn))).tolist()
    face = Face(Box(x, y, x + 1, y + 1), 0.5, ((x + 0.5, y + 0.5),))
    assert turned_back(face, turn, image.size) == Face(Box(7, 11, 8, 12), 0.5, ((7.5, 11.5),))


@pytest.mark.parametrize("turn", [90, 180, 270])
@pytest.mark.parametrize("seed", [0, 2])
def test_a_turned_drawn_face_is_found_where_it_is_upright(networks: Networks, seed: int, turn: int) -> None:
    (upright,) = find_faces(scene(seed), networks)
    photo = turned(scene(seed), 360 - turn)
    found = rescue(photo, networks)
    assert found is not None
    assert found.turn == turn
    assert found.how == f"turned {turn}"
    (face,) = found.faces
    # back from the photo's own pixels to those of the upright scene
    back = turned_back(face, 360 - turn, SIZE)
    assert np.allclose(back.landmarks, upright.landmarks, atol=2)
    left_eye, right_eye = back.landmarks[:2]
    assert left_eye[0] < right_eye[0]
    pose = sample_pose(SIZE, np.random.default_rng(seed))
    assert np.hypot(back.box.center[0] - pose.center_x, back.box.center[1] - pose.center_y) < 0.6 * pose.unit


def test_a_face_in_the_dark_is_found(networks: Networks) -> None:
    dark = scene(1).point(lambda value: value * 0.045)
    assert find_faces(dark, networks) == []
    found = rescue(dark, networks)
    assert found is not None
    assert found.turn == 0
    (lit,) = find_faces(scene(1), networks)
    assert np.allclose(found.faces[0].box.center, lit.box.center, atol=0.2 * np.sqrt(lit.box.area))


def test_faces_of_a_large_photo_lie_in_its_own_pixels(networks: Networks) -> None:
    large = scene(0).resize((1680, 2100))
    (upright,) = find_faces(large, networks)
    found = rescue(large.transpose(Image.Transpose.ROTATE_180), networks)
    assert found is not None
    back = turned_back(found.faces[0], 180, large.size)
    assert np.allclose(back.box.center, upright.box.center, atol=0.1 * np.sqrt(upright.box.area))


@pytest.mark.parametrize("blur", [0, 1, 3])
def test_rescue_finds_no_face_in_noise(networks: Networks, blur: int) -> None:
    pixels = np.random.default_rng(blur).integers(0, 256, (160, 200, 3), dtype=np.uint8)
    assert rescue(Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(blur)), networks) is None


@pytest.mark.parametrize("color", ["black", "gray", "white", (3, 3, 9)])
def test_rescue_finds_no_face_in_a_blank_photo(networks: Networks, color: str | tuple[int, int, int]) -> None:
    assert rescue(Image.new("RGB", (120, 90), color), networks) is None


@pytest.mark.parametrize("seed", range(3))
def test_rescue_finds_no_face_in_a_scene_without_a_person(networks: Networks, seed: int) -> None:
    assert rescue(draw_backdrop(SIZE, np.random.default_rng(seed)), networks) is None


def test_brightening_looks_at_lit_pixels_alone() -> None:
    ramp = np.tile(np.linspace(20, 60, 100).astype(np.uint8)[None, :, None], (50, 1, 3))
    barred = np.concatenate([np.zeros((50, 100, 3), np.uint8), ramp])
    alone, below = (np.asarray(brightened(Image.fromarray(pixels))) for pixels in (ramp, barred))
    assert np.array_equal(alone, below[50:])
    assert alone.min() == 0
    assert alone.max() == 255
    assert np.all(np.diff(alone[0, :, 0].astype(int)) >= 0)


def test_dark_and_turned_frames_are_rescued(shared_data: Path, networks: Networks) -> None:
    frames = sorted((shared_data / "data/sfew/frames").rglob("*.*"))[::75]
    seen = wrong = 0
    for turn, path in zip((90, 180, 270) * 10, frames, strict=False):
        image = turned(read_photo(path), turn)
        found = None if find_faces(image, networks) else rescue(image, networks)
        seen += found is not None
        wrong += found is not None and found.turn != 360 - turn
    assert seen >= len(frames) // 3
    assert wrong == 0
