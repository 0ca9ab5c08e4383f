"""What a prediction says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from emoprune.faces import manifest
from emoprune.faces.types import DOUBTFUL, Box


@dataclass(frozen=True)
class Prediction:
    """The answer of a network for one face.

    `file` is the photo or video, and `frame_s` the seconds from the video's start to the frame. `face` counts
    the faces of a picture from 1, the largest first. `status` is face, rescued (found by a second pass, less
    sure) or whole (the picture is the face); only a whole one has no `box`, in pixels of the upright picture,
    and no `face_probability`, the detector's. `probabilities` are by class.
    """

    file: str
    frame_s: float | None
    face: int
    status: str
    box: Box | None
    face_probability: float | None
    probabilities: Mapping[str, float]

    @property
    def ranked(self) -> list[tuple[str, float]]:
        """The classes and their probabilities, the most likely first."""
        return sorted(self.probabilities.items(), key=lambda entry: -entry[1])

    @property
    def predicted(self) -> str:
        """The most likely class."""
        return self.ranked[0][0]

    @property
    def is_doubtful(self) -> bool:
        """Whether what was found may not be a face."""
        unsure = self.face_probability is not None and self.face_probability < DOUBTFUL
        return unsure or self.status == manifest.RESCUED
