from __future__ import annotations

import copy
from collections.abc import Callable
from unittest import mock

import pytest
import torch
from torch import Tensor, nn

from emoprune.networks.graph.recording import record
from emoprune.pruning.context import PruningContext
from emoprune.pruning.merging import least_squares
from emoprune.pruning.refit import MEMORY, Refit, images_that_fit, steps_of
from emoprune.pruning.regression import EVERYTHING, Seen
from emoprune.pruning.types import Plan
from tests.support import reference_pruning as literal
from tests.support.layers import applied, context_of_net, without
from tests.support.silencing import randomize
from tests.support.wiring import Wired, conv, head

Make = Callable[[], nn.Module]


def images(count: int, seed: int) -> Tensor:
    """Smooth colored noise, of which there are few kinds."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.randn(count, 3, 4, 4, generator=generator)
    smooth = nn.functional.interpolate(coarse, size=(8, 8), mode="bilinear")
    return smooth + 0.2 * torch.randn(count, 3, 8, 8, generator=generator)


def settled(net: nn.Module) -> nn.Module:
    """Random weights, and batch norms that know what they read."""
    torch.manual_seed(0)
    randomize(net)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad():
        net.train()(images(200, 100))
    return net.eval()


def residual() -> nn.Module:
    def wire(net: Wired, x: Tensor) -> Tensor:
        h = torch.relu(net.norm(net.stem(x)))
        inner = torch.relu(net.norm1(net.conv1(h)))
        h = torch.relu(net.norm2(net.conv2(inner)) + h)
        found: Tensor = net.head(torch.relu(net.norm3(net.conv3(h))))
        return found

    return Wired(
        wire,
        stem=conv(3, 12, bias=False),
        norm=nn.BatchNorm2d(12),
        conv1=conv(12, 10, bias=False),
        norm1=nn.BatchNorm2d(10),
        conv2=conv(10, 12, bias=False),
        norm2=nn.BatchNorm2d(12),
        conv3=conv(12, 8, bias=False, stride=2),
        norm3=nn.BatchNorm2d(8),
        head=head(8),
    )


def dense() -> nn.Module:
    return nn.Sequential(
        nn.Flatten(), nn.Linear(192, 40), nn.Sigmoid(), nn.Linear(40, 30), nn.ReLU(), nn.Linear(30, 4)
    )


def plain() -> nn.Module:
    return nn.Sequential(
        conv(3, 12), nn.ReLU(), conv(12, 12), nn.ReLU(), nn.MaxPool2d(2), conv(12, 10, bias=False), nn.ReLU(),
        nn.Flatten(), nn.Linear(160, 4),
    )  # fmt: skip


def depthwise() -> nn.Module:
    return nn.Sequential(
        conv(3, 12, bias=False), nn.BatchNorm2d(12), nn.ReLU(),
        conv(12, 12, groups=12, bias=False), nn.BatchNorm2d(12), nn.ReLU6(),
        conv(12, 10, 1, bias=False), nn.BatchNorm2d(10), nn.ReLU(),
        head(10),
    )  # fmt: skip


def shortcut() -> nn.Module:
    """A block whose shortcut has a layer of its own, then one without, overwriting what they can."""

    def wire(net: Wired, x: Tensor) -> Tensor:
        h = net.relu(net.norm(net.stem(x)))
        inner = net.relu(net.norm1(net.conv1(h)))
        outer = net.norm2(net.conv2(inner))
        outer += net.norm0(net.conv0(h))
        h = net.relu(outer)
        inner = net.norm4(net.conv4(net.relu(net.norm3(net.conv3(h)))))
        inner += h
        found: Tensor = net.head(net.relu(inner))
        return found

    return Wired(
        wire,
        relu=nn.ReLU(inplace=True),
        stem=conv(3, 10, bias=False),
        norm=nn.BatchNorm2d(10),
        conv1=conv(10, 12, bias=False, stride=2),
        norm1=nn.BatchNorm2d(12),
        conv2=conv(12, 14, bias=False),
        norm2=nn.BatchNorm2d(14),
        conv0=conv(10, 14, 1, bias=False, stride=2),
        norm0=nn.BatchNorm2d(14),
        conv3=conv(14, 9),
        norm3=nn.BatchNorm2d(9, affine=False),
        conv4=conv(9, 14),
        norm4=nn.BatchNorm2d(14),
        head=head(14),
    )


NETS: tuple[Make, ...] = (residual, dense, plain, depthwise, shortcut)


def test_steps_refit_both_sides_of_an_addition_together() -> None:
    net = shortcut().eval()
    graph = record(net, images(1, 0)).graph
    steps = steps_of(graph, dict(net.named_modules()))
    done = [node for step in steps for node in step.nodes]
    # every operation once, after what it reads
    assert sorted(done, key=str) == sorted(graph.nodes, key=str)
    for node in done:
        assert all(done.index(source) < done.index(node) for source in node.all_input_nodes)
    found = [
        ([part.layer.target for part in step.parts], str(step.offset), step.seen)
        for step in steps
        if step.parts
    ]
    seen = Seen(low=0)
    assert found == [
        (["stem"], "None", seen),
        (["conv1"], "None", seen),
        (["conv2", "conv0"], "None", seen),
        (["conv3"], "None", seen),
        (["conv4"], "relu_2", seen),
        (["head.2"], "None", EVERYTHING),
    ]


def test_steps_refit_alone_what_is_read_twice_scaled_or_broadcast() -> None:
    def wire(net: Wired, x: Tensor) -> Tensor:
        h = net.first(x)
        inner = net.second(torch.relu(h)) * 0.5 + h
        inner = net.drop(net.third(inner)) + inner.mean((2, 3), keepdim=True)
        found: Tensor = net.head(nn.functional.relu6(net.fourth(inner)))
        return found

    layers = {name: conv(3, 3) for name in ("first", "second", "third", "fourth")}
    net = Wired(wire, **layers, drop=nn.Dropout(), head=head(3)).eval()
    graph = record(net, images(1, 0)).graph
    steps = [step for step in steps_of(graph, dict(net.named_modules())) if step.parts]
    assert [[str(node.target) for node in step.nodes] for step in steps] == [
        ["first"], ["second"], ["third", "drop"], ["fourth"], ["head.2"],
    ]  # fmt: skip
    assert [step.seen for step in steps][:4] == [EVERYTHING, EVERYTHING, EVERYTHING, Seen(0, 6)]


def third(context: PruningContext) -> Plan:
    """A third of every layer's units, by chance."""
    generator = torch.Generator().manual_seed(1)
    gone: list[int] = []
    for start, stop in context.graph.spans.values():
        units = torch.randperm(stop - start, generator=generator)[: (stop - start) // 3]
        gone += (units + start).tolist()
    return without(context, gone)


def refit(net: nn.Module, small: nn.Module, context: PruningContext, plan: Plan, *, seed: int = 0) -> Refit:
    return Refit(net, small, context.graph, context.alive(plan), seed=seed)


def pruned(make: Make) -> tuple[nn.Module, nn.Module, PruningContext, Plan]:
    net = settled(make())
    context = context_of_net(net, [images(200, 100)])
    plan = third(context)
    return net, applied(net, context, plan, least_squares(context, plan)), context, plan


def apart(net: nn.Module, small: nn.Module) -> float:
    """Mean squared distance of outputs on images that nothing has seen."""
    unseen = images(300, 999)
    with torch.no_grad():
        return float((net(unseen) - small(unseen)).square().mean())


@pytest.mark.parametrize("make", NETS)
def test_refit_brings_outputs_nearer_to_the_original_on_unseen_images(make: Make) -> None:
    net, small, context, plan = pruned(make)
    before = apart(net, small)
    whole = copy.deepcopy(net.state_dict())
    list(refit(net, small, context, plan).run(images(1000, 1).split(64)))
    assert apart(net, small) < 0.97 * before
    assert all(torch.equal(whole[name], tensor) for name, tensor in net.state_dict().items())


@pytest.mark.parametrize("make", NETS)
def test_refit_leaves_an_unpruned_network_as_it_is_to_the_last_bit(make: Make) -> None:
    net = settled(make())
    context = context_of_net(net, [images(20, 100)])
    same = copy.deepcopy(net)
    list(refit(net, same, context, without(context, [])).run(images(40, 1).split(16)))
    assert all(torch.equal(same.state_dict()[name], tensor) for name, tensor in net.state_dict().items())


@pytest.mark.parametrize("make", NETS)
@pytest.mark.parametrize("count", [1, 2, 3])
def test_refit_stays_finite_on_one_image_or_a_few(make: Make, count: int) -> None:
    net, small, context, plan = pruned(make)
    for seed in range(3):
        changed = copy.deepcopy(small)
        list(refit(net, changed, context, plan).run(images(count, seed).split(64)))
        assert all(bool(tensor.isfinite().all()) for tensor in changed.state_dict().values())


@pytest.mark.parametrize("make", NETS)
@pytest.mark.parametrize(("count", "most"), [(5, 3.0), (12, 3.0), (40, 1.5)])
def test_refit_on_few_images_does_little_harm(make: Make, count: int, most: float) -> None:
    net, small, context, plan = pruned(make)
    before = apart(net, small)
    for seed in range(4):
        changed = copy.deepcopy(small)
        list(refit(net, changed, context, plan).run(images(count, seed).split(64)))
        assert apart(net, changed) <= most * before


@pytest.mark.parametrize(
    "consumer", [(nn.Flatten(), nn.Linear(64 * 10, 4)), (conv(10, 4),), (conv(10, 4, bias=False),)]
)
@pytest.mark.parametrize("count", [4, 5, 12, 40])
def test_refit_never_makes_a_layer_worse_on_held_out_images(
    consumer: tuple[nn.Module, ...], count: int
) -> None:
    net = settled(nn.Sequential(conv(3, 10), nn.ReLU(), *consumer))
    context = context_of_net(net, [images(200, 100)])
    plan = third(context)
    small = applied(net, context, plan, least_squares(context, plan))
    for seed in range(4):
        changed, batch = copy.deepcopy(small), images(count, seed)
        list(refit(net, changed, context, plan).run([batch]))
        held = batch[-max(1, count // 5) :]
        with torch.no_grad():
            before, after = ((net(held) - each(held)).square().mean() for each in (small, changed))
        assert float(after) <= float(before) * (1 + 1e-6)


def test_refit_learns_nothing_from_batches_of_one_image() -> None:
    net, small, context, plan = pruned(plain)
    before = copy.deepcopy(small.state_dict())
    list(refit(net, small, context, plan).run(images(8, 1).split(1)))
    assert all(torch.equal(before[name], tensor) for name, tensor in small.state_dict().items())


def test_refit_gives_the_same_network_for_the_same_seed() -> None:
    net, small, context, plan = pruned(plain)
    found = []
    for seed in (3, 3, 4):
        again = copy.deepcopy(small)
        list(refit(net, again, context, plan, seed=seed).run(images(900, 1).split(100)))
        found.append(again.state_dict())
    assert all(torch.equal(found[0][name], found[1][name]) for name in found[0])
    # there are more positions than it needs, so another seed looks at others
    assert any(not torch.equal(found[0][name], found[2][name]) for name in found[0])


def test_refit_adds_no_constant_where_none_can_move() -> None:
    net = settled(nn.Sequential(nn.Flatten(), nn.Linear(192, 20), nn.ReLU(), nn.Linear(20, 4, bias=False)))
    context = context_of_net(net, [images(200, 100)])
    plan = third(context)
    small = applied(net, context, plan, least_squares(context, plan))
    batch = images(400, 1)
    with torch.no_grad():
        h, wanted = net[:3](batch)[:, list(kept_of(plan, "1"))], net(batch)  # type: ignore[index]
    with mock.patch("emoprune.pruning.regression.RIDGES", (1e-7,)):
        list(refit(net, small, context, plan).run([batch]))
    expected, _ = literal.corrected(h.double().numpy(), wanted.double().numpy(), constant=False)
    assert small.get_parameter("3.weight").detach().numpy() == pytest.approx(expected, abs=1e-3)


def mean_after(layer: str, net: nn.Module, batch: Tensor) -> Tensor:
    """Mean of every channel of what a layer computes."""
    kept: list[Tensor] = []
    hook = net.get_submodule(layer).register_forward_hook(lambda _, __, output: kept.append(output))
    with torch.no_grad():
        net(batch)
    hook.remove()
    return kept[0].mean((0, 2, 3))


def kept_of(plan: Plan, layer: str) -> tuple[int, ...]:
    (removal,) = (removal for removal in plan.removals if removal.layer == layer)
    return removal.kept


def test_refit_moves_a_constant_to_the_norm_where_there_is_no_bias() -> None:
    net = settled(nn.Sequential(conv(3, 12), nn.ReLU(), conv(12, 8, bias=False), nn.BatchNorm2d(8), head(8)))
    context = context_of_net(net, [images(200, 100)])
    plan = third(context)
    small = applied(net, context, plan, least_squares(context, plan))
    before = copy.deepcopy(small.state_dict())
    batch = images(200, 1)
    list(refit(net, small, context, plan).run(batch.split(64)))
    after = small.state_dict()
    assert not torch.equal(before["3.running_mean"], after["3.running_mean"])
    rest = ("weight", "bias", "running_var")
    assert all(torch.equal(before[f"3.{name}"], after[f"3.{name}"]) for name in rest)
    whole, cut = mean_after("3", net, batch)[list(kept_of(plan, "2"))], mean_after("3", small, batch)
    assert cut.numpy() == pytest.approx(whole.numpy(), abs=1e-3)


def test_refit_reads_what_a_statement_has_overwritten() -> None:
    def wire(net: Wired, x: Tensor) -> Tensor:
        h = net.first(x)
        net.relu(h)
        found: Tensor = net.head(net.second(h))
        return found

    def spelled(net: Wired, x: Tensor) -> Tensor:
        found: Tensor = net.head(net.second(net.relu(net.first(x))))
        return found

    results = []
    for way in (wire, spelled):
        torch.manual_seed(0)
        layers = {"first": conv(3, 12), "second": conv(12, 8), "head": head(8)}
        net = settled(Wired(way, relu=nn.ReLU(inplace=True), **layers))
        context = context_of_net(net, [images(200, 100)])
        plan = third(context)
        small = applied(net, context, plan, least_squares(context, plan))
        before = apart(net, small)
        list(refit(net, small, context, plan).run(images(400, 1).split(64)))
        assert apart(net, small) < before
        results.append(small.state_dict()["second.weight"])
    assert results[0].numpy() == pytest.approx(results[1].numpy(), abs=1e-5)


def test_refit_leaves_layers_before_the_first_cut_alone() -> None:
    net = settled(dense())
    context = context_of_net(net, [images(200, 100)])
    plan = without(context, range(42, 52))
    small = applied(net, context, plan, least_squares(context, plan))
    list(refit(net, small, context, plan).run(images(200, 1).split(64)))
    for name in ("1.weight", "1.bias"):
        assert torch.equal(small.state_dict()[name], net.state_dict()[name])
    assert not torch.equal(small.state_dict()["5.weight"], net.state_dict()["5.weight"][:, :20])


@pytest.mark.parametrize("make", NETS)
def test_refit_stays_finite_with_constant_and_dead_channels(make: Make) -> None:
    net = settled(make())
    with torch.no_grad():
        for name, parameter in net.named_parameters():
            if parameter.ndim == 1 and len(parameter) > 4:
                parameter[:3] = torch.tensor([0.7, 0.9, 0.0] if name.endswith("bias") else [0.0, 0.0, 0.0])
            elif parameter.ndim > 1 and len(parameter) > 4:
                parameter[:3] = 0
    context = context_of_net(net, [images(200, 100)])
    plan = without(context, [stop - 1 - k for _, stop in context.graph.spans.values() for k in range(2)])
    small = applied(net, context, plan, least_squares(context, plan))
    before = apart(net, small)
    list(refit(net, small, context, plan).run(images(200, 1).split(64)))
    assert all(bool(tensor.isfinite().all()) for tensor in small.state_dict().values())
    # layers that are nearer to the original give an answer that may be farther by little
    assert apart(net, small) <= 1.02 * before


def test_refit_takes_layers_of_one_unit() -> None:
    net = settled(residual())
    context = context_of_net(net, [images(200, 100)])
    plan = without(
        context, [unit for start, stop in context.graph.spans.values() for unit in range(start + 1, stop)]
    )
    small = applied(net, context, plan, least_squares(context, plan))
    before = apart(net, small)
    list(refit(net, small, context, plan).run(images(200, 1).split(64)))
    # layers that are nearer to the original give an answer that may be farther by little
    assert apart(net, small) <= 1.02 * before


def test_images_that_fit_counts_the_activations_of_both_networks() -> None:
    net = nn.Sequential(nn.Linear(10, 1000), nn.ReLU(), nn.Linear(1000, 10))
    # the widest moment has 1000 numbers before the ReLU and 1000 after it, in either network
    assert images_that_fit(net, torch.zeros(1, 10)) == MEMORY // (2 * 2000 * 4)
    assert images_that_fit(nn.Sequential(nn.Identity()), torch.zeros(1, 2**29, device="meta")) == 1
