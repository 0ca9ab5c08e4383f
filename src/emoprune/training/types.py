"""What a training leaves: its checkpoint, and how it went."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from emoprune.errors import InvalidRecord
from emoprune.evaluation.types import check_counts, check_label
from emoprune.networks.types import Checkpoint, Epoch

if TYPE_CHECKING:
    from emoprune.training.verdict import Verdict

TRAINING_SCHEMA = "emoprune.training/1"


@dataclass(frozen=True)
class Past:
    """A checkpoint that is trained on, and what messages and the history call it."""

    checkpoint: Checkpoint
    name: str


@dataclass(frozen=True)
class Trained:
    """The result of a training, with the sizes of the parts.

    `settings` are all that decided it, by the names that a settings file has. `verdict` says whether it has
    learned; None where nothing was trained.
    """

    checkpoint: Checkpoint
    parts: Mapping[str, int]
    settings: Mapping[str, Any]
    verdict: Verdict | None


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
        check_counts(*(epoch.index for epoch in self.training), of="an epoch")

    @property
    def name(self) -> str:
        """Its label or, without one, its model."""
        return self.label or self.model
