"""Faces in photos, and what a crop is asked for."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

from emoprune.choices import Align, OnMissing, Pad, Select
from emoprune.errors import InvalidRecord
from emoprune.settings import check_limits, setting

Landmarks = tuple[tuple[float, float], ...]

DOUBTFUL = 0.95
"""Probability below which a face should be checked: MTCNN gives hands, patterns and half faces 0.7 to 0.92,
and only dark, turned or distorted faces less than this."""


@dataclass(frozen=True)
class Box:
    """A rectangle in pixels of the upright photo; may extend beyond the photo."""

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

    `status` is face (detected), rescued (by the second pass), box (given by hand), whole (the whole photo),
    no-face or unreadable. Turning the photo counter-clockwise by `turned` degrees makes the face upright.
    `phash` is the perceptual hash of the face's picture, `sha256` the hash of the photo's bytes, and
    `output_sha256` that of the file as crop wrote it. `reason` says why there is no face, how it was rescued,
    or why it is not aligned.
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
    output_sha256: str = ""

    def scaled(self, x: float, y: float) -> CropRow:
        """The same face in a photo of `x` times as many pixels across and `y` times down."""
        box = self.box and self.box.scaled(x, y)
        return replace(self, box=box, landmarks=_scaled(self.landmarks, x, y))


def _scaled(landmarks: Landmarks, x: float, y: float) -> Landmarks:
    return tuple((across * x, down * y) for across, down in landmarks)


@dataclass(frozen=True)
class CropSettings:
    """All that decides what the faces of given photos look like, with its default; lengths in pixels."""

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


@dataclass(frozen=True, kw_only=True)
class CropConfig:
    """What a crop is asked for; what is None is that of the folder of faces, else as in CropSettings."""

    size: int | None = setting(
        None, "Side of a face picture.", metavar="PX", low=8, high=4096, default_text="224"
    )
    margin: float | None = setting(
        None, "Widen the face's square by this fraction.", metavar="FRACTION", low=0, high=2, default_text="0"
    )
    align: Align | None = setting(
        None, "Turn and scale faces so that their eyes are at a fixed place.", default_text="none"
    )
    pad: Pad | None = setting(
        None, "Beyond the photo: its mirror image, black, or move the square into it.", default_text="reflect"
    )
    select: Select | None = setting(None, "Which face of a photo with several.", default_text="largest")
    min_face: int | None = setting(
        None, "Ignore faces with a shorter side.", metavar="PX", low=0, default_text="0"
    )
    min_probability: float | None = setting(
        None,
        "Ignore less likely faces; 0.7 is the least.",
        metavar="FRACTION",
        low=0,
        high=1,
        default_text="0",
    )
    rescue: bool | None = setting(
        None,
        "Search photos without a face again: turned, equalized, less strictly; check the faces it marks.",
        option="--rescue/--no-rescue",
        default_text="no-rescue",
    )
    on_missing: OnMissing | None = setting(
        None, "Leave out a photo without a face, take all of it, or stop with an error.", default_text="skip"
    )
    max_side: int | None = setting(
        None, "Shrink larger photos first: faster, other boxes.", metavar="PX", low=64, default_text="never"
    )
    every: float | None = setting(
        None, "Take one frame of a video per so many.", metavar="SECONDS", low=0.001, default_text="1"
    )

    def __post_init__(self) -> None:
        check_limits(self)

    @property
    def given(self) -> dict[str, Any]:
        """The settings that are not left open, by name."""
        return {name: value for name, value in asdict(self).items() if value is not None}


@dataclass(frozen=True)
class CropSummary:
    """What a folder of faces holds after a crop: photos by status, and how many this run `processed`."""

    input: str
    output: str
    photos: int
    processed: int
    faces: int
    face: int
    rescued: int
    box: int
    whole: int
    no_face: int
    unreadable: int
