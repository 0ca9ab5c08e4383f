"""Trainings as calls of the library."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from emoprune.data.datasets import open_data
from emoprune.errors import EmopruneError
from emoprune.networks import checkpoint
from emoprune.networks.types import Checkpoint
from emoprune.training.config import train_config
from emoprune.training.state import StateFile
from emoprune.training.train import train

CONV1: dict[str, Any] = {"arch": "conv1", "size": "16", "gray": True, "hidden": 12, "epochs": 2}


def trained(
    data: str | Path,
    *,
    past: Path | None = None,
    teacher: Path | None = None,
    preset: str | None = None,
    state: StateFile | None = None,
    **given: Any,
) -> Checkpoint:
    """The checkpoint of a training with the settings `given`."""
    taught = checkpoint.read(str(teacher)) if teacher else None
    earlier = checkpoint.read(str(past)) if past else None
    config = train_config(preset, **given)
    return train(
        open_data(str(data)), config, past=earlier, past_name=str(past), teacher=taught, state=state
    ).checkpoint


def refusal(data: str | Path, **more: Any) -> str:
    """What a training says that must be refused."""
    with pytest.raises(EmopruneError) as caught:
        trained(data, **more)
    return str(caught.value)
