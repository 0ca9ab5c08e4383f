"""Faces in photos."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import get_args

from emoprune.choices import Align, OnMissing, Pad, Select
from emoprune.errors import InvalidRecord

Landmarks = tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Box:
    """A rectangle in pixels of the upright photo; may leave the photo."""

    x1: float
    y1: float
    x2: float
    y2: float

    def __post_init__(self) -> None:
        # written so that NaN fails too
        if not (self.x2 > self.x1 and self.y2 > self.y1):
            raise InvalidRecord(
                f"box {self.x1:g},{self.y1:g},{self.x2:g},{self.y2:g} has no area",
                "give x1 < x2 and y1 < y2 in pixels",
            )

    @property
    def area(self) -> float:
        """Square pixels."""
        return (self.x2 - self.x1) * (self.y2 - self.y1)

    @property
    def shorter(self) -> float:
        """The shorter side in pixels."""
        return min(self.x2 - self.x1, self.y2 - self.y1)

    def scaled(self, x: float, y: float) -> Box:
        """The same rectangle in a photo of `x` times as many pixels across and `y` times down."""
        return Box(self.x1 * x, self.y1 * y, self.x2 * x, self.y2 * y)

    @property
    def center(self) -> tuple[float, float]:
        """x and y in pixels."""
        return (self.x1 + self.x2) / 2, (self.y1 + self.y2) / 2


@dataclass(frozen=True)
class Face:
    """A detected face: box, probability, and five landmarks (x, y): eyes, nose, mouth corners."""

    box: Box
    probability: float
    landmarks: Landmarks

    def scaled(self, x: float, y: float) -> Face:
        """The same face in a photo of `x` times as many pixels across and `y` times down."""
        return Face(self.box.scaled(x, y), self.probability, _scaled(self.landmarks, x, y))


@dataclass(frozen=True)
class CropRow:
    """One row of crops.csv or failures.csv: a face, or a photo without one and the reason.

    `status` is face (detected), rescued (at a second look), box (given by hand), whole (the whole photo),
    no-face or unreadable. `turned` are the degrees counter-clockwise that make the face upright. `phash` is
    the perceptual hash of the face's picture, `sha256` the hash of the photo's bytes.
    """

    source: str
    output: str
    status: str
    box: Box | None = None
    probability: float | None = None
    landmarks: Landmarks = ()
    turned: int = 0
    phash: str = ""
    sha256: str = ""
    reason: str = ""

    def scaled(self, x: float, y: float) -> CropRow:
        """The same face in a photo of `x` times as many pixels across and `y` times down."""
        box = self.box and self.box.scaled(x, y)
        return replace(self, box=box, landmarks=_scaled(self.landmarks, x, y))


def _scaled(landmarks: Landmarks, x: float, y: float) -> Landmarks:
    return tuple((across * x, down * y) for across, down in landmarks)


@dataclass(frozen=True)
class CropSettings:
    """All that decides what the faces of given photos look like; lengths in pixels."""

    size: int = 224
    margin: float = 0.0
    select: Select = "largest"
    min_face: int = 0
    min_probability: float = 0.0
    align: Align = "none"
    pad: Pad = "reflect"
    rescue: bool = False
    on_missing: OnMissing = "skip"
    max_side: int | None = None
    every: float = 1.0

    def __post_init__(self) -> None:
        closed = {"select": Select, "align": Align, "pad": Pad, "on_missing": OnMissing}
        wrong = [name for name, choices in closed.items() if getattr(self, name) not in get_args(choices)]
        numbers = (
            self.size,
            self.margin,
            self.min_face,
            self.min_probability,
            self.every,
            self.max_side or 1,
        )
        if wrong or not all(isinstance(value, int | float) and value >= 0 for value in numbers):
            raise InvalidRecord(f"{self} are no settings", "crop into another folder")
