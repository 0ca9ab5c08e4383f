"""One line of history per command that touched a checkpoint."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from typing import Any

import torch

from emoprune import __version__
from emoprune.networks.types import HistoryEntry


def entry(command: str, parameters: Mapping[str, Any], metrics: Mapping[str, Any]) -> HistoryEntry:
    """The entry of `command`, with the versions that it ran under."""
    versions = {
        "emoprune": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
    }
    return HistoryEntry(command, dict(parameters), dict(metrics), versions)
