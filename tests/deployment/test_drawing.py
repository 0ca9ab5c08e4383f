"""Boxes and answers on pictures: where they are, and that they can be read on any ground."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from emoprune.deployment import drawing
from emoprune.deployment.drawing import drawn
from emoprune.deployment.types import Prediction
from emoprune.faces.types import Box

Pixels = NDArray[np.int64]


def answer(box: Box | None, face: int = 1, *, name: str = "happy", sure: float = 0.99) -> Prediction:
    status = "whole" if box is None else "face"
    return Prediction(
        "a.jpg", None, face, status, box, None if box is None else sure, {name: 0.93, "other": 0.07}
    )


def pixels(image: Image.Image) -> Pixels:
    return np.asarray(image, dtype=np.int64)


def changed(image: Image.Image, *predictions: Prediction) -> NDArray[np.bool_]:
    """Which pixels a drawing has changed."""
    before = pixels(image)
    made = drawn(image, predictions)
    assert np.array_equal(pixels(image), before), "the picture itself stays"
    return np.asarray((pixels(made) != before).any(axis=2))


@pytest.mark.parametrize("ground", ["white", "black", "yellow", "gray", (255, 214, 0)])
def test_a_box_and_its_letters_are_seen_on_any_ground(ground: str | tuple[int, int, int]) -> None:
    image = Image.new("RGB", (300, 240), ground)
    made = pixels(drawn(image, [answer(Box(100, 80, 200, 200))]))
    edge = made[140, 95:110]
    assert np.ptp(edge.sum(axis=1)) > 300, "the box has a bright and a dark line"
    label = made[60:78, 104:180]
    assert (label > 200).all(axis=2).mean() > 0.05
    assert (label == 0).all(axis=2).mean() > 0.4


def test_the_inside_of_a_face_stays_as_it_is() -> None:
    image = Image.new("RGB", (300, 240), "gray")
    found = changed(image, answer(Box(100, 80, 200, 200)))
    assert not found[90:190, 110:190].any()
    assert not found[205:].any()


@pytest.mark.parametrize(
    "box", [Box(-30, -20, 60, 70), Box(250, 200, 400, 300), Box(0, 0, 300, 240), Box(299, 239, 302, 242)]
)
def test_a_box_that_reaches_beyond_the_photo_keeps_its_label_inside(box: Box) -> None:
    image = Image.new("RGB", (300, 240), "gray")
    made = pixels(drawn(image, [answer(box)]))
    assert made.shape == (240, 300, 3)
    assert (made > 200).all(axis=2).sum() > 80, "the letters"


def test_labels_of_neighbors_do_not_hide_one_another(monkeypatch: pytest.MonkeyPatch) -> None:
    places = []
    write = drawing._write

    def noted(image: Image.Image, place: drawing.Rectangle, *more: object) -> None:
        places.append(place)
        write(image, place, *more)  # type: ignore[arg-type]

    monkeypatch.setattr(drawing, "_write", noted)
    boxes = [Box(60 + 50 * index, 100, 100 + 50 * index, 150) for index in range(3)]
    drawn(Image.new("RGB", (400, 300)), [answer(box, number) for number, box in enumerate(boxes, 1)])
    assert len(places) == 3
    for one, other in combinations(places, 2):
        assert one[2] <= other[0] or other[2] <= one[0] or one[3] <= other[1] or other[3] <= one[1]


def test_what_may_not_be_a_face_has_a_longer_label() -> None:
    image, box = Image.new("RGB", (300, 240), "gray"), Box(100, 80, 200, 200)
    sure, unsure = changed(image, answer(box)), changed(image, answer(box, sure=0.8))
    assert unsure.sum() > sure.sum()


@pytest.mark.parametrize("size", [(24, 24), (96, 96), (800, 600)])
def test_a_face_without_a_box_has_its_answer_below(size: tuple[int, int]) -> None:
    image = Image.new("RGB", size, (10, 120, 200))
    made = drawn(image, [answer(None, name="surprise")])
    left = (made.width - size[0]) // 2
    assert np.array_equal(pixels(made)[: size[1], left : left + size[0]], pixels(image))
    assert (pixels(made)[size[1] :] > 200).all(axis=2).sum() > 40


def test_a_photo_without_faces_is_only_copied() -> None:
    image = Image.new("RGB", (60, 40), "red")
    made = drawn(image, [])
    assert made is not image
    assert np.array_equal(pixels(made), pixels(image))


def test_letters_that_the_font_lacks_and_endless_names_can_be_drawn() -> None:
    image = Image.new("RGB", (300, 240), "gray")
    for name in ("\u6012\u308a", "x" * 5000, "\x1b[31m"):
        assert drawn(image, [answer(Box(100, 80, 200, 200), name=name)]).size == (300, 240)
