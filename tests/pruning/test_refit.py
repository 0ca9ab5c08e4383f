from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor, nn

from emoprune.pruning.context import PruningContext
from emoprune.pruning.merging import least_squares
from emoprune.pruning.refit import MEMORY, Refit, Sums, correction, images_that_fit
from emoprune.pruning.types import Plan
from tests.support import reference_pruning as literal
from tests.support.layers import Array, applied, context_of_net, without
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


NETS: tuple[Make, ...] = (residual, dense, plain, depthwise)


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
    list(refit(net, small, context, plan).run(images(400, 1).split(64)))
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
    with mock.patch("emoprune.pruning.refit.RIDGES", (1e-7,)):
        list(refit(net, small, context, plan).run([batch]))
    expected, _ = literal.corrected(h.double().numpy(), wanted.double().numpy(), constant=False)
    assert small.get_parameter("3.weight").detach().numpy() == pytest.approx(expected, abs=1e-3)


def of_norm3(net: nn.Module, batch: Tensor) -> Tensor:
    """Mean of every channel after the last batch norm."""
    kept: list[Tensor] = []
    hook = net.get_submodule("norm3").register_forward_hook(lambda _, __, output: kept.append(output))
    with torch.no_grad():
        net(batch)
    hook.remove()
    return kept[0].mean((0, 2, 3))


def kept_of(plan: Plan, layer: str) -> tuple[int, ...]:
    (removal,) = (removal for removal in plan.removals if removal.layer == layer)
    return removal.kept


def test_refit_moves_a_constant_to_the_norm_where_there_is_no_bias() -> None:
    net, small, context, plan = pruned(residual)
    before = copy.deepcopy(small.state_dict())
    list(refit(net, small, context, plan).run(images(200, 1).split(64)))
    after = small.state_dict()
    assert not torch.equal(before["norm2.running_mean"], after["norm2.running_mean"])
    gap = of_norm3(net, images(200, 1))[list(kept_of(plan, "conv3"))] - of_norm3(small, images(200, 1))
    assert float(gap.abs().max()) < 1e-3
    for name in before:
        if "norm" in name and not name.endswith("running_mean"):
            assert torch.equal(before[name], after[name])


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
    assert apart(net, small) <= before


def test_refit_takes_layers_of_one_unit() -> None:
    net = settled(residual())
    context = context_of_net(net, [images(200, 100)])
    plan = without(
        context, [unit for start, stop in context.graph.spans.values() for unit in range(start + 1, stop)]
    )
    small = applied(net, context, plan, least_squares(context, plan))
    before = apart(net, small)
    list(refit(net, small, context, plan).run(images(200, 1).split(64)))
    assert apart(net, small) <= before


def test_images_that_fit_counts_the_activations_of_both_networks() -> None:
    net = nn.Sequential(nn.Linear(10, 1000), nn.ReLU(), nn.Linear(1000, 10))
    # the widest moment has 1000 numbers before the ReLU and 1000 after it, in either network
    assert images_that_fit(net, torch.zeros(1, 10)) == MEMORY // (2 * 2000 * 4)
    assert images_that_fit(nn.Sequential(nn.Identity()), torch.zeros(1, 2**29, device="meta")) == 1


Real = NDArray[np.floating[Any]]
"""Float64, or the float32 of a network."""

SEEDS = st.integers(0, 10_000)


def sums_of(features: Real, missing: Real, *, pieces: int = 1) -> Sums:
    sums = Sums()
    for x, z in zip(np.array_split(features, pieces), np.array_split(missing, pieces), strict=True):
        sums.add(torch.from_numpy(x), torch.from_numpy(z))
    return sums


def draw(seed: int, rows: int, *, noise: float = 0.1) -> tuple[Array, Array]:
    """Features and what is missing of three outputs, most of it in reach of the features."""
    generator = np.random.default_rng(seed)
    mixing = np.eye(6) + generator.normal(size=(6, 6)) / 3
    features = generator.normal(size=(rows, 6)) @ mixing + generator.normal(size=6)
    missing = features @ generator.normal(size=(6, 3)) + generator.normal(size=3)
    return features, missing + noise * generator.normal(size=(rows, 3))


def halves(features: Real, missing: Real, *, held: int) -> tuple[Sums, Sums]:
    return sums_of(features[:-held], missing[:-held]), sums_of(features[-held:], missing[-held:])


@settings(max_examples=20)
@given(seed=SEEDS, constant=st.booleans())
def test_correction_of_many_rows_is_plain_least_squares(seed: int, constant: bool) -> None:
    features, missing = draw(seed, 5000)
    found = correction(*halves(features, missing, held=1000), constant=constant)
    assert found is not None
    change, offset = found
    expected = literal.corrected(features, missing, constant=constant)

    def error(weight: Array, shift: Array) -> float:
        return float(np.square(features @ weight.T + shift - missing).mean())

    # a little ridge is left, which costs next to nothing
    assert error(change.numpy(), offset.numpy()) <= 1.01 * error(*expected) + 1e-4
    # and which moves weights only where features hardly vary
    moved = features @ (change.numpy() - expected[0]).T + offset.numpy() - expected[1]
    assert np.sqrt(np.square(moved).mean()) < 0.1
    if not constant:
        assert not offset.any()


def test_correction_uses_held_out_rows_in_the_end() -> None:
    features, missing = draw(0, 60)
    with mock.patch("emoprune.pruning.refit.RIDGES", (1e-10,)):
        found = correction(*halves(features, missing, held=30), constant=True)
    assert found is not None
    for ours, expected in zip(found, literal.corrected(features, missing, constant=True), strict=True):
        assert ours.numpy() == pytest.approx(expected, abs=1e-6)


@settings(max_examples=20)
@given(seed=SEEDS, pieces=st.integers(1, 5))
def test_sums_give_the_error_of_any_change(seed: int, pieces: int) -> None:
    features, missing = draw(seed, 40)
    generator = np.random.default_rng(seed)
    change, constant = generator.normal(size=(3, 6)), generator.normal(size=3)
    expected = np.square(features @ change.T + constant - missing).sum(1).mean()
    whole = sums_of(features, missing, pieces=pieces)
    parts = sums_of(features[:13], missing[:13]).joined(sums_of(features[13:], missing[13:]))
    for sums in (whole, parts):
        assert sums.count == 40
        found = sums.error(torch.from_numpy(change), torch.from_numpy(constant))
        assert found == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("constant", [True, False])
def test_correction_is_none_for_noise_in_few_rows(constant: bool) -> None:
    taught = 0
    for seed in range(40):
        generator = np.random.default_rng(seed)
        features, missing = generator.normal(size=(24, 16)), generator.normal(size=(24, 400))
        found = correction(*halves(features, missing, held=8), constant=constant)
        taught += found is not None
    assert taught == 0


@pytest.mark.parametrize("rows", [12, 20, 60])
def test_correction_from_few_rows_helps_on_others(rows: int) -> None:
    for seed in range(40):
        features, missing = draw(seed, 2000 + rows, noise=1.0)
        found = correction(*halves(features[:rows], missing[:rows], held=rows // 4), constant=True)
        change, offset = (part.numpy() for part in found) if found else (np.zeros((3, 6)), np.zeros(3))
        left = features[rows:] @ change.T + offset - missing[rows:]
        assert float(np.square(left).mean()) <= float(np.square(missing[rows:]).mean())


def test_correction_is_none_without_rows_to_learn_or_to_hold_out() -> None:
    features, missing = draw(0, 30)
    empty = sums_of(features[:0], missing[:0])
    assert correction(empty, sums_of(features, missing), constant=True) is None
    assert correction(sums_of(features, missing), empty, constant=True) is None


def test_correction_is_none_where_nothing_is_missing() -> None:
    features, _ = draw(0, 400)
    assert correction(*halves(features, np.zeros((400, 3)), held=80), constant=True) is None


@pytest.mark.parametrize("constant", [True, False])
def test_correction_gives_dead_features_no_weight(constant: bool) -> None:
    features, missing = draw(1, 2000)
    features[:, [1, 4]] = 0.0
    found = correction(*halves(features, missing, held=400), constant=constant)
    assert found is not None
    change, offset = found
    assert bool(change.isfinite().all() and offset.isfinite().all())
    assert not change[:, [1, 4]].any()


@pytest.mark.parametrize("level", [0.3, 30.0, 3000.0])
@pytest.mark.parametrize("seed", range(5))
def test_correction_of_constant_features_holds_in_float32(seed: int, level: float) -> None:
    generator = np.random.default_rng(seed)
    features, missing = draw(seed, 3000)
    constants = np.tile(generator.uniform(0.5, 1, size=12) * level, (3000, 1))
    whole = np.hstack([features, constants]).astype(np.float32)
    found = correction(*halves(whole, missing.astype(np.float32), held=600), constant=True)
    assert found is not None
    change, offset = (part.float().numpy() for part in found)
    left = whole @ change.T + offset - missing
    best, shift = literal.corrected(features, missing, constant=True)
    assert float(np.square(left).mean()) <= 1.1 * float(np.square(features @ best.T + shift - missing).mean())


@pytest.mark.parametrize("level", [30, 300])
def test_correction_uses_features_far_from_zero_in_float32(level: float) -> None:
    features, missing = draw(2, 3000)
    far = (features + level).astype(np.float32)
    found = correction(*halves(far, missing.astype(np.float32), held=600), constant=True)
    assert found is not None
    change, offset = (part.numpy() for part in found)
    left = far.astype(np.float64) @ change.T + offset - missing
    # what is noise is 0.01
    assert float(np.square(left).mean()) < 0.02


def test_correction_takes_more_features_than_rows() -> None:
    generator = np.random.default_rng(0)
    source = generator.normal(size=(1040, 3))
    features = source @ generator.normal(size=(3, 200)) + 0.1 * generator.normal(size=(1040, 200))
    missing = source @ generator.normal(size=(3, 5))
    found = correction(*halves(features[:40], missing[:40], held=8), constant=True)
    assert found is not None
    left = features[40:] @ found[0].numpy().T + found[1].numpy() - missing[40:]
    assert float(np.square(left).mean()) < 0.1 * float(np.square(missing[40:]).mean())


@settings(max_examples=40)
@given(seed=SEEDS, wobble=st.sampled_from([0.0, 1e-9, 1e-8, 1e-7, 1e-6, 1e-5]))
def test_correction_of_features_that_hardly_move_is_right_or_none(seed: int, wobble: float) -> None:
    generator = np.random.default_rng(seed)
    level = generator.normal(size=40)
    features = (level + wobble * generator.normal(size=(60, 40))).astype(np.float32)
    missing = 3.0 + generator.normal(size=(60, 3)).astype(np.float32)
    found = correction(*halves(features, missing, held=12), constant=True)
    assert found is not None
    change, offset = (tensor.numpy() for tensor in found)
    fitted = features.astype(np.float64) @ change.T + offset
    assert np.isfinite(fitted).all()
    assert np.square(fitted - missing).mean() <= np.square(missing).mean()
