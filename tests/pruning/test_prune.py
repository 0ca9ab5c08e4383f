"""Every method of emoprune prune: what it tells is what it wrote, and what it wrote is a network."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from emoprune.data.datasets import open_data
from emoprune.data.loader import batches
from emoprune.data.splits import partition
from emoprune.evaluation.model import samples
from emoprune.pruning.angles import angles_deg, default_center
from emoprune.pruning.methods import METHODS
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
from tests.support.command_line import SMALL, Result, Runner, opened, tree
from tests.support.feature_tables import draw_table

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
    train = torch.tensor(partition(data.catalog, checkpoint.split)["train"])
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


@pytest.fixture
def narrow_table_model(emoprune: Runner, in_folder: Path) -> str:
    """A table's model of 8 sigmoid units."""
    draw_table(in_folder / "t.csv")
    emoprune.done("train", "t.csv", "m.st", "--arch", "mlp", "--hidden", "8", "--epochs", "20")
    return "m.st"


@pytest.mark.parametrize("merge", ["sum", "lstsq"])
def test_every_step_is_the_network_that_prune_writes_at_so_many_units(
    emoprune: Runner, narrow_table_model: str, in_folder: Path, merge: str
) -> None:
    common = ("--method", "progressive", "--merge", merge)
    before = tree(in_folder)
    record = emoprune.done(
        "prune", narrow_table_model, *common, "--steps", "--units", "4", "--label", "x"
    ).record
    assert tree(in_folder) == before
    assert (record["schema"], record["label"], record["method"]) == ("emoprune.steps/1", "x", "progressive")
    assert [step["units"] for step in record["steps"]] == [8, 7, 6, 5, 4]
    for step in record["steps"][1:]:
        emoprune.done("prune", narrow_table_model, *common, "--units", step["units"], "-o", "o.st", "--force")
        found = emoprune.done("eval", "o.st", "t.csv", "--split", "train").record
        assert step["loss"] == pytest.approx(found["log_loss"], rel=1e-5)
        assert step["accuracy"] == pytest.approx(found["accuracy"])
        ((name, statistics),) = read("o.st").statistics.items()
        angles = angles_deg(statistics, center=default_center("sigmoid"))
        count = len(angles)
        smallest = min(float(angles[i, j]) for i in range(count) for j in range(i))
        assert step["smallest_angle_deg"] == pytest.approx(smallest)
        assert step["least_importance"] is None, name


def test_without_an_amount_it_goes_down_to_one_unit_and_report_takes_it(
    emoprune: Runner, narrow_table_model: str
) -> None:
    result = emoprune.done("prune", narrow_table_model, "--method", "reconstruct", "--steps")
    steps = result.record["steps"]
    assert [step["units"] for step in steps] == list(range(8, 0, -1))
    assert steps[-1]["smallest_angle_deg"] is None
    assert emoprune.done("report", "--by-label", stdin=result.raw).record["steps"]


def test_importance_tells_the_least_kernel_that_is_left(emoprune: Runner, small: Path) -> None:
    emoprune.done("train", small, "c.st", *SMALL, "--epochs", "1")
    options = ("--method", "importance", "--layer", "features.0", "--steps", "--units", "13")
    steps = emoprune.done("prune", "c.st", *options).record["steps"]
    weight = read("c.st").tensors["features.0.weight"].double()
    # I = sqrt(sum(a^2) / k^2), luan2020, section 2.3
    norms = sorted((weight.square().sum((1, 2, 3)) / weight[0, 0].numel()).sqrt().tolist())
    assert [step["units"] for step in steps] == [16, 15, 14, 13]
    assert [step["least_importance"] for step in steps] == pytest.approx(norms[:4])
    assert all(step["smallest_angle_deg"] is None for step in steps)


def test_rounded_to_a_multiple_every_step_takes_something(emoprune: Runner, narrow_table_model: str) -> None:
    options = ("--method", "progressive", "--steps", "--round-to", "4")
    counts = [step["units"] for step in emoprune.done("prune", narrow_table_model, *options).record["steps"]]
    assert len(counts) > 1
    assert counts == sorted(set(counts), reverse=True)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--method", "distinct"), "one by one"),
        (("--method", "magnitude"), "one by one"),
        (("--method", "progressive", "--angle", "15"), "--angle"),
        (("--method", "progressive", "-o", "o.st"), "--output"),
        (("--method", "progressive", "--data", "none"), "forbids"),
        (("--method", "progressive", "--sensitivity"), "--sensitivity"),
        (("--method", "progressive", "--rewind", "t.st"), "--rewind"),
    ],
)
def test_what_has_no_steps_is_the_command_lines_fault(
    emoprune: Runner, narrow_table_model: str, options: tuple[str, ...], says: str
) -> None:
    emoprune.check_refused("prune", narrow_table_model, *options, "--steps", code=2, says=(says,))


def test_data_that_is_gone_is_asked_for(emoprune: Runner, narrow_table_model: str, in_folder: Path) -> None:
    (in_folder / "t.csv").rename(in_folder / "elsewhere.csv")
    options = ("--method", "progressive", "--steps")
    emoprune.check_refused("prune", narrow_table_model, *options, code=2, says=("give --data",))
    assert emoprune.done("prune", narrow_table_model, *options, "--data", "elsewhere.csv").record["steps"]


def test_a_curve_has_every_epoch_and_a_training_without_any_is_refused(
    emoprune: Runner, narrow_table_model: str
) -> None:
    train = ("train", "t.csv", "n.st", "--arch", "mlp", "--curve", "c.json")
    emoprune.check_refused(*train, "--epochs", "0", code=2, says=("--curve",))
    emoprune.done(*train, "--epochs", "3", "--label", "x")
    record = emoprune.done("report", "c.json", "--by-label").record
    assert record["curves"]


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
