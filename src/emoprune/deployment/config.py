"""What an export is asked for."""

from __future__ import annotations

from dataclasses import dataclass

from emoprune.choices import ExportInput
from emoprune.settings import check_limits, setting


@dataclass(frozen=True, kw_only=True)
class ExportConfig:
    """How a network is written as an ONNX file, and how closely that has to compute the same."""

    input: ExportInput = setting(
        "float32",
        "What the file takes. float32: pictures as the network gets them, resized and normalized; uint8: "
        "pictures as they are, RGB bytes of any size, and the file does the rest.",
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
