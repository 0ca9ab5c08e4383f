"""What a training leaves: its checkpoint, and how it went."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from emoprune.errors import InvalidRecord
from emoprune.evaluation.types import check_label
from emoprune.networks.types import Checkpoint, Epoch

TRAINING_SCHEMA, SUMMARY_SCHEMA = "emoprune.training/1", "emoprune.train/1"


@dataclass(frozen=True)
class Trained:
    """The result of a training: `parts` are their sizes, `initial` the network before its first step."""

    checkpoint: Checkpoint
    parts: Mapping[str, int]
    initial: Checkpoint | None = None


@dataclass(frozen=True)
class TrainSummary:
    """A training in a line (schema emoprune.train/1): units by layer, and the last epoch if there is one."""

    input: str
    output: str
    arch: str
    classes: tuple[str, ...]
    parts: Mapping[str, int]
    layers: Mapping[str, int]
    training: Epoch | None


@dataclass(frozen=True)
class LearningCurve:
    """How the training of one model went (schema emoprune.training/1)."""

    model: str
    training: tuple[Epoch, ...]
    label: str | None = None

    def __post_init__(self) -> None:
        check_label(self.label)
        if not self.training:
            raise InvalidRecord("a learning curve without epochs", "give a model that was trained")

    @property
    def name(self) -> str:
        """Its label or, without one, its model."""
        return self.label or self.model
