"""Drawn scenes: reproducible from their generator alone, of the promised form, and found by a detector."""

import numpy as np
import pytest
import torch
from facenet_pytorch import MTCNN
from numpy.typing import NDArray
from PIL import Image

from emoprune.synthetic_faces import EMOTIONS, draw_face, draw_scene
from emoprune.synthetic_faces.canvas import Pose
from emoprune.synthetic_faces.scene import sample_pose


def scene(emotion: str, seed: int) -> Image.Image:
    return draw_scene(emotion, generator=np.random.default_rng(seed))


def pixels(emotion: str, seed: int) -> NDArray[np.int16]:
    return np.asarray(scene(emotion, seed), dtype=np.int16)


def around(image: NDArray[np.int16], pose: Pose, x: float, y: float, half: float) -> NDArray[np.int16]:
    """The square of the image centered on a point given in face coordinates."""
    across, down = pose.project(np.array([[x, y]]))[0]
    reach = half * pose.unit
    return image[int(down - reach) : int(down + reach), int(across - reach) : int(across + reach)]


def test_emotions_are_the_seven_in_order() -> None:
    assert EMOTIONS == ("angry", "disgust", "fear", "happy", "neutral", "sad", "surprise")


@pytest.mark.parametrize("emotion", EMOTIONS)
def test_every_emotion_draws_an_rgb_image_of_the_default_size(emotion: str) -> None:
    image = scene(emotion, 1)
    assert image.mode == "RGB"
    assert image.size == (360, 288)
    assert np.asarray(image).std() > 10


@pytest.mark.parametrize("size", [(64, 64), (120, 300), (641, 257)])
def test_any_requested_size_is_drawn(size: tuple[int, int]) -> None:
    assert draw_scene("happy", generator=np.random.default_rng(2), size=size).size == size


def test_same_generator_state_gives_same_pixels() -> None:
    np.testing.assert_array_equal(pixels("sad", 3), pixels("sad", 3))


def test_different_seeds_give_different_scenes() -> None:
    assert np.abs(pixels("sad", 3) - pixels("sad", 4)).mean() > 10


def test_successive_scenes_from_one_generator_differ() -> None:
    generator = np.random.default_rng(5)
    first, second = (np.asarray(draw_scene("fear", generator=generator), dtype=np.int16) for _ in range(2))
    assert np.abs(first - second).mean() > 10


def test_global_random_state_neither_matters_nor_moves() -> None:
    np.random.seed(1)
    first = pixels("angry", 6)
    np.random.seed(2)
    before = np.random.get_state(legacy=False)["state"]["key"].copy()
    second = pixels("angry", 6)
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(np.random.get_state(legacy=False)["state"]["key"], before)


def test_every_emotion_takes_as_much_from_the_generator() -> None:
    following = set()
    for emotion in EMOTIONS:
        generator = np.random.default_rng(7)
        draw_scene(emotion, generator=generator)
        following.add(float(generator.random()))
    assert len(following) == 1


def test_same_seed_shares_the_backdrop_between_emotions() -> None:
    pose = sample_pose((360, 288), np.random.default_rng(8))
    left = slice(0, 40) if pose.center_x > 180 else slice(320, 360)
    np.testing.assert_array_equal(pixels("happy", 8)[:40, left], pixels("sad", 8)[:40, left])


@pytest.mark.parametrize("first", range(len(EMOTIONS)))
def test_emotions_of_one_person_differ_at_mouth_and_brows(first: int) -> None:
    pose = sample_pose((360, 288), np.random.default_rng(9))
    image = pixels(EMOTIONS[first], 9)
    for emotion in EMOTIONS[first + 1 :]:
        other = pixels(emotion, 9)
        for x, y, half in ((0.0, 0.62, 0.3), (0.0, -0.25, 0.3)):
            gap = np.abs(around(image, pose, x, y, half) - around(other, pose, x, y, half))
            assert gap.mean() > 2, (EMOTIONS[first], emotion, y)


def test_whole_head_lies_inside_the_scene_at_the_promised_height() -> None:
    for seed in range(200):
        pose = sample_pose((360, 288), np.random.default_rng(seed))
        ring = pose.project(np.array([[0.0, -1.0], [0.75, 0.0], [0.0, 1.1], [-0.75, 0.0]]))
        assert ring.min() >= 0
        assert (ring <= (360, 288)).all()
        assert 0.45 <= 2 * pose.unit / 288 <= 0.75


@pytest.mark.parametrize("emotion", EMOTIONS)
def test_single_faces_are_square_and_reproducible_and_framed_in_many_ways(emotion: str) -> None:
    faces = [draw_face(emotion, generator=np.random.default_rng(seed)) for seed in range(40)]
    assert all(face.mode == "RGB" and face.width == face.height for face in faces)
    again = draw_face(emotion, generator=np.random.default_rng(3))
    assert again.tobytes() == faces[3].tobytes()
    widths = [face.width for face in faces]
    assert min(widths) < 60 < 110 < max(widths) <= 140
    # nothing is drawn outside of the scene, which would be black
    assert all(np.asarray(face.convert("L"))[[0, -1]].max(1).min() > 0 for face in faces)


def test_unknown_emotion_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        scene("smug", 10)


def test_a_face_detector_finds_the_drawn_face() -> None:
    torch.set_num_threads(1)
    detector = MTCNN()
    found = 0
    for index, emotion in enumerate(EMOTIONS * 2):
        pose = sample_pose((360, 288), np.random.default_rng(500 + index))
        with torch.no_grad():
            boxes, _ = detector.detect(scene(emotion, 500 + index))
        if boxes is None:
            continue
        left, top, right, bottom = max(boxes, key=lambda box: (box[2] - box[0]) * (box[3] - box[1]))
        nose_x, nose_y = pose.project(np.array([[0.0, 0.25]]))[0]
        found += left < nose_x < right and top < nose_y < bottom
    assert found >= 13
