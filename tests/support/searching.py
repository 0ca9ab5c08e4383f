"""What the tests of emoprune search share: a small search, and what it says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.support.command_line import Result, Runner

MLP = ("--set", "arch=mlp", "--set", "epochs=2")
SMALL_SEARCH = (*MLP, "--space", "lr=log:1e-3:1e-1", "--space", "hidden=4,8", "--trials", "4")
GRID = (*MLP, "--sampler", "grid", "--space", "lr=0.01,0.1", "--space", "hidden=4,6,8")


def searched(emoprune: Runner, *argv: object) -> Result:
    """A search that must come to its end; it ends with the command of its best trial."""
    result = emoprune("search", *argv)
    assert result.code == 0, result.err
    assert result.err.splitlines()[-1].startswith("emoprune train ")
    return result


def settings(line: dict[str, Any], *names: str) -> tuple[object, ...]:
    """Some settings of a line of metrics."""
    return tuple(line["settings"][name] for name in names)


def lines(path: Path) -> list[dict[str, Any]]:
    """The lines of metrics in a file."""
    return [json.loads(line) for line in path.read_text().splitlines()]
