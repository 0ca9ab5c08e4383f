"""Checkpoints for the tests of prune, and what a written one costs, counted by other means than its own."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from emoprune.networks import checkpoint as checkpoints
from emoprune.networks.types import Checkpoint
from emoprune.pruning.methods import METHODS
from tests.support.command_line import Runner, opened

OF_UNITS = [name for name, entry in METHODS.items() if not entry.weights]
ONE_BY_ONE = ["reconstruct", "progressive", "importance", "random-units"]
OF_WEIGHTS = [name for name, entry in METHODS.items() if entry.weights]
OFFLINE = ("--data", "none")


def some(method: str) -> tuple[str, ...]:
    """Options by which a method takes some units or weights of every model here, but not all."""
    amount = ("--angle", "30") if METHODS[method].within else ("--amount", "0.4")
    return ("--method", method, *amount)


def read(path: str | Path) -> Checkpoint:
    return checkpoints.read(str(path))


def units(path: str | Path) -> dict[str, int]:
    """How many units each layer of a checkpoint has."""
    return {name: entry.units for name, entry in read(path).statistics.items()}


def counted(path: str | Path) -> dict[str, int]:
    """Parameters, those that are not zero, multiply-accumulates and bytes, by running the network."""
    checkpoint, net = opened(Path(path))
    macs: list[int] = []

    def count(module: nn.Conv2d | nn.Linear, _: object, output: Tensor) -> None:
        sides = output.shape[2:] if isinstance(module, nn.Conv2d) else output.shape[1:-1]
        macs.append(module.weight.numel() * sides.numel())

    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            module.register_forward_hook(partial(count))
    with torch.inference_mode():
        net(torch.zeros(1, *checkpoint.spec.input))
    learned = [value for _, value in net.named_parameters()]
    return {
        "parameters": sum(value.numel() for value in learned),
        "nonzero_parameters": sum(int((value != 0).sum()) for value in learned),
        "macs": sum(macs),
        "bytes": sum(value.numel() * value.element_size() for value in checkpoint.tensors.values()),
    }


def check_agrees(record: Mapping[str, Any], before: str | Path, after: str | Path) -> None:
    """The summary of prune tells what is in the two files."""
    for name, path in (("before", before), ("after", after)):
        assert {key: record[key][name] for key in ("parameters", "nonzero_parameters", "macs", "bytes")} == (
            counted(path)
        )
    assert record["units"] == {
        "before": sum(layer["before"] for layer in record["layers"]),
        "after": sum(layer["after"] for layer in record["layers"]),
    }
    old, new = units(before), units(after)
    for layer in record["layers"]:
        name, removed = layer["layer"], layer["removed"]
        assert len(removed) == len(set(removed)) == layer["before"] - layer["after"]
        # single weights may go from layers that were never measured
        if name in old:
            assert (layer["before"], layer["after"]) == (old[name], new[name])
        gone = {int(unit) for unit in layer["merges"]}
        assert gone <= set(removed)
        assert not set(layer["merges"].values()) & set(removed)
        assert layer["similar"] + layer["complementary"] + layer["insignificant"] <= len(removed)
    untouched = old.keys() - {layer["layer"] for layer in record["layers"]}
    assert all(old[name] == new[name] for name in untouched)


def changed(data: bytes, change: Callable[[Checkpoint], Mapping[str, Any]]) -> bytes:
    """A checkpoint with other fields, which `change` names."""
    found = checkpoints.from_bytes(data)
    return checkpoints.to_bytes(dataclasses.replace(found, **change(found)))


def remedy(line: str) -> tuple[str, str]:
    """The option and the value that a refusal tells to give."""
    found = re.search(r"give (--[a-z-]+) ([\d.]+)", line)
    assert found is not None, line
    return found[1], found[2]


def check_works(emoprune: Runner, path: str, data: Path) -> None:
    """A pruned checkpoint is finite, is surveyed, evaluated and pruned again."""
    found = read(path)
    for name, value in found.tensors.items():
        assert bool(value.isfinite().all()), name
    record = emoprune.done("eval", path, data).record
    assert record["units"] == found.units
    assert record["bytes"] == Path(path).stat().st_size
    assert len(emoprune.done("angles", path).out.splitlines()) == len(found.layers)
    fewer = max(len(found.layers), round(0.8 * found.units))
    again = emoprune.done(
        "prune", path, "--method", "reconstruct", "--units", fewer, *OFFLINE, "-o", "again.st"
    )
    assert again.record["units"]["before"] == found.units
    assert again.record["units"]["after"] == fewer
    check_agrees(again.record, path, "again.st")
