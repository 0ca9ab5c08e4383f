"""Single weights that emoprune prune makes zero: as many as asked, and zero for good."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from emoprune.choices import Scope
from emoprune.networks import build
from emoprune.networks.activation_statistics import collect
from emoprune.networks.graph import channel_graph
from emoprune.networks.types import Checkpoint, HistoryEntry, Spec
from emoprune.pruning import surgery
from emoprune.pruning.context import Request, Schedule
from emoprune.pruning.magnitude import silenced
from emoprune.pruning.methods import METHODS
from emoprune.pruning.types import Plan
from tests.support import reference_pruning as literal
from tests.support.checkpoints import OF_WEIGHTS, OFFLINE, changed, check_agrees, check_works, read, units
from tests.support.command_line import Runner
from tests.support.layers import checkpoint_of, footprint_of, opened
from tests.support.silencing import randomize
from tests.support.wiring import Wired, conv, head, smaller

WEIGHTS = ("classifier.hidden1.weight", "classifier.hidden2.weight", "classifier.output.weight")


@pytest.fixture(scope="module")
def checkpoint() -> Checkpoint:
    return checkpoint_of(Spec("mlp", 3, (6,), (10, 8)), torch.randn(50, 6))


def course_of(checkpoint: Checkpoint, name: str, *, scope: Scope = "global", seed: int = 0) -> Schedule:
    context = opened(checkpoint)
    request = Request(scope=scope, seed=seed, weights=WEIGHTS)
    return METHODS[name].plans(context, footprint_of(checkpoint, context), request)


def carried_out(checkpoint: Checkpoint, plan: Plan) -> Checkpoint:
    return surgery.apply(plan, checkpoint, opened(checkpoint), {})


def zeros(tensors: Mapping[str, Tensor]) -> int:
    return sum(int((tensors[name] == 0).sum()) for name in WEIGHTS)


@settings(max_examples=20)
@given(seed=st.integers(0, 1000), share=st.floats(0, 0.999))
def test_the_smallest_weights_of_all_become_zero(seed: int, share: float) -> None:
    found = checkpoint_of(Spec("mlp", 3, (6,), (10, 8)), torch.randn(5, 6), seed=seed)
    schedule = course_of(found, "magnitude")
    assert schedule.length == 6 * 10 + 10 * 8 + 8 * 3 - 1
    step = round(share * schedule.length)
    plan = schedule.plan(step)
    expected = literal.smallest_weights([found.tensors[name].double().numpy() for name in WEIGHTS], step)
    assert plan.removals == ()
    for name, mask in zip(WEIGHTS, expected, strict=True):
        assert np.array_equal(plan.masks[name].numpy(), mask)
    assert zeros(carried_out(found, plan).tensors) == step


@pytest.mark.parametrize("step", [0, 17, 82, 150])
def test_the_smallest_weights_of_each_layer_become_zero(checkpoint: Checkpoint, step: int) -> None:
    schedule = course_of(checkpoint, "magnitude", scope="layer")
    plan = schedule.plan(step)
    shares = []
    for name in WEIGHTS:
        weight, mask = checkpoint.tensors[name].double().numpy(), plan.masks[name].numpy()
        count = int((~mask).sum())
        assert np.array_equal(mask, literal.smallest_weights([weight], count)[0])
        shares.append(count / weight.size)
        assert abs(count - step / (schedule.length + 1) * weight.size) <= 1
    assert max(shares) - min(shares) <= 1 / 24 + 1e-9


@pytest.mark.parametrize("name", ["magnitude", "random"])
@pytest.mark.parametrize("scope", ["global", "layer"])
def test_each_plan_takes_what_the_one_before_took_and_one_weight_more(
    checkpoint: Checkpoint, name: str, scope: Scope
) -> None:
    schedule = course_of(checkpoint, name, scope=scope)
    before = schedule.plan(0)
    assert all(bool(mask.all()) for mask in before.masks.values())
    for step in range(1, schedule.length + 1):
        now = schedule.plan(step)
        assert sum(int((~mask).sum()) for mask in now.masks.values()) == step
        assert all(not bool((now.masks[each] & ~before.masks[each]).any()) for each in WEIGHTS)
        before = now


def pruned_twice(
    checkpoint: Checkpoint, name: str, scope: Scope, second: int
) -> tuple[Checkpoint, Checkpoint]:
    once = carried_out(checkpoint, course_of(checkpoint, "magnitude").plan(80))
    return once, carried_out(once, course_of(once, name, scope=scope).plan(second))


@pytest.mark.parametrize("name", ["magnitude", "random"])
@pytest.mark.parametrize("scope", ["global", "layer"])
@pytest.mark.parametrize("second", [30, 80, 120])
def test_pruning_again_never_brings_a_zero_back(
    checkpoint: Checkpoint, name: str, scope: Scope, second: int
) -> None:
    once, twice = pruned_twice(checkpoint, name, scope, second)
    for each in WEIGHTS:
        assert not bool(twice.tensors[each][once.tensors[each] == 0].any())
    if scope == "global":
        assert zeros(twice.tensors) == max(80, second)


@pytest.mark.parametrize("name", ["magnitude", "random"])
@pytest.mark.parametrize("scope", ["global", "layer"])
@pytest.mark.parametrize("second", [30, 80, 120])
def test_masks_of_a_network_pruned_again_have_all_its_zeros(
    checkpoint: Checkpoint, name: str, scope: Scope, second: int
) -> None:
    once, twice = pruned_twice(checkpoint, name, scope, second)
    for each in WEIGHTS:
        # where a mask lets go of a zero, training could bring it back
        assert not bool((twice.masks[each] & ~once.masks[each]).any())


def test_random_weights_follow_the_seed_and_look_at_no_size(checkpoint: Checkpoint) -> None:
    first, again, other = (course_of(checkpoint, "random", seed=seed).plan(82) for seed in (5, 5, 6))
    assert all(torch.equal(first.masks[name], again.masks[name]) for name in WEIGHTS)
    assert any(not torch.equal(first.masks[name], other.masks[name]) for name in WEIGHTS)
    smallest = course_of(checkpoint, "magnitude").plan(82)
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
def test_planted_silent_units_are_found_and_no_others(plant: Planting) -> None:
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
def test_a_unit_is_silent_only_if_it_is_so_everywhere(plant: Planting) -> None:
    net = filled(residual)
    with torch.no_grad():
        expected = plant(net)
    plan = silenced_in(net)
    assert taken(plan) == expected
    check_the_same(net, plan)


@pytest.mark.parametrize("share", [0.5, 0.8, 0.95, 1.0])
@pytest.mark.parametrize("make", [chained, residual])
@pytest.mark.parametrize("seed", range(4))
def test_masked_networks_compute_the_same_without_their_silent_units(
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


def test_a_dense_network_has_no_silent_units() -> None:
    for make in (chained, residual):
        assert silenced_in(filled(make)) == Plan(())


def test_units_that_are_asleep_by_chance_are_not_silent() -> None:
    net = filled(chained)
    with torch.no_grad():
        # noise hardly ever wakes them, an input may
        net.first.bias[:3] = -50
    assert silenced_in(net) == Plan(())


Zoo = Callable[[str], Path]
WEIGHTS_PRUNE_MASKS = {
    "features.0.weight": 400,
    "features.3.weight": 12800,
    "classifier.hidden1.weight": 3456,
    "classifier.output.weight": 36,
}
TOTAL = sum(WEIGHTS_PRUNE_MASKS.values())


def zeros_prune_masks(checkpoint: Checkpoint) -> dict[str, int]:
    """How many weights each mask takes; each is zero."""
    found = {}
    for name, mask in checkpoint.masks.items():
        assert mask.dtype == torch.bool
        assert mask.shape == checkpoint.tensors[name].shape
        assert not bool(checkpoint.tensors[name][~mask].any())
        found[name] = int((~mask).sum())
    return found


def masked(emoprune: Runner, model: Path | str, method: str, share: float, *more: object) -> Checkpoint:
    """The written checkpoint of a method at that share."""
    options = ("--method", method, "--amount", share, *more, "-o", "o.st", "--force")
    check_agrees(emoprune.done("prune", model, *options).record, model, "o.st")
    return read("o.st")


@pytest.mark.parametrize(
    ("method", "share"), [*(("magnitude", share) for share in (0, 0.1, 0.77)), ("random", 0.5)]
)
def test_exactly_that_share_of_the_weights_is_zero(
    emoprune: Runner, zoo: Zoo, method: str, share: float
) -> None:
    found = masked(emoprune, zoo("conv2"), method, share)
    assert found.masks.keys() == WEIGHTS_PRUNE_MASKS.keys()
    assert sum(zeros_prune_masks(found).values()) == round(TOTAL * share)
    # in a network that was never pruned nothing is zero by itself
    assert sum(int((found.tensors[name] == 0).sum()) for name in WEIGHTS_PRUNE_MASKS) == round(TOTAL * share)


@pytest.mark.parametrize("method", OF_WEIGHTS)
def test_scope_layer_takes_the_same_share_of_every_weight(emoprune: Runner, zoo: Zoo, method: str) -> None:
    taken = zeros_prune_masks(masked(emoprune, zoo("conv2"), method, 0.25, "--scope", "layer"))
    assert sum(taken.values()) == round(TOTAL * 0.25)
    for name, count in WEIGHTS_PRUNE_MASKS.items():
        assert abs(taken[name] - 0.25 * count) <= 1


def test_magnitude_takes_the_smallest_of_all(emoprune: Runner, zoo: Zoo) -> None:
    found = masked(emoprune, zoo("conv2"), "magnitude", 0.5)
    before = read(zoo("conv2")).tensors
    taken = max(float(before[name][~mask].abs().max()) for name, mask in found.masks.items())
    left = min(float(before[name][mask].abs().min()) for name, mask in found.masks.items())
    assert taken <= left
    for name, mask in found.masks.items():
        assert torch.equal(found.tensors[name], before[name] * mask)


def test_layers_that_do_not_match_keep_their_weights(emoprune: Runner, zoo: Zoo) -> None:
    found = masked(emoprune, zoo("conv2"), "magnitude", 0.5, "--layer", "features.*")
    assert zeros_prune_masks(found).keys() == {"features.0.weight", "features.3.weight"}
    assert sum(zeros_prune_masks(found).values()) == 6600
    before = read(zoo("conv2")).tensors
    for name in ("classifier.hidden1.weight", "classifier.output.weight"):
        assert torch.equal(found.tensors[name], before[name])


def test_weights_of_any_layer_can_be_chosen(emoprune: Runner, zoo: Zoo) -> None:
    # it has no units of its own, but weights
    found = masked(emoprune, zoo("conv2"), "magnitude", 0.25, "--layer", "classifier.output")
    assert zeros_prune_masks(found) == {"classifier.output.weight": 9}


def test_a_model_without_statistics_loses_weights_all_the_same(emoprune: Runner, small: Path) -> None:
    options = ("--arch", "squeezenet1_1", "--size", "32", "--weights", "none", "--epochs", "0")
    emoprune.done("train", small, "m.st", *options, "--freeze", "backbone")
    found = masked(emoprune, "m.st", "magnitude", 0.5)
    assert sum(zeros_prune_masks(found).values()) > 0


@pytest.mark.parametrize(
    ("second", "share"), [("magnitude", 0.3), ("magnitude", 0.9), ("random", 0.3), ("random", 0.65)]
)
def test_zeros_stay_zero_when_more_weights_go(emoprune: Runner, zoo: Zoo, second: str, share: float) -> None:
    first = masked(emoprune, zoo("conv2"), "magnitude", 0.6)
    Path("first.st").write_bytes(Path("o.st").read_bytes())
    both = masked(emoprune, "first.st", second, share)
    for name, mask in first.masks.items():
        assert not bool((both.masks[name] & ~mask).any()), "what a mask has taken no later one gives back"
    # weights that are gone already count toward what is asked
    assert sum(zeros_prune_masks(both).values()) == round(TOTAL * max(0.6, share))


@pytest.mark.parametrize("merge", ["lstsq", "sum"])
@pytest.mark.parametrize("images", ["none", "small"])
def test_zeros_stay_zero_when_units_go(
    emoprune: Runner, zoo: Zoo, small: Path, merge: str, images: str
) -> None:
    first = masked(emoprune, zoo("conv2"), "magnitude", 0.6)
    data = small if images == "small" else images
    options = ("--method", "reconstruct", "--amount", "0.4", "--merge", merge, "--data", data)
    record = emoprune.done("prune", "o.st", *options, "-o", "two.st").record
    check_agrees(record, "o.st", "two.st")
    found = read("two.st")
    gone = {layer["layer"]: layer["removed"] for layer in record["layers"]}
    kept = [unit for unit in range(32) if unit not in gone["features.3"]]
    read_by = [unit for unit in range(16) if unit not in gone["features.0"]]
    assert torch.equal(found.masks["features.3.weight"], first.masks["features.3.weight"][kept][:, read_by])
    assert sum(zeros_prune_masks(found).values()) > 0.5 * sum(mask.numel() for mask in found.masks.values())
    check_works(emoprune, "two.st", small)
    assert found.masks.keys() == WEIGHTS_PRUNE_MASKS.keys()


def test_zeros_stay_zero_through_three_prunes(emoprune: Runner, zoo: Zoo) -> None:
    masked(emoprune, zoo("conv2"), "magnitude", 0.8)
    masked(emoprune, "o.st", "magnitude", 0.5)
    record = emoprune.done(
        "prune", "o.st", "--method", "reconstruct", "--amount", "0.3", "-o", "two.st"
    ).record
    counts = record["nonzero_parameters"]
    assert counts["after"] < counts["before"] < 0.25 * TOTAL


def test_a_sparse_network_is_evaluated_and_exported(emoprune: Runner, zoo: Zoo, small: Path) -> None:
    masked(emoprune, zoo("conv2"), "magnitude", 0.5)
    check_works(emoprune, "o.st", small)
    emoprune.done("export", "o.st", "o.onnx", "--data", small)
    one, other = (emoprune.done("eval", path, small).record for path in ("o.st", "o.onnx"))
    for key in ("confusion", "parameters", "nonzero_parameters", "units"):
        assert one[key] == other[key]
    assert one["nonzero_parameters"] < 0.51 * one["parameters"]


def test_a_note_says_that_dense_engines_gain_nothing(emoprune: Runner, zoo: Zoo) -> None:
    result = emoprune.done("prune", zoo("conv2"), "--method", "magnitude", "--amount", "0.5", "--dry-run")
    (note,) = [line for line in result.err.splitlines() if line.startswith("note: ")]
    assert "49.8% of the parameters are zero" in note
    assert "dense engine" in note
    assert result.record["macs"]["before"] == result.record["macs"]["after"]


@pytest.mark.parametrize("merge", ["lstsq", "sum"])
def test_a_heavy_loss_is_told_whatever_merge_was_named(emoprune: Runner, zoo: Zoo, merge: str) -> None:
    options = ("--method", "magnitude", "--amount", "0.99", "--merge", merge, "--dry-run")
    result = emoprune.done("prune", zoo("conv2"), *options)
    assert any(layer["error_sum"] > 0.5 for layer in result.record["layers"])
    assert "warning: " in result.err


@pytest.mark.parametrize("name", ["conv2", "shufflenet_v2_x0_5"])
def test_units_that_fall_silent_really_go_and_nobody_misses_them(
    emoprune: Runner, zoo: Zoo, small: Path, name: str
) -> None:
    options = ("--method", "magnitude", "--amount", "0.95", *OFFLINE, "-o", "o.st")
    result = emoprune.done("prune", zoo(name), *options)
    counts = result.record["units"]
    assert 0 < counts["after"] < counts["before"]
    assert counts["after"] == sum(units("o.st").values())
    assert f"{counts['before'] - counts['after']:,} units" in result.err
    before, after = read(zoo(name)), read("o.st")
    sizes = torch.cat([before.tensors[weight].abs().flatten() for weight in after.masks])
    least = sizes.sort().values[round(0.95 * len(sizes))]
    masked = {**before.tensors}
    for weight in after.masks:
        masked[weight] = masked[weight] * (masked[weight].abs() >= least)
    batch = torch.randn(5, *before.spec.input, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        one, other = (
            build.restore(found.spec, tensors)(batch)
            for found, tensors in ((before, masked), (after, after.tensors))
        )
    torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)
    check_works(emoprune, "o.st", small)


def test_statistics_of_before_the_masks_are_not_passed_over_in_silence(
    emoprune: Runner, zoo: Zoo, small: Path
) -> None:
    stale = "its statistics are of before weights of it were masked"
    masked(emoprune, zoo("conv2"), "magnitude", 0.5, *OFFLINE)
    units_go = ("--method", "reconstruct", "--amount", "0.2", "-o", "p.st", "--force")
    assert stale in emoprune.done("angles", "o.st").err
    assert stale in emoprune.done("prune", "o.st", *units_go, *OFFLINE).err
    assert stale not in emoprune.done("prune", "o.st", *units_go, "--data", small).err
    # measured anew, it hands what it measured on
    assert stale not in emoprune.done("angles", "p.st").err
    assert stale not in emoprune.done("angles", zoo("conv2")).err


@pytest.mark.parametrize("parameters", [{}, {"method": "of tomorrow"}, {"method": ["magnitude"], "data": {}}])
def test_a_history_of_another_version_is_no_fault(
    emoprune: Runner, zoo: Zoo, parameters: dict[str, object]
) -> None:
    entry = HistoryEntry("prune", parameters, {}, {})
    Path("h.st").write_bytes(changed(zoo("conv2").read_bytes(), lambda found: {"history": (entry,)}))
    assert emoprune.done("angles", "h.st").lines
