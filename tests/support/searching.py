"""What the tests of a search share: small searches, as options and as calls of the library."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from emoprune.data.datasets import open_data
from emoprune.evaluation.types import Metrics
from emoprune.search.config import SearchConfig
from emoprune.search.outputs import Outputs
from emoprune.search.search import SearchResult, search
from tests.support.command_line import Result, Runner

MLP = ("arch=mlp", "epochs=2")
SMALL: dict[str, Any] = {"space": ("lr=log:1e-3:1e-1", "hidden=4,8"), "fixed": MLP, "trials": 4}
GRID: dict[str, Any] = {"space": ("lr=0.01,0.1", "hidden=4,6,8"), "fixed": MLP, "sampler": "grid"}


def searched(data: Path, outputs: Outputs | None = None, **config: Any) -> tuple[list[Metrics], SearchResult]:
    """A search that comes to its end: the metrics of the trials that it ran, and its result."""
    metrics: list[Metrics] = []
    outputs = outputs or Outputs("search.journal")
    result = search(open_data(str(data)), SearchConfig(**config), outputs, on_trial=metrics.append)
    return metrics, result


def options(config: dict[str, Any]) -> list[str]:
    """The same search as options of the command."""
    words = [word for text in config["space"] for word in ("--space", text)]
    words += [word for text in config["fixed"] for word in ("--set", text)]
    return words + [
        word for name in ("trials", "sampler") if name in config for word in (f"--{name}", str(config[name]))
    ]


def search_done(emoprune: Runner, *argv: object) -> Result:
    """A command line that comes to its end, which is the command of its best trial."""
    result = emoprune("search", *argv)
    assert result.code == 0, result.err
    assert result.err.splitlines()[-1].startswith("emoprune train ")
    return result


def settings(metrics: Metrics, *names: str) -> tuple[object, ...]:
    """Some settings of a trial."""
    return tuple(metrics.settings[name] for name in names)


def lines(path: Path) -> list[dict[str, Any]]:
    """The lines of metrics in a file."""
    return [json.loads(line) for line in path.read_text().splitlines()]
