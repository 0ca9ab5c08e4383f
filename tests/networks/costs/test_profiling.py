"""What a network costs, against counts by hand and torchvision's published figures."""

from __future__ import annotations

import copy
import dataclasses
import time
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn
from torchvision import models

from emoprune.choices import Price
from emoprune.networks import build
from emoprune.networks.costs import profiling
from emoprune.networks.costs.profiling import Footprint, cost, macs_by_module, times_ms, turns_ms
from emoprune.networks.graph import channel_graph
from emoprune.networks.graph.types import ChannelGraph
from emoprune.networks.types import Cost, Spec
from emoprune.pruning import surgery
from tests.support.timing import tables_of_macs
from tests.support.wiring import Wired, conv, head, smaller


def test_cost_of_a_dense_layer() -> None:
    found = cost(nn.Linear(7, 5), (7,))
    assert (found.parameters, found.macs) == (7 * 5 + 5, 7 * 5)


def test_macs_by_module_names_each_layer_as_the_state_does() -> None:
    inner = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten())
    net = nn.Sequential(inner, nn.Linear(4 * 8 * 6, 5))
    assert macs_by_module(net, (3, 10, 8)) == {"0.0": 4 * 27 * 48, "1": 192 * 5}
    assert macs_by_module(nn.Linear(7, 5), (7,)) == {"": 35}


@pytest.mark.parametrize(("stride", "positions"), [(1, 6 * 8), (2, 3 * 4)])
def test_cost_of_a_convolution(stride: int, positions: int) -> None:
    net = nn.Conv2d(3, 4, 5, stride=stride)
    found = cost(net, (3, 10, 12))
    assert (found.parameters, found.macs) == (4 * 3 * 25 + 4, 4 * 3 * 25 * positions)


def test_cost_of_a_grouped_convolution() -> None:
    found = cost(nn.Conv2d(6, 6, 3, groups=6, bias=False), (6, 5, 5))
    assert (found.parameters, found.macs) == (6 * 9, 6 * 9 * 9)


def test_cost_of_conv1_is_the_sum_of_its_layers() -> None:
    spec = Spec("conv1", 3, (1, 12, 14), hidden=(7,))
    found = cost(build.build(spec).eval(), spec.input)
    features = 16 * 4 * 5
    assert found.parameters == 16 * 25 + 16 + features * 7 + 7 + 7 * 3 + 3
    assert found.macs == 16 * 25 * 8 * 10 + features * 7 + 7 * 3


def test_cost_counts_zeros_apart_and_no_buffers() -> None:
    dense, norm = nn.Linear(3, 2), nn.BatchNorm1d(2)
    for parameter in (dense.weight, dense.bias, norm.weight, norm.bias):
        nn.init.ones_(parameter)
    nn.init.zeros_(dense.weight[0])
    nn.init.zeros_(norm.bias)
    found = cost(nn.Sequential(dense, norm).eval(), (3,))
    assert (found.parameters, found.nonzero_parameters) == (12, 12 - 3 - 2)


class SelfAttention(nn.Module):
    """Attention of 5 tokens of 8 numbers, with 2 heads."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        tokens = x.reshape(-1, 5, 8)
        read: Tensor = self.attention(tokens, tokens, tokens, need_weights=False)[0]
        return read


def test_cost_of_attention() -> None:
    found = cost(SelfAttention().eval(), (40,))
    assert found.macs == 4 * 5 * 8 * 8 + 2 * 5 * 5 * 8


@pytest.mark.parametrize("arch", ["resnet18", "mobilenet_v3_small"])
def test_cost_agrees_with_torchvision(arch: str) -> None:
    published = models.get_model_weights(arch).DEFAULT.meta
    spec = Spec(arch, 1000, (3, 224, 224))
    found = cost(build.build(spec).eval(), spec.input)
    assert found.parameters == published["num_params"]
    assert found.macs / 1e9 == pytest.approx(published["_ops"], abs=0.0006)


def test_cost_does_not_change_the_network() -> None:
    net = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2)).eval()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    cost(net, (3,))
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert not net.training


@pytest.mark.parametrize(("slow_s", "runs"), [(0.001, 200), (0.1, 50), (9.0, 20)])
def test_times_ms_has_as_many_runs_as_there_is_time_for(
    monkeypatch: pytest.MonkeyPatch, slow_s: float, runs: int
) -> None:
    clock, calls = [0.0], [0]
    monkeypatch.setattr(time, "perf_counter", lambda: clock[0])

    def run() -> None:
        calls[0] += 1
        # slow while it warms up
        clock[0] += 60.0 if calls[0] <= 5 else slow_s

    times = times_ms(run)
    assert len(times) == pytest.approx(runs, abs=1)
    assert times == pytest.approx([1000 * slow_s] * len(times))


SPECS = (
    Spec("resnet18", 7, (3, 64, 64)),
    Spec("densenet121", 7, (3, 32, 32)),
    Spec("mobilenet_v3_small", 7, (3, 32, 32)),
    Spec("shufflenet_v2_x0_5", 7, (3, 32, 32)),
    Spec("conv2", 7, (1, 48, 48), (200, 30)),
    Spec("alexnet", 7, (3, 63, 63)),
    Spec("resnext50_32x4d", 7, (3, 32, 32)),
    Spec("mlp", 7, (30,), (20, 10)),
)


PRICES: tuple[Price, ...] = ("macs", "parameters", "units")


def left_of(footprint: Footprint, price: Price) -> int:
    return int(footprint.left.sum()) if price == "units" else int(getattr(footprint, price))


@dataclass(frozen=True)
class Weighed:
    """A network on the meta device, and what it costs."""

    spec: Spec
    net: nn.Module
    graph: ChannelGraph
    cost: Cost


@pytest.fixture(scope="module", params=SPECS, ids=lambda spec: str(spec.arch))
def weighed(request: pytest.FixtureRequest) -> Weighed:
    spec: Spec = request.param
    net = build.blueprint(spec).eval()
    return Weighed(spec, net, channel_graph(net, spec.input), counted(net, spec))


def counted(net: nn.Module, spec: Spec) -> Cost:
    """What `costs.cost` counts; on the meta device there is nothing that could be zero."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.Tensor, "count_nonzero", torch.Tensor.numel)
        return cost(net, spec.input)


def taken_by_chance(graph: ChannelGraph, share: float, seed: int) -> torch.Tensor:
    alive = torch.rand(graph.units, generator=torch.Generator().manual_seed(seed)) >= share
    for start, _ in graph.spans.values():
        alive[start] = True
    return alive


def pruned(weighed: Weighed, alive: torch.Tensor) -> Cost:
    """The cost of the network that is really made."""
    tensors = surgery.cut(weighed.net.state_dict(), weighed.graph, alive)
    widths = surgery.widths(weighed.graph, tensors, alive)
    spec = dataclasses.replace(weighed.spec, widths=widths)
    return counted(build.blueprint(spec).eval(), spec)


def after(footprint: Footprint, graph: ChannelGraph, alive: torch.Tensor) -> Footprint:
    left = copy.deepcopy(footprint)
    for number, (start, stop) in enumerate(graph.spans.values()):
        left.take(number, int((~alive[start:stop]).sum()))
    return left


@pytest.mark.parametrize(("share", "seed"), [(0.2, 0), (0.7, 1), (1.0, 2)])
def test_footprint_agrees_with_the_cost_of_the_pruned_network(
    weighed: Weighed, share: float, seed: int
) -> None:
    alive = taken_by_chance(weighed.graph, share, seed)
    whole = Footprint(weighed.graph, weighed.net)
    left = after(whole, weighed.graph, alive)
    real = pruned(weighed, alive)
    # what no unit stands in is not counted before, nor after
    assert whole.macs - left.macs == weighed.cost.macs - real.macs
    assert whole.parameters - left.parameters == weighed.cost.parameters - real.parameters
    assert whole.macs <= weighed.cost.macs
    assert whole.parameters <= weighed.cost.parameters
    assert int(left.left.sum()) == int(alive.sum())


@pytest.mark.parametrize("price", PRICES)
def test_savings_are_differences_of_the_cost(weighed: Weighed, price: Price) -> None:
    alive = taken_by_chance(weighed.graph, 0.4, 5)
    left = after(Footprint(weighed.graph, weighed.net), weighed.graph, alive)
    savings = left.savings(price)
    assert len(savings) == len(weighed.graph.spans)
    numbers = list(range(len(weighed.graph.spans)))
    for number in numbers[:: max(1, len(numbers) // 12)]:
        less = copy.deepcopy(left)
        less.take(number)
        assert int(savings[number]) == left_of(left, price) - left_of(less, price)


def test_take_is_the_same_at_once_or_one_by_one(weighed: Weighed) -> None:
    at_once, one_by_one = (Footprint(weighed.graph, weighed.net) for _ in range(2))
    for number in range(len(weighed.graph.spans)):
        count = min(3, int(at_once.left[number]) - 1)
        at_once.take(number, count)
        for _ in range(count):
            one_by_one.take(number)
    for price in PRICES:
        assert left_of(at_once, price) == left_of(one_by_one, price)


def test_footprint_counts_units_that_meet_in_one_weight() -> None:
    """A residual connection: the same units are a convolution's inputs and its outputs."""

    def wire(net: Wired, x: torch.Tensor) -> torch.Tensor:
        h = torch.relu(net.stem(x))
        found: torch.Tensor = net.head(torch.relu(net.again(h) + h))
        return found

    net = Wired(wire, stem=conv(3, 8), again=conv(8, 8), head=head(8)).eval()
    spec = Spec("conv1", 2, (3, 6, 6), (4,))
    graph = channel_graph(net, spec.input)
    footprint = Footprint(graph, net)
    before = cost(net, spec.input), footprint.macs, footprint.parameters
    assert list(graph.spans) == ["stem"]
    savings = {price: int(footprint.savings(price)[0]) for price in PRICES}
    footprint.take(0)
    assert savings["macs"] == before[1] - footprint.macs
    assert savings["parameters"] == before[2] - footprint.parameters
    footprint.take(0, 2)
    alive = torch.arange(8) < 5
    real = cost(smaller(net, graph, alive), spec.input)
    assert before[1] - footprint.macs == before[0].macs - real.macs
    assert before[2] - footprint.parameters == before[0].parameters - real.parameters


def test_savings_are_empty_without_units() -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(12, 3))
    footprint = Footprint(channel_graph(net, (3, 2, 2)), net)
    assert (footprint.macs, footprint.parameters, int(footprint.left.sum())) == (0, 0, 0)
    assert len(footprint.savings("macs")) == 0


def test_nanoseconds_are_those_of_the_tables(weighed: Weighed) -> None:
    # by which each multiply-accumulate takes one
    tables = tables_of_macs(weighed.graph, weighed.net.to_empty(device="cpu"))
    footprint = Footprint(weighed.graph, weighed.net, tables)
    for number in range(len(weighed.graph.spans)):
        footprint.take(number, int(footprint.left[number]) // 3)
    assert footprint.nanoseconds == pytest.approx(footprint.macs, abs=2)
    difference = footprint.savings("nanoseconds") - footprint.savings("macs")
    assert int(difference.abs().max()) <= 2


def test_turns_ms_lets_two_calls_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    calls, clock = list[str](), [0.0]
    monkeypatch.setattr(profiling, "LONGEST_TURNS_S", 0)

    def run(name: str, seconds: float) -> None:
        calls.append(name)
        # the first turn is slow
        clock[0] += seconds if len(calls) > 2 else 9.0

    found = turns_ms(lambda: run("a", 0.5), lambda: run("b", 0.25), lambda: clock[0])
    assert found == [(500, 250)] * 12
    assert calls == ["a", "b"] * 13
