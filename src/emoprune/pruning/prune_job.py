"""What emoprune prune works on: a network to prune, and the images that it looks at."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from emoprune.evaluation.training_data import CalibrationData
from emoprune.networks import build
from emoprune.networks.types import Checkpoint
from emoprune.pruning.pruning import Pruning


@dataclass(frozen=True)
class Job(Pruning):
    """A network to prune, with the images that it may be judged on, and re-solved on where it is at all.

    Its statistics are of `measured` images if prune took them itself.
    """

    images: CalibrationData | None = None
    measured: int = 0

    @property
    def resolved_on(self) -> int:
        """How many images its layers are re-solved on."""
        return self.images.count if self.images and self.resolve else 0

    @cached_property
    def judgment(self) -> tuple[float, float | None]:
        """Mean loss and accuracy before."""
        return self.judge(self.before)

    def judge(self, pruned: Checkpoint) -> tuple[float, float | None]:
        """Mean loss and accuracy of what is left of it, on the part of its images that judges."""
        assert self.images is not None
        return self.images.judge(build.restore(pruned.spec, pruned.tensors))
