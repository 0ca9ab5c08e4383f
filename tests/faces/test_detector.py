from pathlib import Path

import numpy as np
import pytest
import torch
from facenet_pytorch.models.mtcnn import ONet, PNet, RNet
from PIL import Image

from emoprune.errors import BadImage, Unavailable
from emoprune.faces import detector as detector_module
from emoprune.faces.detector import Detector, mtcnn_weights, return_freed_memory
from emoprune.faces.mtcnn import SMALLEST_FACE
from emoprune.faces.selection import SELECTIONS
from emoprune.faces.types import Face
from emoprune.synthetic_faces import draw_scene
from emoprune.synthetic_faces.scene import sample_pose

SCENE = (240, 240)


@pytest.fixture(scope="module")
def detector() -> Detector:
    return Detector(torch.device("cpu"))


def scene(seed: int) -> Image.Image:
    return draw_scene("happy", generator=np.random.default_rng(seed), size=SCENE)


def where_drawn(seed: int) -> tuple[float, float, float]:
    """Middle and half height of the head in `scene(seed)`, known to the one who drew it."""
    pose = sample_pose(SCENE, np.random.default_rng(seed))
    return pose.center_x, pose.center_y, pose.unit


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_drawn_face_is_found_where_it_was_drawn(detector: Detector, seed: int) -> None:
    face = max(detector.detect(scene(seed)), key=lambda found: found.probability)
    x, y, unit = where_drawn(seed)
    assert np.hypot(face.box.center[0] - x, face.box.center[1] - y) < 0.6 * unit
    assert 0.5 * unit < np.sqrt(face.box.area) < 2.5 * unit
    assert 0.5 < face.probability <= 1


def test_landmarks_lie_in_their_face_and_the_eyes_above_the_mouth(detector: Detector) -> None:
    face = max(detector.detect(scene(0)), key=lambda found: found.probability)
    assert len(face.landmarks) == 5
    assert all(face.box.x1 < x < face.box.x2 and face.box.y1 < y < face.box.y2 for x, y in face.landmarks)
    left_eye, right_eye, _, mouth_left, mouth_right = face.landmarks
    assert left_eye[0] < right_eye[0]
    assert mouth_left[0] < mouth_right[0]
    assert max(left_eye[1], right_eye[1]) < min(mouth_left[1], mouth_right[1])


def test_the_same_picture_gives_the_same_faces(detector: Detector) -> None:
    assert detector.detect(scene(1)) == detector.detect(scene(1))


@pytest.fixture(scope="module")
def two(detector: Detector) -> tuple[list[Face], tuple[int, int]]:
    """A large face on the left, one of half its size near the middle."""
    canvas = Image.new("RGB", (640, 260), (128, 128, 128))
    canvas.paste(scene(0), (0, 0))
    canvas.paste(scene(2).resize((120, 120)), (260, 70))
    return detector.detect(canvas), canvas.size


def test_both_of_two_faces_are_found(two: tuple[list[Face], tuple[int, int]]) -> None:
    faces, _ = two
    assert any(face.box.x2 < 240 for face in faces)
    assert any(face.box.x1 > 250 and face.box.x2 < 390 for face in faces)


def test_each_selection_takes_the_face_that_it_names(two: tuple[list[Face], tuple[int, int]]) -> None:
    faces, size = two
    (large,), (central,) = SELECTIONS["largest"](faces, size), SELECTIONS["center"](faces, size)
    assert large.box.x2 < 240
    assert central.box.x1 > 250
    assert SELECTIONS["all"](faces, size) == faces
    (sure,) = SELECTIONS["confident"](faces, size)
    assert sure.probability == max(face.probability for face in faces)


def test_a_picture_without_a_face_has_none(detector: Detector) -> None:
    assert detector.detect(Image.new("RGB", (100, 80), "gray")) == []
    noise = np.random.default_rng(0).integers(0, 256, (60, 60, 3), dtype=np.uint8)
    assert detector.detect(Image.fromarray(noise)) == []


@pytest.mark.parametrize("size", [(19, 300), (300, 19), (1, 1), (19, 19)])
def test_a_picture_too_small_for_any_face_is_refused(detector: Detector, size: tuple[int, int]) -> None:
    with pytest.raises(BadImage, match="smaller than 20 pixels"):
        detector.detect(Image.new("RGB", size))


def test_the_smallest_picture_is_searched(detector: Detector) -> None:
    assert detector.detect(Image.new("RGB", (SMALLEST_FACE, SMALLEST_FACE))) == []


def test_the_weights_are_those_of_the_installed_package() -> None:
    found = mtcnn_weights()
    assert set(found) == {"pnet", "rnet", "onet"}
    for name, network in {"pnet": PNet(), "rnet": RNet(), "onet": ONet()}.items():
        assert found[name].keys() == network.state_dict().keys()
        assert all(torch.equal(found[name][key], value) for key, value in network.state_dict().items())


@pytest.mark.parametrize("package", ["no_such_package_of_faces", "numpy"])
def test_a_package_that_is_not_there_or_has_no_weights_is_named(
    monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    monkeypatch.setattr(detector_module, "PACKAGE", package)
    with pytest.raises(Unavailable, match="facenet-pytorch"):
        mtcnn_weights()


def resident() -> int:
    """Pages of this process in memory."""
    status = Path("/proc/self/statm")
    if not status.is_file():
        pytest.skip("no /proc on this system")
    return int(status.read_text().split()[1])


def test_return_freed_memory_returns_what_lies_between_small_pieces() -> None:
    # too small for glibc to map each by itself, and every other kept so that none is at the end
    held = [np.ones(12_000) for _ in range(2000)]
    freed = held[::2]
    held = held[1::2]
    before = resident()
    freed.clear()
    return_freed_memory()
    assert before - resident() > 1000 * 12_000 * 8 // 4096 // 2
    assert len(held) == 1000
