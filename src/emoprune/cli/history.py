"""One line of history per command that touched a checkpoint."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from typing import Any

import torch

from emoprune import __version__


def entry(command: str, parameters: Mapping[str, Any], metrics: Mapping[str, Any]) -> dict[str, Any]:
    """What was done, every default filled in, what came of it, and with which versions; no clock time."""
    versions = {
        "emoprune": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
    }
    return {
        "command": command,
        "parameters": dict(parameters),
        "metrics": dict(metrics),
        "versions": versions,
    }
