"""What an export and a prediction are asked for."""

from __future__ import annotations

from dataclasses import dataclass

from emoprune.choices import ExportInput, Faces, Quantize
from emoprune.faces.types import CropConfig
from emoprune.settings import check_limits, like, setting


@dataclass(frozen=True, kw_only=True)
class ExportConfig:
    """How a network is written as an ONNX file, and how closely that has to compute the same."""

    input: ExportInput = setting(
        "float32",
        "What the file takes. float32: pictures as the network gets them, resized and normalized; uint8: "
        "pictures as they are, RGB bytes of any size, and the file does the rest.",
    )
    quantize: Quantize = setting(
        "none",
        "int8: weights and activations of 8 bits, a quarter of the size; activations have the range "
        "that they have on training images. fp16: floats of 16 bits, half the size.",
    )
    max_drop: float = setting(
        1.0,
        "Points of accuracy on the val part that `quantize` may cost. Layers that lose the most stay float32 "
        "until it does not; else nothing is written.",
        metavar="POINTS",
        low=0,
        high=100,
    )
    opset: int = setting(
        18, "Version of the ONNX operators; older runtimes need a lower one.", metavar="N", low=11, high=23
    )
    tolerance: float = setting(
        1e-4,
        "Largest difference of a logit that passes, in units of the largest logit of its sample or, if "
        "that is smaller, of 1.",
        metavar="DIFFERENCE",
        low=0,
        high=1e6,
    )
    seed: int = setting(0, "For the random batches.", metavar="N", low=0, high=2**32 - 1)

    def __post_init__(self) -> None:
        check_limits(self)


@dataclass(frozen=True, kw_only=True)
class PredictConfig:
    """Which faces of a photo a prediction is of."""

    crop: bool = setting(
        True, "Find the faces, or take each picture for a face as it is.", option="--crop/--no-crop"
    )
    faces: Faces = setting("all", "Which faces of a picture with several.")
    every: float | None = like(CropConfig, "every")

    def __post_init__(self) -> None:
        check_limits(self)
