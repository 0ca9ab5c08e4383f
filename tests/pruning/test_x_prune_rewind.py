"""What pruning leaves, set back to the weights that training began with."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.support.checkpoints import read
from tests.support.command_line import SMALL, Runner


@pytest.fixture
def trained(emoprune: Runner, small: Path, in_folder: Path) -> Path:
    """A model beside init.st, the weights that it began with."""
    emoprune.done("train", small, "m.st", *SMALL, "--save-init", "init.st", "--epochs", "3")
    return small


def test_surviving_weights_are_the_first_ones_and_masked_ones_zero(emoprune: Runner, trained: Path) -> None:
    options = ("--method", "magnitude", "--amount", "0.6", "--data", "none")
    emoprune.done("prune", "m.st", *options, "-o", "now.st")
    emoprune.done("prune", "m.st", *options, "--rewind", "init.st", "-o", "first.st")
    now, first, init = read("now.st"), read("first.st"), read("init.st")
    assert first.masks.keys() == now.masks.keys()
    assert now.masks
    for name, tensor in first.tensors.items():
        mask = now.masks.get(name, torch.ones_like(tensor, dtype=torch.bool))
        assert torch.equal(first.masks.get(name, mask), mask)
        if mask.shape == init.tensors[name].shape:
            assert torch.equal(tensor, init.tensors[name] * mask)
    assert any(not torch.equal(now.tensors[name], first.tensors[name]) for name in now.masks)


def test_narrow_layers_keep_the_first_weights_of_the_units_that_stay(emoprune: Runner, trained: Path) -> None:
    options = ("--method", "progressive", "--units", "9", "--merge", "sum", "-o", "first.st")
    record = emoprune.done("prune", "m.st", *options, "--rewind", "init.st").record
    first, init = read("first.st"), read("init.st")
    removed = {entry["layer"]: entry["removed"] for entry in record["layers"]}
    assert sum(map(len, removed.values())) > 0
    for layer, gone in removed.items():
        weight = init.tensors[f"{layer}.weight"]
        kept = [unit for unit in range(len(weight)) if unit not in gone]
        bias = init.tensors[f"{layer}.bias"]
        assert torch.equal(first.tensors[f"{layer}.bias"], bias[kept])


def test_it_has_no_statistics_and_is_trained_on(emoprune: Runner, trained: Path) -> None:
    options = ("--method", "magnitude", "--amount", "0.5", "--rewind", "init.st", "-o", "first.st")
    emoprune.done("prune", "m.st", *options)
    assert not read("first.st").statistics
    # though nothing was measured of it, its units are there
    counts = [emoprune.done("eval", path, trained).record["units"] for path in ("first.st", "m.st")]
    assert counts[0] == counts[1] > 0
    emoprune.check_refused("angles", "first.st", says=("no statistics",))
    emoprune.done("train", trained, "on.st", "--from", "first.st", "--epochs", "1")
    on = read("on.st")
    assert on.statistics
    assert all(not bool(on.tensors[name][~mask].any()) for name, mask in on.masks.items())


def test_nothing_is_solved_for_the_weights_that_are_gone_back_on(
    emoprune: Runner, small: Path, in_folder: Path
) -> None:
    emoprune.done("train", small, "b.st", "--arch", "conv2", "--size", "16", "--epochs", "1", "--hidden", "6")
    for rewind, solved in (((), True), (("--rewind", "b.st"), False)):
        options = ("--method", "reconstruct", "--amount", "0.3", "--data", small, "-o", "o.st", "--force")
        assert (emoprune.done("prune", "b.st", *options, *rewind).record["resolved_on"] > 0) == solved


def test_what_it_is_judged_by_is_the_network_that_is_written(emoprune: Runner, trained: Path) -> None:
    options = ("--method", "importance", "--max-drop", "20", "--data", trained, "--rewind", "init.st")
    record = emoprune.done("prune", "m.st", *options, "-o", "first.st").record
    part = record["judged_on"]["part"]
    found = emoprune.done("eval", "first.st", trained, "--split", part).record
    assert record["accuracy"]["after"] == pytest.approx(found["accuracy"])


def test_a_network_of_another_shape_is_refused_before_anything_is_done(
    emoprune: Runner, trained: Path
) -> None:
    emoprune.done("train", trained, "other.st", *SMALL, "--hidden", "5", "--epochs", "0")
    for other, says in (("other.st", "cannot be gone back to"), ("missing.st", "no such file")):
        line = emoprune.check_refused("prune", "m.st", "--rewind", other, "-o", "o.st", says=(says,))
        assert line.startswith(f"emoprune: {other}: ")
