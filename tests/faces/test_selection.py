from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st

from emoprune.choices import Select
from emoprune.faces.selection import SELECTIONS
from emoprune.faces.types import Box, Face

BOXES = st.tuples(st.integers(0, 90), st.integers(0, 90), st.integers(1, 50), st.integers(1, 50)).map(
    lambda entry: Box(entry[0], entry[1], entry[0] + entry[2], entry[1] + entry[3])
)
FACES = st.lists(st.builds(Face, BOXES, st.floats(0, 1), st.just(())), min_size=1, max_size=5)


@given(FACES)
@settings(max_examples=60, deadline=None)
def test_no_face_is_better_than_the_chosen_one_and_of_equals_the_first_is_taken(faces: list[Face]) -> None:
    def off_center(face: Face) -> float:
        return (face.box.x1 + face.box.x2 - 120) ** 2 + (face.box.y1 + face.box.y2 - 100) ** 2

    worth: dict[Select, Callable[[Face], float]] = {
        "largest": lambda face: (face.box.x2 - face.box.x1) * (face.box.y2 - face.box.y1),
        "confident": lambda face: face.probability,
        "center": lambda face: -off_center(face),
    }
    assert set(SELECTIONS) == {*worth, "all"}
    for name, value in worth.items():
        (chosen,) = SELECTIONS[name](faces, (120, 100))
        first = next(face for face in faces if value(face) == max(map(value, faces)))
        assert chosen is first
