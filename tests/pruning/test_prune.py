"""Every method of emoprune prune: what it tells is what it wrote, and what it wrote is a network."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from emoprune.data.datasets import open_data
from emoprune.data.splits import partition
from emoprune.evaluation.model import samples
from emoprune.pruning.methods import METHODS
from emoprune.training.loop import batches
from tests.support.checkpoints import (
    OF_UNITS,
    OF_WEIGHTS,
    OFFLINE,
    check_agrees,
    check_works,
    read,
    some,
    units,
)
from tests.support.command_line import Result, Runner, opened, tree

Zoo = Callable[[str], Path]


@pytest.mark.parametrize(
    ("name", "method", "merge"),
    [
        *itertools.product(("conv2", "table"), METHODS, ("lstsq", "sum")),
        *itertools.product(("shufflenet_v2_x0_5",), METHODS, ("lstsq",)),
        ("shufflenet_v2_x0_5", "distinct", "sum"),
    ],
)
def test_the_summary_agrees_with_the_written_file(
    emoprune: Runner, zoo: Zoo, name: str, method: str, merge: str
) -> None:
    options = (*some(method), "--merge", merge, *OFFLINE, "-o", "o.st")
    record = emoprune.done("prune", zoo(name), *options).record
    check_agrees(record, zoo(name), "o.st")
    assert (record["method"], record["merge"]) == (method, None if METHODS[method].weights else merge)
    before, after = read(zoo(name)), read("o.st")
    assert all(bool(value.isfinite().all()) for value in after.tensors.values())
    assert after.history[:-1] == before.history
    assert after.history[-1].metrics["layers"] == record["layers"]
    if METHODS[method].weights:
        assert record["nonzero_parameters"]["after"] < record["nonzero_parameters"]["before"]
    else:
        assert 0 < record["units"]["after"] < record["units"]["before"]
        assert record["macs"]["after"] < record["macs"]["before"]
        assert not after.masks


def test_what_was_pruned_is_exported(emoprune: Runner, zoo: Zoo, small: Path) -> None:
    model = zoo("shufflenet_v2_x0_5")
    emoprune.done("prune", model, "--method", "reconstruct", "--macs", "0.6", *OFFLINE, "-o", "o.st")
    # export compares the logits of both
    emoprune.done("export", "o.st", "o.onnx", "--data", small)
    one, other = (emoprune.done("eval", path, small).record for path in ("o.st", "o.onnx"))
    for key in ("confusion", "parameters", "nonzero_parameters", "macs", "units"):
        assert one[key] == other[key]


@pytest.mark.parametrize("name", ["conv2", "table"])
def test_what_was_pruned_is_evaluated_surveyed_and_pruned_again(
    emoprune: Runner, zoo: Zoo, small: Path, table: Path, name: str
) -> None:
    emoprune.done("prune", zoo(name), "--method", "reconstruct", "--macs", "0.6", "-o", "o.st")
    check_works(emoprune, "o.st", table if name == "table" else small)


@pytest.mark.parametrize("method", ["reconstruct", "importance"])
def test_with_its_training_images_a_batch_norm_network_is_pruned_too(
    emoprune: Runner, zoo: Zoo, small: Path, method: str
) -> None:
    model = zoo("shufflenet_v2_x0_5")
    record = emoprune.done("prune", model, *some(method), "-o", "o.st").record
    assert record["images"] == 24
    check_agrees(record, model, "o.st")
    if method == "importance":
        check_works(emoprune, "o.st", small)


@pytest.mark.parametrize("method", METHODS)
def test_a_dry_run_tells_the_same_and_writes_nothing(emoprune: Runner, zoo: Zoo, method: str) -> None:
    before = tree(emoprune.folder)
    dry = emoprune.done("prune", zoo("conv2"), *some(method), "--dry-run").record
    assert dry["output"] is None
    assert tree(emoprune.folder) == before
    wet = emoprune.done("prune", zoo("conv2"), *some(method), "-o", "o.st").record
    assert {**wet, "output": None} == dry


@pytest.mark.parametrize("method", OF_WEIGHTS)
def test_there_is_no_sensitivity_of_single_weights(emoprune: Runner, zoo: Zoo, method: str) -> None:
    emoprune.check_refused("prune", zoo("conv2"), "--method", method, "--sensitivity", code=2, says=(method,))


def ladders(result: Result) -> dict[str, list[dict[str, float]]]:
    """The steps of each layer."""
    found: dict[str, list[dict[str, float]]] = {}
    for step in result.lines:
        found.setdefault(str(step["layer"]), []).append(step)
    return found


@pytest.mark.parametrize("method", OF_UNITS)
def test_sensitivity_is_the_certificate_of_each_layer_alone(emoprune: Runner, zoo: Zoo, method: str) -> None:
    before = tree(emoprune.folder)
    found = ladders(emoprune.done("prune", zoo("conv2"), "--method", method, "--sensitivity"))
    assert tree(emoprune.folder) == before
    assert {name: steps[0]["before"] for name, steps in found.items()} == units(zoo("conv2"))
    for name, steps in found.items():
        assert [step["amount"] for step in steps] == [tenths / 10 for tenths in range(1, 10)]
        left = [step["after"] for step in steps]
        assert left == sorted(left, reverse=True)
        options = ("--method", method, "--layer", name, "--amount", "0.5", "--dry-run")
        (alone,) = emoprune.done("prune", zoo("conv2"), *options).record["layers"]
        for key in ("before", "after", "error_sum", "error_lstsq"):
            assert alone[key] == pytest.approx(steps[4][key])


@pytest.mark.parametrize("method", METHODS)
def test_two_runs_give_the_same_bytes_and_a_seed_matters_to_chance_alone(
    emoprune: Runner, zoo: Zoo, method: str
) -> None:
    def written(*more: str) -> bytes:
        emoprune.done("prune", zoo("conv2"), *some(method), *more, "-o", "o.st", "--force")
        return Path("o.st").read_bytes()

    first = written()
    torch.rand(7)
    assert written() == first
    emoprune.done("prune", zoo("conv2"), *some(method), "-o", "o.st", "--force")
    one = read("o.st")
    emoprune.done("prune", zoo("conv2"), *some(method), "--seed", "1", "-o", "o.st", "--force")
    other = read("o.st")
    same = one.spec == other.spec and all(
        torch.equal(value, other.tensors[name]) for name, value in one.tensors.items()
    )
    assert same != method.startswith("random")


@pytest.mark.parametrize("merge", ["lstsq", "sum"])
@pytest.mark.parametrize("method", OF_UNITS)
def test_the_certified_error_of_a_dense_layer_is_the_error_on_the_training_data(
    emoprune: Runner, zoo: Zoo, table: Path, method: str, merge: str
) -> None:
    options = ("--layer", "classifier.hidden2", *some(method), "--merge", merge, "-o", "o.st")
    (layer,) = emoprune.done("prune", zoo("table"), *options).record["layers"]
    assert layer["after"] < layer["before"]
    checkpoint, net = opened(zoo("table"))
    data = open_data(str(table))
    train = torch.tensor(partition(data.catalogue, checkpoint.split)["train"])
    found = samples(data, checkpoint.preprocess, checkpoint.spec.input)
    (batch,) = batches(found, train, checkpoint.preprocess, torch.device("cpu"))
    with torch.inference_mode():
        before, after = (each(batch).double().numpy() for each in (net, opened(Path("o.st"))[1]))
    spread = np.square(before - before.mean(0)).sum()
    measured = np.sqrt(np.square(after - before).sum() / spread)
    assert layer[f"error_{merge}"] == pytest.approx(measured, rel=1e-3, abs=1e-6)
    assert layer["error_lstsq"] <= layer["error_sum"] + 1e-9


@pytest.mark.parametrize("method", OF_WEIGHTS)
def test_masks_are_merged_by_none_so_merge_changes_nothing(emoprune: Runner, zoo: Zoo, method: str) -> None:
    found = []
    for merge in ("sum", "lstsq"):
        emoprune.done("prune", zoo("conv2"), *some(method), "--merge", merge, "-o", f"{merge}.st")
        found.append(read(f"{merge}.st").tensors)
    assert all(torch.equal(value, found[1][name]) for name, value in found[0].items())
