from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from facenet_pytorch import MTCNN
from PIL import Image

from emoprune.faces.mtcnn import Networks, find_faces
from emoprune.faces.mtcnn.cascade import _confirmed
from emoprune.faces.mtcnn.integral_image import AreaSums
from emoprune.faces.mtcnn.pyramid import scales
from emoprune.faces.types import Face
from emoprune.io.pictures.images import read_photo
from emoprune.synthetic_faces import draw_scene

PIXELS = 0.01
"""How far a corner or a landmark may be from facenet-pytorch's."""


def scene(seed: int, size: tuple[int, int] = (240, 200)) -> Image.Image:
    return draw_scene("happy", generator=np.random.default_rng(seed), size=size)


def group(count: int) -> Image.Image:
    """Several drawn faces of several sizes on one picture."""
    canvas = Image.new("RGB", (520, 300), (120, 130, 110))
    for index in range(count):
        face = scene(index).resize((160 - 25 * index, 140 - 20 * index))
        canvas.paste(face, (170 * (index % 3), 150 * (index // 3)))
    return canvas


def arrays(faces: list[Face]) -> tuple[Any, Any, Any]:
    boxes = [[face.box.x1, face.box.y1, face.box.x2, face.box.y2] for face in faces]
    return (
        np.array(boxes).reshape(-1, 4),
        np.array([face.probability for face in faces]),
        np.array([face.landmarks for face in faces]).reshape(-1, 5, 2),
    )


def assert_same(found: list[Face], expected: tuple[Any, Any, Any]) -> None:
    boxes, probabilities, landmarks = arrays(found)
    assert len(boxes) == len(expected[0])
    assert np.allclose(boxes, np.float32(expected[0]), rtol=0, atol=PIXELS)
    assert np.allclose(probabilities, np.float32(expected[1]), atol=1e-4)
    assert np.allclose(landmarks, np.float32(expected[2]), rtol=0, atol=PIXELS)


def assert_facenets(image: Image.Image, networks: Networks, mtcnn: MTCNN) -> None:
    """The faces, their order and their numbers are facenet-pytorch's."""
    boxes, probabilities, landmarks = mtcnn.detect(image, landmarks=True)
    nothing = (np.empty((0, 4)), np.empty(0), np.empty((0, 5, 2)))
    assert_same(find_faces(image, networks), nothing if boxes is None else (boxes, probabilities, landmarks))


@pytest.mark.parametrize("seed", range(6))
def test_drawn_faces_are_facenets(networks: Networks, mtcnn: MTCNN, seed: int) -> None:
    assert_facenets(scene(seed), networks, mtcnn)


def test_several_faces_are_facenets_in_its_order(networks: Networks, mtcnn: MTCNN) -> None:
    assert len(find_faces(group(5), networks)) > 2
    assert_facenets(group(5), networks, mtcnn)


@pytest.mark.parametrize(
    "size", [(241, 199), (20, 20), (21, 20), (33, 47), (20, 300), (300, 24), (640, 61), (77, 400)]
)
def test_photos_of_any_shape_have_facenets_faces(
    networks: Networks, mtcnn: MTCNN, size: tuple[int, int]
) -> None:
    assert_facenets(scene(1).resize(size), networks, mtcnn)


def test_a_face_that_the_frame_cuts_is_facenets(networks: Networks, mtcnn: MTCNN) -> None:
    for box in ((90, 0, 240, 200), (0, 60, 200, 200), (0, 0, 130, 200), (0, 0, 240, 120)):
        assert_facenets(scene(2).crop(box), networks, mtcnn)


def test_blank_and_noisy_pictures_have_facenets_faces(networks: Networks, mtcnn: MTCNN) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (120, 150, 3), dtype=np.uint8)
    for image in (Image.new("RGB", (150, 120), "gray"), Image.fromarray(noise)):
        assert_facenets(image, networks, mtcnn)


@pytest.mark.parametrize("strip_pixels", [1, 1000, 52_001])
def test_reading_a_photo_in_strips_changes_no_face(networks: Networks, strip_pixels: int) -> None:
    whole = find_faces(group(5), networks)
    assert_same(find_faces(group(5), networks, strip_pixels=strip_pixels), arrays(whole))


def test_memory_can_be_given_back_between_the_strips_of_a_large_photo(networks: Networks) -> None:
    calls: list[int] = []
    for strip_pixels in (10**6, 52_000):
        find_faces(group(5), networks, strip_pixels=strip_pixels, after_strip=lambda: calls.append(1))
    # 520 x 300 pixels are three strips of 100 rows, or one that is all
    assert len(calls) == 3


def test_a_photo_large_enough_for_wide_sums_has_facenets_faces(networks: Networks, mtcnn: MTCNN) -> None:
    assert_facenets(scene(3).resize((1400, 1190)), networks, mtcnn)


def test_a_photo_under_the_smallest_face_has_none(networks: Networks) -> None:
    assert find_faces(Image.new("RGB", (19, 300)), networks) == []


def test_a_candidate_outside_the_photo_takes_nobody_elses_picture(networks: Networks) -> None:
    image = scene(0)
    (face,) = find_faces(image, networks)
    box = [face.box.x1, face.box.y1, face.box.x2, face.box.y2]
    outside = [300.0, 10.0, 340.0, 50.0]
    sums = AreaSums(image, 10**4)
    alone = _confirmed(sums, torch.tensor([box]), networks.decide, 48, 0.7)
    for boxes in ([outside, box], [box, outside]):
        kept, scores, answers = _confirmed(sums, torch.tensor(boxes), networks.decide, 48, 0.7)
        assert kept.tolist() == alone[0].tolist()
        assert torch.allclose(scores, alone[1])
        assert torch.allclose(answers, alone[2], atol=1e-5)


def test_scales_step_down_while_a_face_of_twenty_pixels_fits() -> None:
    assert scales(19, 100) == []
    assert scales(20, 400) == [0.6]
    found = scales(720, 576)
    assert np.allclose(found, [0.6 * 0.709**step for step in range(10)])
    assert 576 * found[-1] >= 12 > 576 * found[-1] * 0.709


def test_the_shared_photos_have_facenets_faces(shared_data: Path, networks: Networks, mtcnn: MTCNN) -> None:
    frames = sorted((shared_data / "data/sfew/frames").rglob("*.*"))[::110]
    photos = sorted((shared_data / "data/photos").iterdir())
    for path in [*frames, *photos]:
        image = read_photo(path)
        # a photo of many megapixels takes the reference seconds
        image.thumbnail((1000, 1000))
        assert_facenets(image, networks, mtcnn)
