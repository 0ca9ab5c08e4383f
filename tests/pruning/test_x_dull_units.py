"""Units that are dead or never vary, and too few patterns: the numbers that break algebra first."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from emoprune.choices import Merge
from emoprune.networks.profiling import Footprint
from emoprune.pruning.context import Request, Subject
from emoprune.pruning.error_estimate import certify
from emoprune.pruning.merging import MERGES, least_squares, rescaled
from emoprune.pruning.methods import METHODS
from emoprune.pruning.types import Plan
from tests.support.layers import carried_out, subject_of_net, without
from tests.support.silencing import randomise
from tests.support.wiring import conv, head

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
METHODS_OF_UNITS = tuple(name for name, method in METHODS.items() if not method.weights)


def dulled(make: Make, seed: int) -> nn.Module:
    """Of every layer the first unit is dead and some more never vary."""
    torch.manual_seed(seed)
    net = make()
    randomise(net)
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


def check(net: nn.Module, small: nn.Module, batch: Tensor) -> None:
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
def test_survivors_that_never_vary_are_given_nothing_to_say(make: Make, seed: int) -> None:
    net = dulled(make, seed)
    batches = images(40, 40, 7)
    subject = subject_of_net(net, batches)
    gone = [
        start + unit for start, stop in subject.graph.spans.values() for unit in (DULL, stop - 2, stop - 1)
    ]
    plan = without(subject, gone)
    check(net, carried_out(net, subject, plan, least_squares(subject, plan)), torch.cat(batches))


@pytest.mark.parametrize("make", NETS)
def test_units_that_never_vary_go_without_a_trace(make: Make) -> None:
    net = dulled(make, 0)
    batches = images(40, 7)
    subject = subject_of_net(net, batches)
    starts = [start for start, stop in subject.graph.spans.values() if stop - start >= 12]
    plan = without(subject, [start + unit for start in starts for unit in range(DULL)])
    merged = least_squares(subject, plan)
    small = carried_out(net, subject, plan, merged)
    with torch.no_grad():
        batch = torch.cat(batches)
        # at the edge of a padded map a constant is none
        if make is not padded:
            assert torch.allclose(net(batch), small(batch), rtol=1e-4, atol=1e-4)
    check(net, small, batch)


def carried(net: nn.Module, subject: Subject, plan: Plan, merge: Merge) -> nn.Module:
    merged = dict(MERGES[merge](subject, plan))
    errors = [
        error
        for certificate in certify(subject, plan, {merge: merged})
        for error in (certificate.error_sum, certificate.error_lstsq)
        if error is not None
    ]
    assert all(0 <= error < 1e3 for error in errors)
    if merge == "lstsq":
        merged |= rescaled(subject, plan, merged)
    return carried_out(net, subject, plan, merged)


@pytest.mark.parametrize("counts", [(1,), (2, 1), (30, 30)])
@pytest.mark.parametrize("make", NETS)
@pytest.mark.parametrize("name", METHODS_OF_UNITS)
def test_every_method_leaves_a_network_of_sound_numbers(
    name: str, make: Make, counts: tuple[int, ...]
) -> None:
    net = dulled(make, 1)
    batches = images(*counts)
    subject = subject_of_net(net, batches)
    course = METHODS[name].plans(subject, Footprint(subject.graph, net), Request())
    for step in (course.length // 3, course.length):
        for merge in ("sum", "lstsq"):
            check(net, carried(net, subject, course.plan(step), merge), torch.cat(batches))


@pytest.mark.parametrize("make", NETS)
def test_reconstruction_takes_what_never_varies_first(make: Make) -> None:
    net = dulled(make, 2)
    subject = subject_of_net(net, images(40, 40))
    course = METHODS["reconstruct"].plans(
        subject, Footprint(subject.graph, net), Request(scope="layer", price="units")
    )
    (start, stop), layer = next(iter(subject.graph.spans.values())), subject.layers[0].name
    dull = set(range(DULL)) if make is not padded else {0}
    for step in range(course.length + 1):
        (removal,) = (each for each in course.plan(step).removals if each.layer == layer)
        if len(removal.removed) == len(dull):
            assert set(removal.removed) == dull
    assert stop - start == 16
