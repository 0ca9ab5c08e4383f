from collections.abc import Callable

import pytest
import torch
from facenet_pytorch.models.mtcnn import ONet, PNet, RNet
from hypothesis import given, settings
from hypothesis import strategies as st

from emoprune.backends import faces
from emoprune.backends.faces import CHOICES, mtcnn_weights
from emoprune.errors import Unavailable
from emoprune.records import Box, Face
from emoprune.records.choices import Select


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
    monkeypatch.setattr(faces, "PACKAGE", package)
    with pytest.raises(Unavailable, match="facenet-pytorch"):
        mtcnn_weights()


BOXES = st.tuples(st.integers(0, 90), st.integers(0, 90), st.integers(1, 50), st.integers(1, 50)).map(
    lambda entry: Box(entry[0], entry[1], entry[0] + entry[2], entry[1] + entry[3])
)
FACES = st.lists(st.builds(Face, BOXES, st.floats(0, 1), st.just(())), min_size=1, max_size=5)


@given(FACES)
@settings(max_examples=60, deadline=None)
def test_no_face_is_better_than_the_chosen_one_and_of_equals_the_first_is_taken(faces: list[Face]) -> None:
    def off_centre(face: Face) -> float:
        return (face.box.x1 + face.box.x2 - 120) ** 2 + (face.box.y1 + face.box.y2 - 100) ** 2

    worth: dict[Select, Callable[[Face], float]] = {
        "largest": lambda face: (face.box.x2 - face.box.x1) * (face.box.y2 - face.box.y1),
        "confident": lambda face: face.probability,
        "center": lambda face: -off_centre(face),
    }
    assert set(CHOICES) == {*worth, "all"}
    for name, value in worth.items():
        (chosen,) = CHOICES[name](faces, (120, 100))
        first = next(face for face in faces if value(face) == max(map(value, faces)))
        assert chosen is first
