"""What an export comes to, and what a prediction says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from emoprune.choices import ExportInput, Quantize
from emoprune.faces import manifest
from emoprune.faces.types import DOUBTFUL, Box


@dataclass(frozen=True)
class QuantizeSummary:
    """What became of a file with smaller numbers, beside the `whole` one in float32.

    `kept_float` are the layers that stay float32. The file is so many times `smaller`, and `faster` on one
    thread for one sample: the median of turns, with its 95% interval. `drop` is in points of accuracy on
    `judged` images or, without labels, the percentage of answers that change.
    """

    kept_float: tuple[str, ...]
    whole_bytes: int
    smaller: float
    faster: float
    faster_low: float
    faster_high: float
    judged: int
    accuracy: float | None
    whole_accuracy: float | None
    drop: float


@dataclass(frozen=True)
class ExportSummary:
    """What was exported (schema emoprune.export/3).

    `difference_random` and `difference_real` are the largest differences of a logit from that of the
    checkpoint, on random batches and on `real_samples` real ones (None without any), in units of the largest
    logit of its sample or, below 1, of 1. `changed_classes` counts samples whose largest logit is another.
    Of a file that takes pictures, `difference_pictures` is the largest difference of a probability on as many
    `pictures`, each given as it is, and `changed_pictures` counts those with another most probable class, but
    for ties. All of these are of the file in float32; `quantized` is what became of it with smaller numbers.
    """

    output: str | None
    input_type: ExportInput
    bytes: int
    input_bytes: int
    opset: int
    tolerance: float
    difference_random: float
    difference_real: float | None
    changed_classes: int
    real_samples: int
    pictures: int
    difference_pictures: float | None
    changed_pictures: int
    parameters: int
    macs: int
    quantize: Quantize
    quantized: QuantizeSummary | None


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
