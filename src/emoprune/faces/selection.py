"""Select faces of a photo with several."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from emoprune.choices import Select
from emoprune.faces.types import Face


def largest(faces: Sequence[Face], size: tuple[int, int]) -> list[Face]:
    """The face with the largest box; of equals the first."""
    return [max(faces, key=lambda face: face.box.area)]


def confident(faces: Sequence[Face], size: tuple[int, int]) -> list[Face]:
    """The face with the highest probability."""
    return [max(faces, key=lambda face: face.probability)]


def central(faces: Sequence[Face], size: tuple[int, int]) -> list[Face]:
    """The face whose center is nearest to that of a photo of `size` (width, height)."""

    def distance(face: Face) -> float:
        x, y = face.box.center
        return (x - size[0] / 2) ** 2 + (y - size[1] / 2) ** 2

    return [min(faces, key=distance)]


def every(faces: Sequence[Face], size: tuple[int, int]) -> list[Face]:
    """All faces, as detected."""
    return list(faces)


SELECTIONS: dict[Select, Callable[[Sequence[Face], tuple[int, int]], list[Face]]] = {
    "largest": largest,
    "confident": confident,
    "center": central,
    "all": every,
}
