"""Single weights that become zero: as many as asked, and zero for good."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from emoprune.choices import Merge, MethodName, Scope
from emoprune.networks import build
from emoprune.networks.graph import channel_graph
from emoprune.networks.statistics.activation_statistics import collect
from emoprune.networks.types import Checkpoint, Spec
from emoprune.pruning import surgery
from emoprune.pruning.angles import survey_layers
from emoprune.pruning.context import Schedule
from emoprune.pruning.selection.magnitude import silenced
from emoprune.pruning.types import AnglesConfig, Plan, PruneConfig
from tests.support import reference_pruning as literal
from tests.support.checkpoints import (
    MERGE_NAMES,
    OF_WEIGHTS,
    Zoo,
    check_agrees,
    check_works,
    pruned,
    read,
)
from tests.support.command_line import Runner
from tests.support.layers import checkpoint_of, context_of, run_of
from tests.support.silencing import randomize
from tests.support.wiring import Wired, conv, head, smaller

WEIGHTS = ("classifier.hidden1.weight", "classifier.hidden2.weight", "classifier.output.weight")


@pytest.fixture(scope="module")
def checkpoint() -> Checkpoint:
    return checkpoint_of(Spec("mlp", 3, (6,), (10, 8)), torch.randn(50, 6))


def schedule_of(checkpoint: Checkpoint, method: MethodName, **settings: Any) -> Schedule:
    return run_of(checkpoint, PruneConfig(method=method, **settings), weights=WEIGHTS).schedule()


def applied(checkpoint: Checkpoint, plan: Plan) -> Checkpoint:
    context = context_of(checkpoint)
    return surgery.pruned_checkpoint(checkpoint, context, plan, surgery.apply(plan, context, {}))


def zeros(tensors: Mapping[str, Tensor]) -> int:
    return sum(int((tensors[name] == 0).sum()) for name in WEIGHTS)


@settings(max_examples=20)
@given(seed=st.integers(0, 1000), share=st.floats(0, 0.999))
def test_magnitude_schedule_masks_the_smallest_weights_of_all(seed: int, share: float) -> None:
    found = checkpoint_of(Spec("mlp", 3, (6,), (10, 8)), torch.randn(5, 6), seed=seed)
    schedule = schedule_of(found, "magnitude")
    assert schedule.length == 6 * 10 + 10 * 8 + 8 * 3 - 1
    step = round(share * schedule.length)
    plan = schedule.plan(step)
    expected = literal.smallest_weights([found.tensors[name].double().numpy() for name in WEIGHTS], step)
    assert plan.removals == ()
    for name, mask in zip(WEIGHTS, expected, strict=True):
        assert np.array_equal(plan.masks[name].numpy(), mask)
    assert zeros(applied(found, plan).tensors) == step


@pytest.mark.parametrize("step", [0, 17, 82, 150])
def test_magnitude_schedule_of_scope_layer_masks_the_smallest_of_each_layer(
    checkpoint: Checkpoint, step: int
) -> None:
    schedule = schedule_of(checkpoint, "magnitude", scope="layer")
    plan = schedule.plan(step)
    shares = []
    for name in WEIGHTS:
        weight, mask = checkpoint.tensors[name].double().numpy(), plan.masks[name].numpy()
        count = int((~mask).sum())
        assert np.array_equal(mask, literal.smallest_weights([weight], count)[0])
        shares.append(count / weight.size)
        assert abs(count - step / (schedule.length + 1) * weight.size) <= 1
    assert max(shares) - min(shares) <= 1 / 24 + 1e-9


@pytest.mark.parametrize("name", OF_WEIGHTS)
@pytest.mark.parametrize("scope", ["global", "layer"])
def test_each_plan_masks_one_weight_more_than_the_one_before(
    checkpoint: Checkpoint, name: MethodName, scope: Scope
) -> None:
    schedule = schedule_of(checkpoint, name, scope=scope)
    before = schedule.plan(0)
    assert all(bool(mask.all()) for mask in before.masks.values())
    for step in range(1, schedule.length + 1):
        now = schedule.plan(step)
        assert sum(int((~mask).sum()) for mask in now.masks.values()) == step
        assert all(not bool((now.masks[each] & ~before.masks[each]).any()) for each in WEIGHTS)
        before = now


@pytest.mark.parametrize("method", OF_WEIGHTS)
@pytest.mark.parametrize("scope", ["global", "layer"])
@pytest.mark.parametrize("second", [30, 80, 120])
def test_masking_again_keeps_all_zeros_and_masks_them(
    checkpoint: Checkpoint, method: MethodName, scope: Scope, second: int
) -> None:
    once = applied(checkpoint, schedule_of(checkpoint, "magnitude").plan(80))
    twice = applied(once, schedule_of(once, method, scope=scope).plan(second))
    for each in WEIGHTS:
        assert not bool(twice.tensors[each][once.tensors[each] == 0].any())
        # a zero that no mask holds could come back in training
        assert not bool((twice.masks[each] & ~once.masks[each]).any())
    if scope == "global":
        assert zeros(twice.tensors) == max(80, second)


def test_random_weights_follow_the_seed_whatever_their_size(checkpoint: Checkpoint) -> None:
    first, again, other = (schedule_of(checkpoint, "random", seed=seed).plan(82) for seed in (5, 5, 6))
    assert all(torch.equal(first.masks[name], again.masks[name]) for name in WEIGHTS)
    assert any(not torch.equal(first.masks[name], other.masks[name]) for name in WEIGHTS)
    smallest = schedule_of(checkpoint, "magnitude").plan(82)
    same = sum(int((~first.masks[name] & ~smallest.masks[name]).sum()) for name in WEIGHTS)
    assert 20 < same < 62


Planting = Callable[[Wired], dict[str, set[int]]]


def chained() -> Wired:
    """Three convolutions one after the other, then dense layers."""

    def wire(net: Wired, x: Tensor) -> Tensor:
        h = torch.relu(net.third(torch.relu(net.second(torch.relu(net.first(x))))))
        found: Tensor = net.last(torch.relu(net.dense(torch.flatten(h, 1))))
        return found

    return Wired(
        wire,
        first=conv(3, 8),
        second=conv(8, 7),
        third=conv(7, 6, stride=3),
        dense=nn.Linear(24, 9),
        last=nn.Linear(9, 2),
    )


def residual() -> Wired:
    """Two convolutions add to one map; a depthwise one and a batch norm stand between others."""

    def wire(net: Wired, x: Tensor) -> Tensor:
        h = torch.relu(net.stem(x))
        h = torch.relu(net.inner(torch.relu(net.norm(net.depthwise(h)))) + net.side(h))
        found: Tensor = net.head(h)
        return found

    return Wired(
        wire,
        stem=conv(3, 8),
        depthwise=conv(8, 8, groups=8, bias=False),
        norm=nn.BatchNorm2d(8),
        inner=conv(8, 6),
        side=conv(8, 6, 1),
        head=head(6),
    )


def filled(make: Callable[[], Wired]) -> Wired:
    torch.manual_seed(0)
    net = make()
    randomize(net)
    return net.eval()


def silenced_in(net: Wired, seed: int = 0) -> Plan:
    graph = channel_graph(net, (3, 6, 6))
    noise = torch.randn(2, 3, 6, 6, generator=torch.Generator().manual_seed(seed))
    return silenced(graph, net.state_dict(), collect(net, graph, graph.layers, [noise]))


def check_the_same(net: Wired, plan: Plan) -> None:
    graph = channel_graph(net, (3, 6, 6))
    alive = torch.ones(graph.units, dtype=torch.bool)
    for removal in plan.removals:
        start, _ = graph.spans[removal.layer]
        alive[[start + unit for unit in removal.removed]] = False
    net = copy.deepcopy(net).double()
    batch = torch.randn(30, 3, 6, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(9)) * 3
    with torch.no_grad():
        whole, small = net(batch), smaller(net, graph, alive)(batch)
    assert torch.allclose(whole, small, rtol=1e-12, atol=1e-12)


def taken(plan: Plan) -> dict[str, set[int]]:
    return {removal.layer: set(removal.removed) for removal in plan.removals}


def unread(net: Wired) -> dict[str, set[int]]:
    net.second.weight[:, [1, 4]] = 0
    # the four positions of channel 2
    net.dense.weight[:, 8:12] = 0
    return {"first": {1, 4}, "third": {2}}


def unwritten(net: Wired) -> dict[str, set[int]]:
    net.second.weight[[0, 3]] = 0
    net.second.bias[[0, 3]] = torch.tensor([0.0, -0.4])
    net.dense.weight[5], net.dense.bias[5] = 0, 0
    return {"second": {0, 3}, "dense": {5}}


def in_chains(net: Wired) -> dict[str, set[int]]:
    net.last.weight[:, [0, 1, 2]] = 0
    # only those three read channel 4 of the third, only that reads channel 6 of the second
    net.dense.weight[3:, 16:20] = 0
    keep = torch.arange(6) != 4
    net.third.weight[keep, 6] = 0
    # what only a silent unit writes is silent
    net.first.weight[2], net.first.bias[2] = 0, 0
    others = torch.arange(8) != 2
    net.second.weight[1, others] = 0
    net.second.bias[1] = 0
    return {"first": {2}, "second": {1, 6}, "third": {4}, "dense": {0, 1, 2}}


def constant(net: Wired) -> dict[str, set[int]]:
    net.first.weight[[0, 5]] = 0
    net.first.bias[[0, 5]] = torch.tensor([0.8, 0.0])
    net.dense.weight[4], net.dense.bias[4] = 0, 0.3
    return {"first": {5}}


@pytest.mark.parametrize("plant", [unread, unwritten, in_chains, constant])
def test_silenced_finds_planted_units_and_no_others(plant: Planting) -> None:
    net = filled(chained)
    with torch.no_grad():
        expected = plant(net)
    plan = silenced_in(net)
    assert taken(plan) == expected
    assert all(removal.insignificant == removal.removed for removal in plan.removals)
    check_the_same(net, plan)


def in_one_branch(net: Wired) -> dict[str, set[int]]:
    net.inner.weight[2], net.inner.bias[2] = 0, 0
    net.inner.weight[:, 3] = 0
    return {}


def in_both_branches(net: Wired) -> dict[str, set[int]]:
    for branch in (net.inner, net.side):
        branch.weight[2], branch.bias[2] = 0, 0
        branch.weight[:, 3] = 0
    return {"stem": {3}, "inner": {2}}


def shifted_by_its_norm(net: Wired) -> dict[str, set[int]]:
    net.stem.weight[4], net.stem.bias[4] = 0, 0
    net.norm.weight[4], net.norm.bias[4], net.norm.running_mean[4] = 1, 0.7, 0
    net.stem.weight[5], net.stem.bias[5] = 0, 0
    net.norm.weight[5], net.norm.bias[5], net.norm.running_mean[5] = 1, -0.7, 0
    return {"stem": {5}}


@pytest.mark.parametrize("plant", [in_one_branch, in_both_branches, shifted_by_its_norm])
def test_silenced_needs_a_unit_silent_in_every_branch(plant: Planting) -> None:
    net = filled(residual)
    with torch.no_grad():
        expected = plant(net)
    plan = silenced_in(net)
    assert taken(plan) == expected
    check_the_same(net, plan)


@pytest.mark.parametrize("share", [0.5, 0.8, 0.95, 1.0])
@pytest.mark.parametrize("make", [chained, residual])
@pytest.mark.parametrize("seed", range(4))
def test_masked_networks_compute_the_same_without_silenced_units(
    make: Callable[[], Wired], share: float, seed: int
) -> None:
    net = filled(make)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in net.named_parameters():
            if parameter.ndim > 1:
                # whole kernels and whole columns, else hardly any unit falls silent
                for dim in (0, 1):
                    sides = [1] * parameter.ndim
                    sides[dim] = -1
                    kept = torch.rand(parameter.shape[dim], generator=generator) >= share / 2
                    parameter.mul_(kept.reshape(sides) & torch.tensor(share < 1))
            elif name.endswith("bias"):
                parameter.mul_(torch.rand(parameter.shape, generator=generator) < 0.5)
    plan = silenced_in(net, seed)
    for removal in plan.removals:
        assert len(removal.kept) >= 1
    assert share < 1 or plan.removals
    check_the_same(net, plan)


def test_silenced_finds_none_in_a_dense_network() -> None:
    for make in (chained, residual):
        assert silenced_in(filled(make)) == Plan(())


def test_silenced_leaves_units_that_an_input_may_wake() -> None:
    net = filled(chained)
    with torch.no_grad():
        # noise hardly ever wakes them, an input may
        net.first.bias[:3] = -50
    assert silenced_in(net) == Plan(())


COUNTS = {
    "features.0.weight": 400,
    "features.3.weight": 12800,
    "classifier.hidden1.weight": 3456,
    "classifier.output.weight": 36,
}
TOTAL = sum(COUNTS.values())


def masked(model: Checkpoint | Path, method: MethodName, share: float, **more: Any) -> Checkpoint:
    """A model after a method has masked that fraction of its weights."""
    original = model if isinstance(model, Checkpoint) else read(model)
    result = pruned(original, method=method, amount=share, **more)
    check_agrees(result.outcome, original, result.checkpoint)
    return result.checkpoint


def removed_by_masks(found: Checkpoint) -> dict[str, int]:
    """How many weights each mask removes; all of them are zero."""
    for name, mask in found.masks.items():
        assert (mask.dtype, mask.shape) == (torch.bool, found.tensors[name].shape)
        assert not bool(found.tensors[name][~mask].any())
    return {name: int((~mask).sum()) for name, mask in found.masks.items()}


@pytest.mark.parametrize(
    ("method", "share"), [*(("magnitude", share) for share in (0, 0.1, 0.77)), ("random", 0.5)]
)
def test_exactly_that_fraction_of_the_weights_becomes_zero(
    zoo: Zoo, method: MethodName, share: float
) -> None:
    found = masked(zoo("conv2"), method, share)
    assert found.masks.keys() == COUNTS.keys()
    assert sum(removed_by_masks(found).values()) == round(TOTAL * share)
    # in a network that was never pruned nothing is zero by itself
    assert sum(int((found.tensors[name] == 0).sum()) for name in COUNTS) == round(TOTAL * share)


@pytest.mark.parametrize("method", OF_WEIGHTS)
def test_scope_layer_masks_the_same_fraction_of_every_layer(zoo: Zoo, method: MethodName) -> None:
    removed = removed_by_masks(masked(zoo("conv2"), method, 0.25, scope="layer"))
    assert sum(removed.values()) == round(TOTAL * 0.25)
    for name, count in COUNTS.items():
        assert abs(removed[name] - 0.25 * count) <= 1


def test_magnitude_masks_the_smallest_weights_of_all_layers(zoo: Zoo) -> None:
    found = masked(zoo("conv2"), "magnitude", 0.5)
    before = read(zoo("conv2")).tensors
    largest = max(float(before[name][~mask].abs().max()) for name, mask in found.masks.items())
    assert largest <= min(float(before[name][mask].abs().min()) for name, mask in found.masks.items())
    for name, mask in found.masks.items():
        assert torch.equal(found.tensors[name], before[name] * mask)


def test_layers_that_do_not_match_keep_their_weights(zoo: Zoo) -> None:
    found = masked(zoo("conv2"), "magnitude", 0.5, layer="features.*")
    assert removed_by_masks(found).keys() == {"features.0.weight", "features.3.weight"}
    assert sum(removed_by_masks(found).values()) == 6600
    before = read(zoo("conv2")).tensors
    for name in ("classifier.hidden1.weight", "classifier.output.weight"):
        assert torch.equal(found.tensors[name], before[name])


def test_weights_of_a_layer_without_units_can_be_masked(zoo: Zoo) -> None:
    found = masked(zoo("conv2"), "magnitude", 0.25, layer="classifier.output")
    assert removed_by_masks(found) == {"classifier.output.weight": 9}


def test_a_model_without_statistics_can_lose_weights(emoprune: Runner, small: Path) -> None:
    options = ("--arch", "squeezenet1_1", "--size", "32", "--weights", "none", "--epochs", "0")
    emoprune.done("train", small, "m.st", *options, "--no-statistics")
    assert sum(removed_by_masks(masked(Path("m.st"), "magnitude", 0.5)).values()) > 0


@pytest.mark.parametrize(
    ("second", "share"), [("magnitude", 0.3), ("magnitude", 0.9), ("random", 0.3), ("random", 0.65)]
)
def test_zeros_stay_zero_when_more_weights_are_masked(zoo: Zoo, second: MethodName, share: float) -> None:
    first = masked(zoo("conv2"), "magnitude", 0.6)
    both = masked(first, second, share)
    for name, mask in first.masks.items():
        assert not bool((both.masks[name] & ~mask).any()), "no later mask gives a weight back"
    # weights that are zero already count toward the amount
    assert sum(removed_by_masks(both).values()) == round(TOTAL * max(0.6, share))


@pytest.mark.parametrize("merge", MERGE_NAMES)
@pytest.mark.parametrize("images", ["none", "small"])
def test_zeros_stay_zero_when_units_are_removed(zoo: Zoo, small: Path, merge: Merge, images: str) -> None:
    first = masked(zoo("conv2"), "magnitude", 0.6)
    data = str(small) if images == "small" else images
    result = pruned(first, method="reconstruct", amount=0.4, merge=merge, data=data)
    found = result.checkpoint
    check_agrees(result.outcome, first, found)
    removed = {layer.layer: layer.removed for layer in result.outcome.layers}
    kept = [unit for unit in range(32) if unit not in removed["features.3"]]
    inputs = [unit for unit in range(16) if unit not in removed["features.0"]]
    assert torch.equal(found.masks["features.3.weight"], first.masks["features.3.weight"][kept][:, inputs])
    assert sum(removed_by_masks(found).values()) > 0.5 * sum(mask.numel() for mask in found.masks.values())
    check_works(found, small)
    assert found.masks.keys() == COUNTS.keys()


def test_zeros_stay_zero_through_three_prunings(zoo: Zoo) -> None:
    twice = masked(masked(zoo("conv2"), "magnitude", 0.8), "magnitude", 0.5)
    counts = pruned(twice, method="reconstruct", amount=0.3).outcome.nonzero_parameters
    assert counts.before is not None
    assert counts.after is not None
    assert counts.after < counts.before < 0.25 * TOTAL


def test_a_sparse_network_can_be_evaluated_and_exported(emoprune: Runner, zoo: Zoo, small: Path) -> None:
    found = masked(zoo("conv2"), "magnitude", 0.5)
    check_works(found, small)
    found.save("o.st")
    emoprune.done("export", "o.st", "o.onnx", "--data", small)
    one, other = (emoprune.done("eval", path, small).record for path in ("o.st", "o.onnx"))
    for key in ("confusion", "parameters", "nonzero_parameters", "units"):
        assert one[key] == other[key]
    assert one["nonzero_parameters"] < 0.51 * one["parameters"]


def test_a_note_says_that_dense_engines_gain_nothing(zoo: Zoo, told: pytest.LogCaptureFixture) -> None:
    outcome = pruned(zoo("conv2"), method="magnitude", amount=0.5).outcome
    (note,) = [record.getMessage() for record in told.records if record.levelname == "INFO"]
    assert "49.8% of the parameters are zero" in note
    assert "dense engine" in note
    assert outcome.macs.before == outcome.macs.after


@pytest.mark.parametrize("merge", MERGE_NAMES)
def test_a_heavy_loss_is_warned_of_under_either_merge(
    zoo: Zoo, merge: Merge, told: pytest.LogCaptureFixture
) -> None:
    outcome = pruned(zoo("conv2"), method="magnitude", amount=0.99, merge=merge).outcome
    assert any((layer.error_sum or 0) > 0.5 for layer in outcome.layers)
    assert [record for record in told.records if record.levelname == "WARNING"]


@pytest.mark.parametrize("name", ["conv2", "shufflenet_v2_x0_5"])
def test_silent_units_are_removed_and_the_network_computes_the_same(
    zoo: Zoo, small: Path, name: str, told: pytest.LogCaptureFixture
) -> None:
    before = read(zoo(name))
    result = pruned(before, method="magnitude", amount=0.95, data="none")
    after = result.checkpoint
    assert 0 < after.units < before.units
    assert f"{before.units - after.units:,} silent units" in told.text
    weights = {name: before.tensors[name] for name in after.masks}
    sizes = torch.cat([weight.abs().flatten() for weight in weights.values()])
    least = sizes.sort().values[round(0.95 * len(sizes))]
    large = {name: weight * (weight.abs() >= least) for name, weight in weights.items()}
    batch = torch.randn(5, *before.spec.input, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        one = build.restore(before.spec, {**before.tensors, **large})(batch)
        other = after.module()(batch)
    torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)
    check_works(after, small)


def test_statistics_older_than_the_masks_are_noted(
    zoo: Zoo, small: Path, told: pytest.LogCaptureFixture
) -> None:
    stale = "its statistics are older than its masks"

    def noted(call: Callable[[], object]) -> bool:
        told.clear()
        call()
        return stale in told.text

    found = masked(zoo("conv2"), "magnitude", 0.5, data="none")
    fewer = {"method": "reconstruct", "amount": 0.2}
    assert noted(lambda: survey_layers(found, AnglesConfig()))
    assert noted(lambda: pruned(found, **fewer, data="none"))
    again = pruned(found, **fewer, data=str(small)).checkpoint
    # measured again, it passes on statistics of its masked weights
    assert not noted(lambda: pruned(found, **fewer, data=str(small)))
    assert not noted(lambda: survey_layers(again, AnglesConfig()))
    assert not noted(lambda: survey_layers(read(zoo("conv2")), AnglesConfig()))
