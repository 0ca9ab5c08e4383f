"""Units that are dead or never vary, and too few patterns: the numbers that break algebra first."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from emoprune.choices import Merge, MethodName
from emoprune.networks.costs.profiling import Footprint
from emoprune.networks.statistics.sensitivity import sensitivities
from emoprune.pruning.context import PruningContext
from emoprune.pruning.error_estimate import estimate_errors
from emoprune.pruning.merging import MERGES, least_squares, recalibrated_norms
from emoprune.pruning.selection.reconstruction_cost import (
    PENDING,
    RIDGE,
    Elimination,
    LayerInputCosts,
    sensitivity_nats,
)
from emoprune.pruning.selection.schedules import SCHEDULES
from emoprune.pruning.types import Plan, PruneConfig
from tests.support import reference_pruning as literal
from tests.support.checkpoints import OF_UNITS
from tests.support.layers import Array, applied, context_of_net, context_with, relu_maps, without
from tests.support.silencing import randomize
from tests.support.wiring import conv, head

SEEDS = st.integers(0, 10_000)


def consumer(
    seed: int,
    channels: int,
    *,
    taps: int = 1,
    outputs: int = 4,
    constant: bool = True,
    normed: bool = False,
    inside: Array | None = None,
) -> literal.Consumer:
    generator = np.random.default_rng(seed + 99)
    return literal.Consumer(
        weight=generator.normal(size=(outputs, channels, taps)),
        inside=np.ones(taps) if inside is None else inside,
        constant=constant,
        deviation=generator.uniform(0.2, 5, size=outputs) if normed else None,
    )


def plain(seed: int, *, channels: int = 8, patterns: int = 200, positions: int = 1) -> Array:
    return relu_maps(seed, channels=channels, patterns=patterns, positions=positions)


def ridge_for(h: Array) -> float:
    return float(max(RIDGE, h.shape[1] / (h.shape[0] * h.shape[2])))


def check(layer_inputs: list[literal.Seen], units: int, order: list[int], *, rel: float = 1e-6) -> None:
    """The costs are the literal ones before anything is taken and after each unit of `order` is."""
    elimination = Elimination(context_with(layer_inputs), torch.arange(units))
    (ridge,) = {ridge_for(seen.h) for seen in layer_inputs}
    gone: set[int] = set()
    for unit in [*order, -1]:
        expected = literal.removal_costs(layer_inputs, units, gone, ridge)
        assert elimination.costs.numpy() == pytest.approx(expected, rel=rel, abs=1e-9)
        if unit >= 0:
            elimination.remove(unit)
            gone.add(unit)


def order(seed: int, units: int, count: int) -> list[int]:
    return [int(unit) for unit in np.random.default_rng(seed).permutation(units)[:count]]


@settings(max_examples=25)
@given(seed=SEEDS, taps=st.sampled_from([1, 3]), normed=st.booleans())
def test_costs_are_what_least_squares_loses_however_many_have_gone(
    seed: int, taps: int, normed: bool
) -> None:
    h = plain(seed)
    check(
        [literal.Seen(h, tuple(range(8)), (consumer(seed, 8, taps=taps, normed=normed),))],
        8,
        order(seed, 8, 6),
    )


def test_costs_with_many_patterns_hardly_depend_on_the_ridge() -> None:
    h = plain(3, channels=6, patterns=60_000)
    seen = literal.Seen(h, tuple(range(6)), (consumer(3, 6),))
    elimination = Elimination(context_with([seen]), torch.arange(6))
    assert elimination.costs.numpy() == pytest.approx(literal.removal_costs([seen], 6, set()), rel=2e-3)
    elimination.remove(2)
    assert elimination.costs.numpy() == pytest.approx(literal.removal_costs([seen], 6, {2}), rel=2e-3)


@settings(max_examples=10)
@given(seed=SEEDS)
def test_costs_of_several_consumers_and_inputs_add(seed: int) -> None:
    first, second = plain(seed, channels=6), plain(seed + 1, channels=7)
    layer_inputs = [
        literal.Seen(
            first, (0, 1, 2, 3, 4, 5), (consumer(seed, 6), consumer(seed + 1, 6, taps=2, normed=True))
        ),
        # units 2 to 5 again, and some that the first layer input lacks
        literal.Seen(second, (2, 3, 4, 5, 6, 7, 8), (consumer(seed + 2, 7),)),
    ]
    ridges = {ridge_for(first), ridge_for(second)}
    assert len(ridges) == 2
    elimination = Elimination(context_with(layer_inputs, {"a": 6, "b": 3}), torch.arange(9))
    gone: set[int] = set()
    for unit in order(seed, 9, 5):
        expected = np.zeros(9)
        for seen in layer_inputs:
            alone = literal.removal_costs([seen], 9, gone, ridge_for(seen.h))
            expected += np.where(np.isfinite(alone), alone, 0.0)
        expected[list(gone)] = np.inf
        assert elimination.costs.numpy() == pytest.approx(expected, rel=1e-6, abs=1e-9)
        elimination.remove(unit)
        gone.add(unit)


@settings(max_examples=10)
@given(seed=SEEDS)
def test_costs_of_units_of_several_channels_are_those_of_a_block(seed: int) -> None:
    h = plain(seed, channels=9)
    check([literal.Seen(h, (0, 0, 0, 1, 1, 1, 2, 2, 2), (consumer(seed, 9, normed=True),))], 3, [1])
    check([literal.Seen(h[:, :8], (3, 1, 0, 2, 1, 3, 2, 0), (consumer(seed, 8),))], 4, [2, 0])


def test_costs_do_not_depend_on_the_order_of_channels() -> None:
    h = plain(1, channels=5)
    check([literal.Seen(h, (3, 0, 4, 1, 2), (consumer(1, 5),))], 5, [1, 4])


def test_costs_let_frozen_channels_reconstruct_others() -> None:
    h = plain(5, channels=6)
    h[:, 0] = h[:, 3]
    check([literal.Seen(h, (-1, 0, 1, 2, 3, -1), (consumer(5, 6),))], 4, [0, 3])


def test_costs_include_the_mean_where_no_constant_can_move() -> None:
    h = plain(7)
    check([literal.Seen(h, tuple(range(8)), (consumer(7, 8, constant=False),))], 8, [1, 4, 2])


def test_costs_weigh_taps_by_the_fraction_inside_the_padding() -> None:
    h = plain(9, positions=3)
    inside = np.full(3, 0.8)
    check([literal.Seen(h, tuple(range(8)), (consumer(9, 8, taps=3, inside=inside),))], 8, [1, 4, 2])


def test_costs_of_unequal_taps_are_nearly_what_is_lost() -> None:
    h = plain(9, positions=3, patterns=2000)
    inside = np.array([0.75, 1.0, 0.75])
    seen = literal.Seen(h, tuple(range(8)), (consumer(9, 8, taps=3, inside=inside),))
    elimination = Elimination(context_with([seen]), torch.arange(8))
    expected = literal.removal_costs([seen], 8, set(), ridge_for(h))
    assert elimination.costs.numpy() == pytest.approx(expected, rel=0.1)
    assert elimination.costs.argsort().tolist() == np.argsort(expected).tolist()


@settings(max_examples=4)
@given(seed=SEEDS)
def test_costs_are_the_same_whether_removals_are_pending_or_applied(seed: int) -> None:
    units = 2 * PENDING + 8
    h = plain(seed, channels=units, patterns=400)
    seen = literal.Seen(h, tuple(range(units)), (consumer(seed, units),))
    elimination = Elimination(context_with([seen]), torch.arange(units))
    gone: set[int] = set()
    for unit in order(seed, units, units - 5):
        elimination.remove(unit)
        gone.add(unit)
    expected = literal.removal_costs([seen], units, gone, ridge_for(h))
    assert elimination.costs.numpy() == pytest.approx(expected, rel=1e-6, abs=1e-9)


def test_only_the_layers_asked_for_have_costs() -> None:
    h = plain(2, channels=6)
    seen = literal.Seen(h, tuple(range(6)), (consumer(2, 6),))
    elimination = Elimination(context_with([seen], {"a": 2, "b": 4}), torch.arange(2, 6))
    assert elimination.costs.isinf().tolist() == [True, True, False, False, False, False]
    elimination.remove(3)
    expected = literal.removal_costs([seen], 6, {3}, ridge_for(h))
    assert elimination.costs[2:].numpy() == pytest.approx(expected[2:], rel=1e-6)


def test_costs_of_a_copy_are_zero_and_of_its_source_then_all() -> None:
    h = plain(4, patterns=40_000)
    h[:, 3] = h[:, 6]
    seen = literal.Seen(h, tuple(range(8)), (consumer(4, 8),))
    elimination = Elimination(context_with([seen]), torch.arange(8))
    assert float(elimination.costs[[3, 6]].max()) < 1e-3
    elimination.remove(6)
    assert float(elimination.costs[3]) > 1e-2


@pytest.mark.parametrize("positions", [1, 4])
@pytest.mark.parametrize("patterns", [5, 100, 5000])
def test_costs_of_dead_units_are_zero(patterns: int, positions: int) -> None:
    h = plain(4, patterns=patterns, positions=positions) * 0.05
    h[:, [3, 5]] = 0.0
    seen = literal.Seen(h, tuple(range(8)), (consumer(4, 8),))
    elimination = Elimination(context_with([seen]), torch.arange(8))
    assert float(elimination.costs[[3, 5]].max()) < 1e-9
    elimination.remove(3)
    elimination.remove(1)
    assert float(elimination.costs[5]) < 1e-9
    assert float(elimination.costs[[0, 2, 4, 6, 7]].min()) > 1e-6


@pytest.mark.parametrize("positions", [1, 4])
@pytest.mark.parametrize("patterns", [5, 60, 5000])
@pytest.mark.parametrize("seed", range(3))
def test_costs_of_constant_units_are_zero(seed: int, patterns: int, positions: int) -> None:
    h = plain(seed, channels=20, patterns=patterns, positions=positions)
    h[:, :6] = np.random.default_rng(seed).uniform(0.1, 30, size=(6, 1))
    seen = literal.Seen(h, tuple(range(20)), (consumer(seed, 20),))
    elimination = Elimination(context_with([seen]), torch.arange(20))
    for unit in order(seed, 20, 18):
        assert bool((elimination.costs[:6].isinf() | (elimination.costs[:6] < 1e-6)).all())
        elimination.remove(unit)
    assert not bool(elimination.costs.isnan().any())


def test_costs_of_the_last_unit_are_all_that_its_consumer_computes() -> None:
    h = plain(1, channels=1, patterns=40_000)
    seen = literal.Seen(h, (0,), (consumer(1, 1),))
    ledger = LayerInputCosts(context_with([seen]), context_with([seen]).layer_inputs[0])
    assert ledger.costs().tolist() == pytest.approx([1.0], rel=1e-3)


def test_costs_leave_out_a_consumer_that_never_varies() -> None:
    h = plain(1)
    silent = literal.Consumer(np.zeros((3, 8, 1)), np.ones(1))
    both = literal.Seen(h, tuple(range(8)), (consumer(1, 8), silent))
    alone = literal.Seen(h, tuple(range(8)), (consumer(1, 8),))
    with_it, without_it = (Elimination(context_with([seen]), torch.arange(8)).costs for seen in (both, alone))
    assert torch.allclose(with_it, without_it)


Make = Callable[[], nn.Module]
DULL = 6


def dense() -> nn.Module:
    return nn.Sequential(
        nn.Flatten(), nn.Linear(108, 16), nn.ReLU(), nn.Linear(16, 12), nn.Sigmoid(), nn.Linear(12, 3)
    )


def pointwise() -> nn.Module:
    return nn.Sequential(
        conv(3, 16), nn.ReLU(), conv(16, 12, 1, bias=False), nn.BatchNorm2d(12), nn.ReLU(), head(12)
    )


def padded() -> nn.Module:
    return nn.Sequential(
        conv(3, 16), nn.ReLU(), conv(16, 12), nn.ReLU(), conv(12, 9, bias=False), nn.BatchNorm2d(9), head(9)
    )


NETS: tuple[Make, ...] = (dense, pointwise, padded)


def dulled(make: Make, seed: int) -> nn.Module:
    """Of every layer the first unit is dead and some more never vary."""
    torch.manual_seed(seed)
    net = make()
    randomize(net)
    layers = (
        [each for each in net if isinstance(each, nn.Conv2d | nn.Linear)]
        if isinstance(net, nn.Sequential)
        else []
    )
    with torch.no_grad():
        for layer in layers:
            if len(layer.weight) >= 12:
                layer.weight[:DULL] = 0
                if layer.bias is not None:
                    layer.bias[:DULL] = torch.cat([torch.tensor([-1.0]), torch.rand(DULL - 1)])
    return net.eval()


def images(*counts: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(count, 3, 6, 6, generator=generator) for count in counts]


def largest(net: nn.Module) -> float:
    return max(float(tensor.detach().abs().max()) for tensor in net.parameters())


def check_dull_units(net: nn.Module, small: nn.Module, batch: Tensor) -> None:
    """Finite, of the same order as before, and the same in either precision."""
    with torch.no_grad():
        single = small(batch)
        double = copy.deepcopy(small).double()(batch.double())
        whole = net(batch)
    assert bool(single.isfinite().all())
    assert largest(small) <= 30 * largest(net)
    assert float((single - double).abs().max()) <= 1e-3 * float(whole.abs().max())


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("make", NETS)
def test_survivors_that_never_vary_are_given_no_weight(make: Make, seed: int) -> None:
    net = dulled(make, seed)
    batches = images(40, 40, 7)
    context = context_of_net(net, batches)
    gone = [
        start + unit for start, stop in context.graph.spans.values() for unit in (DULL, stop - 2, stop - 1)
    ]
    plan = without(context, gone)
    check_dull_units(net, applied(net, context, plan, least_squares(context, plan)), torch.cat(batches))


@pytest.mark.parametrize("make", NETS)
def test_units_that_never_vary_are_removed_without_a_trace(make: Make) -> None:
    net = dulled(make, 0)
    batches = images(40, 7)
    context = context_of_net(net, batches)
    starts = [start for start, stop in context.graph.spans.values() if stop - start >= 12]
    plan = without(context, [start + unit for start in starts for unit in range(DULL)])
    merged = least_squares(context, plan)
    small = applied(net, context, plan, merged)
    with torch.no_grad():
        batch = torch.cat(batches)
        # at the edge of a padded map a constant is none
        if make is not padded:
            assert torch.allclose(net(batch), small(batch), rtol=1e-4, atol=1e-4)
    check_dull_units(net, small, batch)


def carried(net: nn.Module, context: PruningContext, plan: Plan, merge: Merge) -> nn.Module:
    merged = dict(MERGES[merge](context, plan))
    errors = [
        error
        for estimate in estimate_errors(context, plan, {merge: merged})
        for error in (estimate.error_sum, estimate.error_lstsq)
        if error is not None
    ]
    assert all(0 <= error < 1e3 for error in errors)
    if merge == "lstsq":
        merged |= recalibrated_norms(context, plan, merged)
    return applied(net, context, plan, merged)


@pytest.mark.parametrize("counts", [(1,), (2, 1), (30, 30)])
@pytest.mark.parametrize("make", NETS)
@pytest.mark.parametrize("name", OF_UNITS)
def test_every_method_leaves_a_finite_network(name: MethodName, make: Make, counts: tuple[int, ...]) -> None:
    net = dulled(make, 1)
    batches = images(*counts)
    context = context_of_net(net, batches)
    schedule = SCHEDULES[name](context, Footprint(context.graph, net), PruneConfig())
    for step in (schedule.length // 3, schedule.length):
        for merge in MERGES:
            check_dull_units(net, carried(net, context, schedule.plan(step), merge), torch.cat(batches))


@pytest.mark.parametrize("make", NETS)
def test_reconstruct_removes_what_never_varies_first(make: Make) -> None:
    net = dulled(make, 2)
    context = context_of_net(net, images(40, 40))
    schedule = SCHEDULES["reconstruct"](context, Footprint(context.graph, net), PruneConfig(scope="layer"))
    (start, stop), layer = next(iter(context.graph.spans.values())), context.layers[0].name
    dull = set(range(DULL)) if make is not padded else {0}
    for step in range(schedule.length + 1):
        (removal,) = (each for each in schedule.plan(step).removals if each.layer == layer)
        if len(removal.removed) == len(dull):
            assert set(removal.removed) == dull
    assert stop - start == 16


def test_sensitivity_is_the_divergence_of_answers_if_units_stood_still() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 4)).eval()
    with torch.no_grad():
        # small enough that higher orders hardly count
        net.get_parameter("4.weight").mul_(0.1)
    inputs = torch.randn(4000, 5)
    context = context_of_net(net, [inputs])
    generator = torch.Generator().manual_seed(0)
    found = sensitivities(net, ["2", "4"], inputs.split(500), task="classify", generator=generator)
    assert sensitivity_nats(context, "2") is None
    context = replace(context, sensitivities=found)
    with torch.inference_mode():
        hidden = net[:4](inputs)
        whole, still = (net[4](each).double().log_softmax(1) for each in (hidden, hidden.mean(0)[None]))
    expected = float((whole.exp() * (whole - still)).sum(1).mean())
    assert sensitivity_nats(context, "2") == pytest.approx(expected, rel=0.05)
