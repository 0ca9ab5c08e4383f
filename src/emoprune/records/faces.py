"""Faces in photos."""

from __future__ import annotations

from dataclasses import dataclass

from emoprune.errors import InvalidRecord


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
    def centre(self) -> tuple[float, float]:
        """x and y in pixels."""
        return (self.x1 + self.x2) / 2, (self.y1 + self.y2) / 2


@dataclass(frozen=True)
class Face:
    """A detected face: box, probability, and five landmarks (x, y): eyes, nose, mouth corners."""

    box: Box
    probability: float
    landmarks: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class CropRow:
    """One row of crops.csv or failures.csv: a face, or a photo without one and the reason.

    `status` is face (detected), box (given by hand), whole (the whole photo), no-face or unreadable.
    """

    source: str
    output: str
    status: str
    box: Box | None = None
    probability: float | None = None
    landmarks: tuple[tuple[float, float], ...] = ()
    reason: str = ""
