from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from emoprune.pruning.context import Subject
from emoprune.pruning.merging import LEAST, MERGES, POWER, least_squares, rescaled
from emoprune.pruning.types import Plan, Removal
from tests.support import reference_pruning as literal
from tests.support.layers import Array, carried_out, relu_maps, subject_of_net, subject_with, without
from tests.support.wiring import Wired, conv, head

SEEDS = st.integers(0, 10_000)


def ratios(subject: Subject, removed: list[int]) -> Array:
    """By how much each running variance is multiplied."""
    plan = without(subject, removed)
    name = "0.0.norm.running_var"
    found = rescaled(subject, plan, least_squares(subject, plan))
    return np.asarray((found[name] / subject.tensors[name]).numpy())


@settings(max_examples=20)
@given(seed=SEEDS, taps=st.sampled_from([1, 4]), count=st.integers(1, 6))
def test_variances_follow_what_the_survivors_still_make(seed: int, taps: int, count: int) -> None:
    generator = np.random.default_rng(seed)
    h = relu_maps(seed, positions=2)
    inside = np.ones(1) if taps == 1 else generator.uniform(0.5, 1, size=taps)
    reader = literal.Reader(
        generator.normal(size=(5, 8, taps)), inside, deviation=generator.uniform(0.5, 2, size=5)
    )
    subject = subject_with([literal.Seen(h, tuple(range(8)), (reader,))])
    removed = [int(unit) for unit in generator.permutation(8)[:count]]
    new = least_squares(subject, without(subject, removed))["0.0.weight"].numpy()
    shares = literal.variances(h, new, inside) / literal.variances(h, reader.weight, inside)
    # never more than there was: by as much as a share is over 1 least squares has found noise
    expected = np.clip(shares, LEAST, 1.0) ** POWER
    assert ratios(subject, removed) == pytest.approx(expected, rel=1e-6)


def net_of_one_by_one(*, bias: bool = False) -> nn.Module:
    def wire(net: Wired, x: Tensor) -> Tensor:
        found: Tensor = net.head(torch.relu(net.norm(net.read(torch.relu(net.first(x))))))
        return found

    torch.manual_seed(0)
    return Wired(
        wire, first=conv(3, 12), read=conv(12, 5, 1, bias=bias), norm=nn.BatchNorm2d(5), head=head(5)
    ).eval()


def before_the_norm(net: nn.Module, batch: Tensor) -> Tensor:
    kept: list[Tensor] = []
    hook = net.get_submodule("norm").register_forward_pre_hook(lambda _, inputs: kept.append(inputs[0]))
    with torch.no_grad():
        net(batch)
    hook.remove()
    return kept[0]


@pytest.mark.parametrize("bias", [False, True])
def test_a_convolution_that_runs_has_lost_that_share_of_its_variance(bias: bool) -> None:
    net = net_of_one_by_one(bias=bias)
    batch = torch.randn(50, 3, 6, 6, generator=torch.Generator().manual_seed(0))
    subject = subject_of_net(net, [batch])
    plan = without(subject, [1, 2, 5, 7, 8])
    merged = least_squares(subject, plan)
    small = carried_out(net, subject, plan, merged)
    old, new = (before_the_norm(each, batch).var((0, 2, 3), correction=0) for each in (net, small))
    found = rescaled(subject, plan, merged)
    assert set(found) == {"norm.running_var"}
    assert found["norm.running_var"].dtype == torch.float32
    expected = np.clip((new / old).numpy(), LEAST, 1.0) ** POWER
    assert found["norm.running_var"].numpy() == pytest.approx(expected, rel=1e-4)
    assert float((new / old).min()) < 0.95


def test_nothing_is_rescaled_where_nothing_was_removed() -> None:
    subject = subject_of_net(net_of_one_by_one(), [torch.randn(8, 3, 6, 6)])
    assert rescaled(subject, without(subject, []), {}) == {}


def test_a_norm_whose_reader_lost_nothing_keeps_its_variances() -> None:
    generator = np.random.default_rng(0)
    first, second = relu_maps(0), relu_maps(1)
    reader = literal.Reader(generator.normal(size=(4, 8, 1)), np.ones(1), deviation=np.ones(4))
    subject = subject_with(
        [
            literal.Seen(first, tuple(range(8)), (reader,)),
            literal.Seen(second, tuple(range(8, 16)), (reader,)),
        ],
        {"a": 8, "b": 8},
    )
    plan = without(subject, [9, 10])
    assert set(rescaled(subject, plan, least_squares(subject, plan))) == {"1.0.norm.running_var"}


def test_a_reader_without_a_norm_has_nothing_to_rescale() -> None:
    subject = subject_with([literal.Seen(relu_maps(0), tuple(range(8)), (literal.dense(np.ones((2, 8))),))])
    plan = without(subject, [1])
    assert rescaled(subject, plan, least_squares(subject, plan)) == {}


def test_a_copy_takes_nothing_with_it() -> None:
    h = relu_maps(0, patterns=2000)
    h[:, 4] = h[:, 1]
    reader = literal.Reader(np.random.default_rng(0).normal(size=(4, 8, 1)), np.ones(1), deviation=np.ones(4))
    subject = subject_with([literal.Seen(h, tuple(range(8)), (reader,))])
    assert ratios(subject, [4]) == pytest.approx(1.0, abs=1e-6)


def test_a_published_merge_that_makes_more_of_an_output_leaves_its_variance() -> None:
    h = relu_maps(3, patterns=2000)
    weight = np.abs(np.random.default_rng(3).normal(size=(4, 8, 1)))
    reader = literal.Reader(weight, np.ones(1), deviation=np.ones(4))
    subject = subject_with([literal.Seen(h, tuple(range(8)), (reader,))])
    # two that vary little are added to the one that varies most
    order = np.argsort(h.var((0, 2)))
    small, large = [int(unit) for unit in order[:2]], int(order[-1])
    plan = Plan((Removal("hidden", 8, similar=tuple(small), merges=dict.fromkeys(small, large)),))
    merged = MERGES["sum"](subject, plan)
    made = literal.variances(h, merged["0.0.weight"].numpy(), np.ones(1))
    assert float((made / literal.variances(h, weight, np.ones(1))).min()) > 1.01
    found = rescaled(subject, plan, merged)["0.0.norm.running_var"]
    assert torch.equal(found, subject.tensors["0.0.norm.running_var"])


def test_outputs_that_never_varied_and_those_that_no_longer_do_stay_finite() -> None:
    h = relu_maps(0, patterns=2000)
    h[:, 3] = 0.0
    h[:, 4] = np.random.default_rng(5).normal(size=(2000, 1))
    weight = np.zeros((3, 8, 1))
    weight[1, 3], weight[2, 4] = 1.0, 1.0
    reader = literal.Reader(weight, np.ones(1), deviation=np.ones(3))
    subject = subject_with([literal.Seen(h, tuple(range(8)), (reader,))])
    found = ratios(subject, [3, 4])
    # the third output was what unit 4 alone said
    assert found[:2].tolist() == [1.0, 1.0]
    assert found[2] == pytest.approx(LEAST**POWER)
