"""Every method: the outcome counts what the pruned checkpoint has, and that is a working network."""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from emoprune.choices import Merge, MethodName
from emoprune.data.datasets import open_data
from emoprune.errors import BadCheckpoint, EmopruneError, UsageFault
from emoprune.evaluation.training_data import CalibrationData, training_data_of
from emoprune.networks import checkpoint as checkpoints
from emoprune.networks.types import Checkpoint
from emoprune.pruning import prune
from emoprune.pruning.angles import survey_layers
from emoprune.pruning.methods import METHODS
from emoprune.pruning.types import (
    LARGEST_ERROR,
    Amount,
    AnglesConfig,
    PruneConfig,
)
from tests.support.checkpoints import (
    FREELY,
    MERGE_NAMES,
    OF_UNITS,
    OF_WEIGHTS,
    Zoo,
    check_agrees,
    check_refused,
    check_works,
    planned,
    pruned,
    read,
    same_tensors,
    scores_of,
    some,
    units,
)
from tests.support.command_line import SMALL, Runner
from tests.support.training import trained as trained_on


@pytest.mark.parametrize(
    ("name", "method", "merge"),
    [
        *itertools.product(("conv2", "table"), METHODS, MERGE_NAMES),
        *itertools.product(("shufflenet_v2_x0_5",), METHODS, ("lstsq",)),
        ("shufflenet_v2_x0_5", "distinct", "sum"),
    ],
)
def test_the_outcome_and_the_history_agree_with_the_checkpoint(
    zoo: Zoo, name: str, method: MethodName, merge: Merge
) -> None:
    before = read(zoo(name))
    result = pruned(before, **some(method), merge=merge, data="none")
    outcome, after = result.outcome, result.checkpoint
    check_agrees(outcome, before, after)
    assert after.history[:-1] == before.history
    entry = checkpoints.from_bytes(checkpoints.to_bytes(after)).history[-1]
    assert entry.metrics["units"] == vars(outcome.units)
    assert [layer["removed"] for layer in entry.metrics["layers"]] == [
        list(layer.removed) for layer in outcome.layers
    ]
    weights = METHODS[method].weights
    assert (entry.parameters["method"], entry.parameters["merge"]) == (method, None if weights else merge)
    if weights:
        assert after.masks
        assert sum(map(torch.count_nonzero, after.tensors.values())) < sum(
            map(torch.count_nonzero, before.tensors.values())
        )
    else:
        assert 0 < after.units < before.units
        assert (outcome.macs.after or 0) < (outcome.macs.before or 0)
        assert not after.masks


def test_a_pruned_network_can_be_exported(emoprune: Runner, zoo: Zoo, small: Path) -> None:
    model = zoo("shufflenet_v2_x0_5")
    pruned(model, method="reconstruct", macs=0.6, data="none").checkpoint.save("o.st")
    # export compares the logits of both
    emoprune.done("export", "o.st", "o.onnx", "--data", small)
    one, other = (emoprune.done("eval", path, small).record for path in ("o.st", "o.onnx"))
    for key in ("confusion", "parameters", "nonzero_parameters", "macs", "units"):
        assert one[key] == other[key]


@pytest.mark.parametrize("name", ["conv2", "table"])
def test_a_pruned_network_can_be_evaluated_surveyed_and_pruned_again(
    zoo: Zoo, small: Path, table: Path, name: str
) -> None:
    found = pruned(zoo(name), method="reconstruct", macs=0.6).checkpoint
    check_works(found, table if name == "table" else small)


@pytest.mark.parametrize("method", ["reconstruct", "importance"])
def test_a_batch_norm_network_is_pruned_on_its_training_images(
    zoo: Zoo, small: Path, method: MethodName
) -> None:
    model = zoo("shufflenet_v2_x0_5")
    result = pruned(model, **some(method))
    assert result.checkpoint.history[-1].parameters["images"] == 24
    check_agrees(result.outcome, read(model), result.checkpoint)
    if method == "importance":
        check_works(result.checkpoint, small)


@pytest.mark.parametrize("method", METHODS)
def test_plan_predicts_the_outcome_and_changes_nothing(zoo: Zoo, method: MethodName) -> None:
    original = read(zoo("conv2"))
    plan = planned(original, **some(method))
    predicted = plan.outcome()
    assert same_tensors(original, read(zoo("conv2")))
    assert prune.prune(original, plan).outcome == predicted
    assert plan.error_estimate[0].layer in plan._repr_html_()


def test_prune_refuses_the_plan_of_another_checkpoint(zoo: Zoo) -> None:
    plan = planned(zoo("conv2"), units=30)
    smaller = prune.prune(read(zoo("conv2")), plan).checkpoint
    with pytest.raises(UsageFault, match="another checkpoint"):
        prune.prune(smaller, plan)


def test_plan_takes_a_data_set_in_place_of_its_path(zoo: Zoo, small: Path) -> None:
    original, config = read(zoo("conv2")), PruneConfig(**some("reconstruct"), **FREELY)
    one = prune.prune(original, prune.plan(original, config, data=open_data(str(small))))
    other = pruned(original, **some("reconstruct"), data=str(small))
    assert checkpoints.to_bytes(one.checkpoint) == checkpoints.to_bytes(other.checkpoint)


@pytest.mark.parametrize("method", METHODS)
def test_prune_gives_the_same_bytes_again_and_a_seed_matters_to_chance_alone(
    zoo: Zoo, method: MethodName
) -> None:
    first = pruned(zoo("conv2"), **some(method)).checkpoint
    torch.rand(7)
    again = pruned(zoo("conv2"), **some(method)).checkpoint
    assert checkpoints.to_bytes(again) == checkpoints.to_bytes(first)
    other = pruned(zoo("conv2"), **some(method), seed=1).checkpoint
    assert same_tensors(first, other) != method.startswith("random")


def test_prune_refuses_a_large_predicted_error_and_says_which_would_do(zoo: Zoo) -> None:
    settings = {"method": "importance", "amount": 0.9, "data": "none"}
    plan = planned(zoo("conv2"), **settings, max_error=None)
    worst = max(each.error_lstsq or 0 for each in plan.error_estimate)
    assert worst > LARGEST_ERROR
    with pytest.raises(UsageFault, match="allow it with `max_error=") as caught:
        prune.prune(read(zoo("conv2")), plan)
    enough = float(str(caught.value).rpartition("=")[2].rstrip("`"))
    assert worst <= enough < worst + 0.01
    assert pruned(zoo("conv2"), **settings, max_error=enough).outcome.units.after == plan.plan.kept


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("conv2", {"method": "importance", "max_drop": 100}),
        ("conv2", {"method": "importance", "max_loss_increase": 100}),
        ("shufflenet_v2_x0_5", {"method": "importance", "amount": 0.4}),
    ],
)
def test_max_error_is_any_by_default_where_images_say_what_is_lost(
    zoo: Zoo, name: str, settings: dict[str, Any]
) -> None:
    assert planned(zoo(name), **settings, max_error=None).max_error == math.inf
    # but one that is given holds
    plan = planned(zoo(name), **settings, max_error=0)
    with pytest.raises(UsageFault, match="more than 0%"):
        prune.prune(read(zoo(name)), plan)


def test_prune_refuses_a_refit_that_loses_the_answers_and_says_which_error_would_do(
    zoo: Zoo, small: Path
) -> None:
    model, settings = zoo("conv2"), {"method": "random-units", "amount": 0.9, "data": str(small)}
    with pytest.raises(UsageFault, match=r"more than 50% \(24 training images\); lower `amount") as caught:
        pruned(model, **settings, max_error=None)
    enough = float(str(caught.value).rpartition("=")[2].rstrip("`"))
    answers = pruned(model, **settings).outcome.answers
    assert answers is not None
    assert LARGEST_ERROR < answers.lost <= enough < answers.lost + 0.01


@pytest.mark.parametrize("layer", [None, "*"])
def test_distinct_at_15_degrees_on_a_default_network_leaves_most_of_every_layer(
    emoprune: Runner, faces: Path, layer: str | None
) -> None:
    emoprune.done("train", faces, "m.st")
    plan = planned(read("m.st"), layer=layer, max_error=None, data="none")
    assert plan.amount == Amount("angle", 15)
    errors = [each.error_lstsq for each in plan.error_estimate]
    assert all(error is not None and error < LARGEST_ERROR for error in errors)
    assert prune.prune(read("m.st"), plan).outcome.units.after


def training_batch(found: Checkpoint) -> torch.Tensor:
    """The training part of what a checkpoint was trained on."""
    data = training_data_of(found, limit=10_000)
    assert isinstance(data, CalibrationData)
    return torch.cat(list(data.train_batches("images")))


@pytest.mark.parametrize("merge", MERGE_NAMES)
@pytest.mark.parametrize(
    ("name", "layer", "method"),
    [*(("table", "classifier.hidden2", method) for method in OF_UNITS), ("faces", "*hidden1", "distinct")],
)
def test_the_predicted_error_of_a_dense_layer_is_the_error_on_the_training_data(
    zoo: Zoo, model: Path, name: str, layer: str, method: MethodName, merge: Merge
) -> None:
    before = read(model if name == "faces" else zoo(name))
    result = pruned(before, layer=layer, **some(method), merge=merge)
    (found,) = result.outcome.layers
    assert found.after < found.before
    batch = training_batch(before)
    with torch.inference_mode():
        old, new = (each.module()(batch).double().numpy() for each in (before, result.checkpoint))
    # what the output layer computes is the next layer's input
    measured = np.sqrt(np.square(new - old).sum() / np.square(old - old.mean(0)).sum())
    assert getattr(found, f"error_{merge}") == pytest.approx(measured, rel=1e-3, abs=1e-6)
    assert (found.error_lstsq or 0) <= (found.error_sum or 0) + 1e-9


@pytest.mark.parametrize("method", OF_WEIGHTS)
def test_masks_are_the_same_under_either_merge(zoo: Zoo, method: MethodName) -> None:
    one, other = (pruned(zoo("conv2"), **some(method), merge=merge).checkpoint for merge in MERGE_NAMES)
    assert same_tensors(one, other)


def test_a_wider_angle_never_keeps_more_units(model: Path) -> None:
    left = [
        sum(len(each.kept) for each in planned(model, angle=angle).removals) for angle in (0, 15, 30, 45, 60)
    ]
    assert left == sorted(left, reverse=True)
    assert left[0] > left[-1]


@pytest.mark.parametrize("merge", MERGE_NAMES)
def test_at_90_degrees_every_layer_keeps_a_unit(model: Path, faces: Path, merge: Merge) -> None:
    found = pruned(model, angle=90, merge=merge).checkpoint
    assert all(count >= 1 for count in units(found).values())
    assert scores_of(found, faces).units == found.units < 40


def test_prune_goes_on_from_a_pruned_checkpoint(model: Path, faces: Path) -> None:
    first = pruned(model, angle=25)
    second = pruned(first.checkpoint, angle=50)
    assert first.outcome.units.after == second.outcome.units.before == first.checkpoint.units
    assert second.checkpoint.units < first.checkpoint.units
    history = second.checkpoint.history
    assert [(entry.command, entry.parameters.get("angle")) for entry in history] == [
        *(("train", None), ("prune", 25), ("prune", 50))
    ]
    assert {layer.layer: layer.after for layer in second.outcome.layers} == units(second.checkpoint)
    check_works(second.checkpoint, faces)


@pytest.fixture
def trained(emoprune: Runner, small: Path, in_folder: Path) -> Path:
    """A model beside init.st, the weights that it began with."""
    emoprune.done("train", small, "m.st", *SMALL, "--save-init", "init.st", "--epochs", "3")
    return in_folder / "m.st"


def test_rewind_sets_surviving_weights_back_and_masked_ones_to_zero(trained: Path) -> None:
    settings = {"method": "magnitude", "amount": 0.6, "data": "none"}
    now, first = (pruned(trained, **settings, rewind=name).checkpoint for name in (None, "init.st"))
    init = read("init.st")
    assert first.masks.keys() == now.masks.keys()
    assert now.masks
    for name, tensor in first.tensors.items():
        mask = now.masks.get(name, torch.ones_like(tensor, dtype=torch.bool))
        assert torch.equal(first.masks.get(name, mask), mask)
        if mask.shape == init.tensors[name].shape:
            assert torch.equal(tensor, init.tensors[name] * mask)
    assert any(not torch.equal(now.tensors[name], first.tensors[name]) for name in now.masks)


def test_max_error_is_any_by_default_for_weights_that_are_set_back(trained: Path) -> None:
    plans = [
        planned(trained, method="magnitude", amount=0.9, data="none", rewind=rewind, max_error=None)
        for rewind in (None, "init.st")
    ]
    assert [plan.max_error for plan in plans] == [LARGEST_ERROR, math.inf]


def test_rewind_keeps_the_first_weights_of_the_units_that_stay(trained: Path) -> None:
    result = pruned(trained, method="progressive", units=9, merge="sum", rewind="init.st")
    init, layers = read("init.st"), result.outcome.layers
    assert sum(len(layer.removed) for layer in layers) > 0
    for layer in layers:
        name = f"{layer.layer}.bias"
        kept = [unit for unit in range(layer.before) if unit not in layer.removed]
        assert torch.equal(result.checkpoint.tensors[name], init.tensors[name][kept])


def test_a_rewound_network_has_no_statistics_and_is_trained_on(
    emoprune: Runner, trained: Path, small: Path
) -> None:
    first = pruned(trained, method="magnitude", amount=0.5, rewind="init.st").checkpoint
    assert not first.statistics
    # though nothing was measured of it, its units are there
    assert scores_of(first, small).units == scores_of(read(trained), small).units > 0
    with pytest.raises(BadCheckpoint, match="no statistics"):
        survey_layers(first, AnglesConfig())
    first.save("first.st")
    emoprune.done("train", small, "on.st", "--from", "first.st", "--epochs", "1")
    on = read("on.st")
    assert on.statistics
    assert all(not bool(on.tensors[name][~mask].any()) for name, mask in on.masks.items())


def test_weights_that_are_set_back_are_not_refitted(emoprune: Runner, small: Path, in_folder: Path) -> None:
    emoprune.done("train", small, "b.st", "--arch", "conv2", "--size", "16", "--epochs", "1", "--hidden", "6")
    settings = {"method": "reconstruct", "amount": 0.3, "data": str(small)}
    for rewind, refitted in ((None, 24), ("b.st", 0)):
        assert planned(in_folder / "b.st", **settings, rewind=rewind).refitted_on == refitted


def test_the_accuracy_reported_is_that_of_the_rewound_network(trained: Path, small: Path) -> None:
    settings = {"method": "importance", "max_drop": 20, "data": str(small)}
    result = pruned(trained, **settings, rewind="init.st")
    assert result.outcome.evaluated_on is not None
    assert result.outcome.accuracy is not None
    found = scores_of(result.checkpoint, small, result.outcome.evaluated_on.part)
    assert result.outcome.accuracy.after == pytest.approx(found.accuracy)


def test_rewind_refuses_a_network_of_another_shape(emoprune: Runner, trained: Path, small: Path) -> None:
    emoprune.done("train", small, "other.st", *SMALL, "--hidden", "5", "--epochs", "0")
    for name, says in (("other.st", "cannot be gone back to"), ("missing.st", "no such file")):
        assert check_refused(trained, says, rewind=name, error=EmopruneError).startswith(f"{name}: ")


# the network that the budgets are measured on; adopted, so that it takes two seconds
@pytest.mark.parametrize("statistics", [True, False])
def test_the_pruned_file_of_a_resnet_is_not_larger(small: Path, statistics: bool) -> None:
    given: dict[str, Any] = {"arch": "resnet18", "size": "32", "weights": "none", "epochs": 0}
    original = trained_on(small, **given, statistics=statistics)
    before = len(checkpoints.to_bytes(original))
    for data in ("none", str(small)) if statistics else (str(small),):
        result = pruned(original, method="reconstruct", macs=0.5, merge="sum", data=data).checkpoint
        assert bool(result.statistics) == statistics
        assert len(checkpoints.to_bytes(result)) < before


def test_statistics_are_left_out_if_they_are_not_wanted(zoo: Zoo) -> None:
    with_them, bare = (
        pruned(zoo("conv2"), amount=0.4, statistics=wanted).checkpoint for wanted in (True, False)
    )
    assert same_tensors(with_them, bare)
    assert (bare.layers, bare.statistics, bare.moments) == ((), {}, {})
    assert bare.history == with_them.history
