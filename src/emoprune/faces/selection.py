"""Select faces of a photo with several."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from emoprune.choices import Select
from emoprune.faces.types import Face

Size = tuple[int, int]


def _central(faces: Sequence[Face], size: Size) -> list[Face]:
    def distance(face: Face) -> float:
        x, y = face.box.center
        return (x - size[0] / 2) ** 2 + (y - size[1] / 2) ** 2

    return [min(faces, key=distance)]


SELECTIONS: dict[Select, Callable[[Sequence[Face], Size], list[Face]]] = {
    "largest": lambda faces, _: [max(faces, key=lambda face: face.box.area)],
    "confident": lambda faces, _: [max(faces, key=lambda face: face.probability)],
    "center": _central,
    "all": lambda faces, _: list(faces),
}
"""Which of the faces of a photo of (width, height) to take; of equals the first."""
