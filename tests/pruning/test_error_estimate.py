"""Predicted errors against those of networks that run."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from emoprune.choices import Merge
from emoprune.errors import UsageFault
from emoprune.pruning.context import PruningContext
from emoprune.pruning.error_estimate import check_errors, estimate_errors, report_warnings
from emoprune.pruning.merging import MERGES
from emoprune.pruning.types import (
    Amount,
    Change,
    ErrorEstimate,
    LayerOutcome,
    Plan,
    PruneConfig,
    PruneOutcome,
    Removal,
)
from tests.support import reference
from tests.support import reference_pruning as literal
from tests.support.layers import (
    Array,
    applied,
    context_of_net,
    context_with,
    relu_maps,
    sigmoid_layer,
    without,
)
from tests.support.wiring import Wired, conv, head

SEEDS = st.integers(0, 10_000)
REMOVAL = Removal("hidden", 12, similar=(4, 9), complementary=(1,), insignificant=(7,), merges={4: 0, 9: 2})


def estimated(context: PruningContext, plan: Plan) -> tuple[ErrorEstimate, ...]:
    return estimate_errors(context, plan, {name: merge(context, plan) for name, merge in MERGES.items()})


def error_of(estimate: ErrorEstimate, merge: str) -> float:
    found: float | None = getattr(estimate, f"error_{merge}")
    assert found is not None
    return found


def gained(context: PruningContext, merged: Mapping[str, Tensor], name: str) -> Array:
    """What each output's constant gains, wherever it went."""
    zero = torch.zeros(len(context.tensors[f"{name}.weight"]), dtype=torch.float64)
    bias, mean = f"{name}.bias", f"{name}.norm.running_mean"
    if bias in merged:
        zero = zero + merged[bias] - context.tensors[bias]
    if mean in merged:
        zero = zero + context.tensors[mean] - merged[mean]
    return np.asarray(zero.numpy())


@pytest.mark.parametrize("merge", sorted(MERGES))
@settings(max_examples=20)
@given(seed=SEEDS)
def test_estimate_errors_gives_the_error_that_the_activations_show(merge: Merge, seed: int) -> None:
    generator = np.random.default_rng(seed)
    h, w, b = sigmoid_layer(seed), generator.normal(size=(3, 12)), generator.normal(size=3)
    context = context_with([literal.Seen(h[:, :, None], tuple(range(12)), (literal.dense(w),))])
    merged = MERGES[merge](context, Plan((REMOVAL,)))
    weight = merged["0.0.weight"].numpy()[:, list(REMOVAL.kept), 0]
    expected = reference.relative_error(
        h, w, b, weight, b + gained(context, merged, "0.0"), set(REMOVAL.removed)
    )
    (estimate,) = estimated(context, Plan((REMOVAL,)))
    assert error_of(estimate, merge) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("merge", sorted(MERGES))
@settings(max_examples=15)
@given(seed=SEEDS, taps=st.sampled_from([1, 4]), where=st.sampled_from(["bias", "norm", "none"]))
def test_estimate_errors_takes_taps_as_independent_where_they_read(
    merge: Merge, seed: int, taps: int, where: str
) -> None:
    generator = np.random.default_rng(seed)
    h = relu_maps(seed, channels=12, positions=3)
    consumer = literal.Consumer(
        generator.normal(size=(3, 12, taps)),
        generator.uniform(0.5, 1, size=taps),
        where != "none",
        np.ones(3) if where == "norm" else None,
    )
    context = context_with([literal.Seen(h, tuple(range(12)), (consumer,))])
    merged = MERGES[merge](context, Plan((REMOVAL,)))
    expected = literal.relative_error(
        h, consumer, merged["0.0.weight"].numpy(), gained(context, merged, "0.0")
    )
    (estimate,) = estimated(context, Plan((REMOVAL,)))
    assert error_of(estimate, merge) == pytest.approx(expected, rel=1e-6)


def test_estimate_errors_counts_units_by_the_reason_of_their_removal() -> None:
    seen = literal.Seen(relu_maps(0, channels=12), tuple(range(12)), (literal.dense(np.ones((2, 12))),))
    (found,) = estimated(context_with([seen]), Plan((REMOVAL,)))
    assert (found.layer, found.before, found.after) == ("hidden", 12, 8)
    assert (found.similar, found.complementary, found.insignificant) == (2, 1, 1)


def measured(maps: Tensor, old: Array, new: Array, constant: Array, padding: int) -> float:
    """Relative error of a convolution (outputs, channels, side, side) that really runs."""
    before, after = (F.conv2d(maps, torch.from_numpy(weight), padding=padding) for weight in (old, new))
    after = after + torch.from_numpy(constant)[:, None, None]
    varying = before - before.mean((0, 2, 3), keepdim=True)
    return float(((after - before).square().sum() / varying.square().sum()).sqrt())


@pytest.mark.parametrize("merge", sorted(MERGES))
@pytest.mark.parametrize(("kernel", "padding", "level"), [(1, 0, 0.7), (3, 0, 0.7), (3, 1, 0.0)])
def test_estimate_errors_is_the_error_of_a_convolution_that_runs(
    merge: Merge, kernel: int, padding: int, level: float
) -> None:
    generator = np.random.default_rng(5)
    side, taps = 12, kernel**2
    mixing = np.eye(12) + generator.normal(size=(12, 12)) / 3
    h = level + np.einsum("cd,ndp->ncp", mixing, generator.normal(size=(400, 12, side**2)))
    h -= h.mean((0, 2), keepdims=True) if padding else 0.0
    weight = generator.normal(size=(4, 12, taps))
    at_edge = 1 - 1 / side if padding else 1.0
    along = np.array([at_edge, 1.0, at_edge][:kernel] if kernel > 1 else [1.0])
    consumer = literal.Consumer(weight, np.outer(along, along).ravel())
    context = context_with([literal.Seen(h, tuple(range(12)), (consumer,))])
    merged = MERGES[merge](context, Plan((REMOVAL,)))
    shape = (4, 12, kernel, kernel)
    found = measured(
        torch.from_numpy(h.reshape(400, 12, side, side)),
        weight.reshape(shape),
        merged["0.0.weight"].numpy().reshape(shape),
        gained(context, merged, "0.0"),
        padding,
    )
    (estimate,) = estimated(context, Plan((REMOVAL,)))
    assert error_of(estimate, merge) == pytest.approx(found, rel=1e-6 if kernel == 1 else 0.02)


def net_with_two_readers() -> nn.Module:
    """Maps of 12 units that two 1x1 convolutions read, one of them before a batch norm."""

    def wire(net: Wired, x: Tensor) -> Tensor:
        h = torch.relu(net.first(x))
        a, b = net.plain(h), net.norm(net.normed(h))
        found: Tensor = net.head(torch.relu(torch.cat([a, b], 1)))
        return found

    torch.manual_seed(0)
    return Wired(
        wire,
        first=conv(3, 12),
        plain=conv(12, 5, 1),
        normed=conv(12, 7, 1, bias=False),
        norm=nn.BatchNorm2d(7),
        head=head(12),
    ).eval()


def reads(net: nn.Module, name: str, batch: Tensor) -> Tensor:
    kept: list[Tensor] = []
    hook = net.get_submodule(name).register_forward_hook(lambda _, __, output: kept.append(output))
    with torch.no_grad():
        net(batch)
    hook.remove()
    return kept[0]


@pytest.mark.parametrize("merge", sorted(MERGES))
def test_estimate_errors_is_the_mean_over_all_consumers_of_a_network(merge: Merge) -> None:
    net = net_with_two_readers()
    batch = torch.randn(50, 3, 6, 6, generator=torch.Generator().manual_seed(0))
    context = context_of_net(net, [batch])
    removal = Removal("first", 12, similar=(2, 6), chosen=(7, 8), merges={2: 0, 6: 1})
    plan = Plan((removal,))
    small = applied(net, context, plan, MERGES[merge](context, plan))
    errors = []
    # at the norm's output the constant is back where it was; it divides every output by the same here
    for name in ("plain", "norm"):
        before, after = reads(net, name, batch), reads(small, name, batch)
        varying = before - before.mean((0, 2, 3), keepdim=True)
        errors.append(float((after - before).square().sum() / varying.square().sum()))
    (estimate,) = estimated(context, plan)
    assert error_of(estimate, merge) == pytest.approx(math.sqrt(sum(errors) / 2), rel=1e-4)


@settings(max_examples=20)
@given(seed=SEEDS, count=st.integers(1, 8))
def test_estimate_errors_of_least_squares_is_never_above_the_published(seed: int, count: int) -> None:
    h = sigmoid_layer(seed, patterns=400)
    generator = np.random.default_rng(seed)
    seen = literal.Seen(h[:, :, None], tuple(range(12)), (literal.dense(generator.normal(size=(3, 12))),))
    order = [int(unit) for unit in generator.permutation(12)]
    removal = Removal(
        "hidden", 12, similar=tuple(order[:count]), merges=dict.fromkeys(order[:count], order[count])
    )
    (estimate,) = estimated(context_with([seen]), Plan((removal,)))
    assert error_of(estimate, "lstsq") <= error_of(estimate, "sum") * 1.02 + 1e-9


def test_layers_that_share_consumers_share_their_error() -> None:
    h = relu_maps(0, channels=10)
    seen = literal.Seen(h, tuple(range(10)), (literal.dense(np.random.default_rng(0).normal(size=(3, 10))),))
    context = context_with([seen], {"a": 4, "b": 6})
    first, second = estimated(context, without(context, [1, 7]))
    assert (first.layer, second.layer) == ("a", "b")
    assert first.error_sum == second.error_sum
    assert first.error_lstsq == second.error_lstsq


def test_estimate_errors_is_zero_where_nothing_is_removed() -> None:
    seen = literal.Seen(relu_maps(0, channels=12), tuple(range(12)), (literal.dense(np.ones((2, 12))),))
    context = context_with([seen])
    (found,) = estimated(context, without(context, []))
    assert (found.error_sum, found.error_lstsq) == (0.0, 0.0)


def test_estimate_errors_is_none_where_nothing_varies() -> None:
    h = np.full((50, 4, 1), 0.3)
    seen = literal.Seen(h, (0, 1, 2, 3), (literal.dense(np.random.default_rng(0).normal(size=(3, 4))),))
    context = context_with([seen])
    (found,) = estimated(context, without(context, [1]))
    assert (found.error_sum, found.error_lstsq) == (None, None)


def test_estimate_errors_leaves_out_a_consumer_that_never_varies() -> None:
    h = relu_maps(0, channels=6)
    told = literal.dense(np.random.default_rng(0).normal(size=(3, 6)))
    for consumers in ((told,), (told, literal.dense(np.zeros((2, 6))))):
        context = context_with([literal.Seen(h, tuple(range(6)), consumers)])
        (found,) = estimated(context, without(context, [1, 4]))
        assert error_of(found, "lstsq") > 0
        if len(consumers) == 1:
            alone = found
    assert found == alone


def test_estimate_errors_of_masks_has_no_least_squares_error() -> None:
    h = relu_maps(0, channels=6)
    consumer = literal.dense(np.random.default_rng(0).normal(size=(3, 6)))
    context = context_with([literal.Seen(h, tuple(range(6)), (consumer,))])
    mask = torch.rand(3, 6, 1, generator=torch.Generator().manual_seed(0)) < 0.5
    masked = context.tensors["0.0.weight"] * mask
    plan = Plan((Removal("hidden", 6),), {"0.0.weight": mask})
    (found,) = estimate_errors(context, plan, {"sum": {"0.0.weight": masked}})
    expected = literal.relative_error(h, consumer, masked.numpy(), np.zeros(3))
    assert error_of(found, "sum") == pytest.approx(expected, rel=1e-9)
    assert found.error_lstsq is None


def layer_outcome(name: str, **more: Any) -> LayerOutcome:
    fields = {"before": 4, "after": 1, "similar": 3, "complementary": 0, "insignificant": 0}
    errors = {"error_sum": 0.25, "error_lstsq": 0.75}
    rest = {"center": "half", "removed": (1, 2, 3), "merges": {}, "spared": True}
    return LayerOutcome(**{"layer": name, **fields, **errors, **rest, **more})


def outcome_of(*layers: LayerOutcome) -> PruneOutcome:
    same = Change(100, 60)
    return PruneOutcome(Change(4, 1), 0.75, same, same, same, same, layers, frozen=())


@pytest.mark.parametrize(
    ("count", "others"),
    [(1, ""), (2, " (and so in 1 more layer)"), (4, " (and so in 3 more layers)")],
)
def test_report_warnings_folds_layers_into_one_line(
    told: pytest.LogCaptureFixture, count: int, others: str
) -> None:
    layers = [layer_outcome(f"l{index}") for index in range(count)]
    report_warnings(PruneConfig(), outcome_of(*layers))
    assert told.messages == [
        f"l0: every unit would be removed; 1 is kept{others}",
        f"l0: the next layer's input changes by 75% of its spread{others}",
    ]
    told.clear()
    whole = layer_outcome("a", removed=(), spared=False, error_lstsq=0.0)
    report_warnings(PruneConfig(), outcome_of(whole))
    assert told.messages == ["no unit is removed at this amount"]


def three_layers() -> list[LayerOutcome]:
    """Errors of 25% under "sum" and 75% under "lstsq" in two layers, unknown in a third."""
    return [layer_outcome("l0"), layer_outcome("l1"), layer_outcome("l2", error_sum=None, error_lstsq=None)]


@pytest.mark.parametrize(("merge", "most", "error"), [("lstsq", 0.74, 75), ("sum", 0.24, 25)])
def test_check_errors_refuses_larger_ones_of_the_merge(merge: Merge, most: float, error: int) -> None:
    with pytest.raises(UsageFault) as caught:
        check_errors(PruneConfig(merge=merge), Amount("angle", 15), three_layers(), most=most)
    fact = f"l0: the predicted error is {error}%, more than {most:.0%} (and so in 1 more layer)"
    assert str(caught.value) == f"{fact}; lower `angle=15`, or allow it with `max_error={error / 100}`"


@pytest.mark.parametrize(("merge", "most"), [("lstsq", 0.75), ("sum", 0.25), ("lstsq", math.inf)])
def test_check_errors_accepts_the_limit_itself_and_what_is_unknown(merge: Merge, most: float) -> None:
    check_errors(PruneConfig(merge=merge), Amount("angle", 15), three_layers(), most=most)


@pytest.mark.parametrize(
    ("amount", "remedy"), [("macs", "raise `macs=0.5`"), ("amount", "lower `amount=0.5`")]
)
def test_check_errors_says_which_way_to_change_the_amount(amount: str, remedy: str) -> None:
    # rounded up, so that the remedy is enough
    layers = [layer_outcome("l0", error_lstsq=0.601)]
    with pytest.raises(UsageFault, match=f"{remedy}, or allow it with `max_error=0.61`"):
        check_errors(PruneConfig(), Amount(amount, 0.5), layers, most=0.5)


@pytest.mark.parametrize(
    ("removed", "end"),
    [((), "all the same"), ((1,), "; 1 silent unit is removed"), ((1, 2), "; 2 silent units are removed")],
)
def test_report_warnings_counts_silent_units(
    told: pytest.LogCaptureFixture, removed: tuple[int, ...], end: str
) -> None:
    found = outcome_of(layer_outcome("a", removed=removed, spared=False))
    report_warnings(PruneConfig(method="random", amount=0.4), found)
    assert told.messages[-1].endswith(end)
