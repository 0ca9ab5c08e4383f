"""Checkpoints for the tests of pruning, and what a pruned one costs, counted by other means than its own."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from torch import Tensor, nn

from emoprune.choices import Merge, MethodName
from emoprune.data.datasets import open_data
from emoprune.errors import EmopruneError, UsageFault
from emoprune.evaluation.evaluate import evaluate
from emoprune.evaluation.types import Metrics
from emoprune.networks import checkpoint as checkpoints
from emoprune.networks.types import Checkpoint
from emoprune.pruning import prune
from emoprune.pruning.angles import survey_layers
from emoprune.pruning.methods import METHODS
from emoprune.pruning.prune import PrunePlan, PruneResult
from emoprune.pruning.types import AnglesConfig, Change, PruneConfig, PruneOutcome

Zoo = Callable[[str], Path]
MERGE_NAMES: tuple[Merge, ...] = get_args(Merge)
OF_UNITS = [name for name, entry in METHODS.items() if not entry.weights]
ONE_BY_ONE = [name for name, entry in METHODS.items() if entry.one_by_one]
OF_WEIGHTS = [name for name, entry in METHODS.items() if entry.weights]


FREELY: dict[str, Any] = {"layer": "*", "max_error": 1000}
"""Settings under which all layers may lose units, whatever that is predicted to cost."""


def some(method: MethodName) -> dict[str, Any]:
    """Settings by which a method removes some units or weights of every model here, but not all."""
    return {"method": method, **({"angle": 30} if METHODS[method].by_angle else {"amount": 0.4})}


def options(**settings: object) -> list[str]:
    """Settings as options of the command line."""
    return [word for name, value in settings.items() for word in (f"--{name.replace('_', '-')}", str(value))]


def read(path: str | Path) -> Checkpoint:
    return checkpoints.read(str(path))


def planned(model: Checkpoint | Path, **settings: Any) -> PrunePlan:
    """What these settings remove of a model, by default of any layer."""
    original = model if isinstance(model, Checkpoint) else read(model)
    return prune.plan(original, PruneConfig(**{**FREELY, **settings}))


def pruned(model: Checkpoint | Path, **settings: Any) -> PruneResult:
    """What pruning with these settings makes of a model, whatever it is predicted to cost."""
    original = model if isinstance(model, Checkpoint) else read(model)
    return prune.prune(original, planned(original, **settings))


def check_refused(
    model: Checkpoint | Path, *says: str, error: type[EmopruneError] = UsageFault, **settings: Any
) -> str:
    """The message with which these settings are refused; it has all of `says`."""
    with pytest.raises(error) as caught:
        planned(model, **settings)
    message = str(caught.value)
    assert all(word in message for word in says), message
    return message


def units(found: Checkpoint) -> dict[str, int]:
    """How many units each layer of a checkpoint has."""
    return {name: entry.units for name, entry in found.statistics.items()}


def counted(found: Checkpoint) -> dict[str, int]:
    """Parameters, those that are not zero, multiply-accumulates and bytes, by running the network."""
    net = found.module()
    macs: list[int] = []

    def count(module: nn.Conv2d | nn.Linear, _: object, output: Tensor) -> None:
        sides = output.shape[2:] if isinstance(module, nn.Conv2d) else output.shape[1:-1]
        macs.append(module.weight.numel() * sides.numel())

    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            module.register_forward_hook(partial(count))
    with torch.inference_mode():
        net(torch.zeros(1, *found.spec.input))
    learned = [value for _, value in net.named_parameters()]
    return {
        "parameters": sum(value.numel() for value in learned),
        "nonzero_parameters": sum(int((value != 0).sum()) for value in learned),
        "macs": sum(macs),
        "bytes": sum(value.numel() * value.element_size() for value in found.tensors.values()),
    }


def check_agrees(outcome: PruneOutcome, before: Checkpoint, after: Checkpoint) -> None:
    """The outcome counts what the two checkpoints have, and the pruned one is finite."""
    for name, found in (("before", before), ("after", after)):
        for key, count in counted(found).items():
            assert getattr(getattr(outcome, key), name) == count
        assert getattr(outcome.units, name) == sum(getattr(layer, name) for layer in outcome.layers)
    assert all(bool(value.isfinite().all()) for value in after.tensors.values())
    old, new = units(before), units(after)
    for layer in outcome.layers:
        assert len(layer.removed) == len(set(layer.removed)) == layer.before - layer.after
        # single weights may go from layers that were never measured
        if layer.layer in old:
            assert (layer.before, layer.after) == (old[layer.layer], new[layer.layer])
        assert set(layer.merges) <= set(layer.removed)
        assert not set(layer.merges.values()) & set(layer.removed)
        assert layer.similar + layer.complementary + layer.insignificant <= len(layer.removed)
    untouched = old.keys() - {layer.layer for layer in outcome.layers}
    assert all(old[name] == new[name] for name in untouched)


def changed(found: Checkpoint, **fields: Any) -> Checkpoint:
    """A checkpoint with other fields, as it is once it was written and read."""
    return checkpoints.from_bytes(checkpoints.to_bytes(dataclasses.replace(found, **fields)))


def same_tensors(one: Checkpoint, other: Checkpoint) -> bool:
    """Whether two networks have the same numbers."""
    return one.spec == other.spec and all(
        torch.equal(value, other.tensors[name]) for name, value in one.tensors.items()
    )


def remedy(message: str) -> tuple[str, float]:
    """The setting and the value that a refusal tells to give."""
    found = re.search(r"give `([a-z_]+)=([\d.]+)`", message)
    assert found is not None, message
    return found[1], float(found[2])


def scores_of(found: Checkpoint, data: Path, part: Any = None) -> Metrics:
    """What a classifier gets right on a part of some data."""
    metrics = evaluate(found, open_data(str(data)), part=part, device="cpu")
    assert isinstance(metrics, Metrics)
    return metrics


def check_works(found: Checkpoint, data: Path) -> None:
    """A pruned checkpoint can be evaluated, surveyed and pruned again."""
    assert scores_of(found, data).units == found.units
    surveys = survey_layers(found, AnglesConfig())
    assert {name: each.units for name, each in surveys.items()} == units(found)
    fewer = max(len(found.layers), round(0.8 * found.units))
    again = pruned(found, method="reconstruct", units=fewer, data="none")
    assert again.outcome.units == Change(found.units, fewer)
    check_agrees(again.outcome, found, again.checkpoint)
