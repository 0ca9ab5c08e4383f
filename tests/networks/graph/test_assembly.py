"""From ties to units: how they are numbered, where they are first seen, what is listed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from emoprune.networks.build import blueprint
from emoprune.networks.graph import channel_graph
from emoprune.networks.graph.types import ChannelGraph, Obstacle
from emoprune.networks.registry import ARCHITECTURES
from emoprune.networks.types import HiddenLayer, Spec
from tests.support.wiring import Wired, check_frozen, conv, cuts, graph_of, head, owner, smaller


def test_units_are_numbered_in_network_order() -> None:
    net = Wired(
        lambda net, x: net.head(net.second(net.first(x))),
        # named and added the other way round
        **{"second": conv(4, 5), "first": conv(3, 4), "head": head(5)},
    )
    graph = graph_of(net)
    assert list(graph.spans.items()) == [("first", (0, 4)), ("second", (4, 9))]
    assert [layer.name for layer in graph.layers] == ["first", "second"]
    assert graph.units == 9


def test_spans_follow_one_another_without_gaps() -> None:
    graph = graph_of(nn.Sequential(*(nn.Linear(width, width + 1) for width in range(2, 8))), (2,))
    stops = [stop for _, stop in graph.spans.values()]
    assert [start for start, _ in graph.spans.values()] == [0, *stops[:-1]]
    assert stops[-1] == graph.units == 3 + 4 + 5 + 6 + 7


def test_every_unit_is_written_and_read() -> None:
    def forward(net: Any, x: Any) -> Any:
        h = F.relu(net.a(x))
        h = torch.cat([h, h + net.b(h)], 1)
        return net.head(net.c(net.deep(h)))

    net = Wired(forward, a=conv(3, 4), b=conv(4, 4), deep=conv(8, 8, groups=8), c=conv(8, 5), head=head(5))
    graph = graph_of(net)
    written = {unit for (name, dim), units in cuts(graph).items() if dim == 0 for unit in units}
    read = {unit for found in graph.layer_inputs for unit in found.owner.tolist()}
    assert written - {-1} == read - {-1} == set(range(graph.units))
    # the sum is tied to what it adds to, so both halves are the same four
    assert owner(graph, "c") == [0, 1, 2, 3, 0, 1, 2, 3]


def test_a_layer_that_adds_to_units_of_another_has_none() -> None:
    def forward(net: Any, x: Any) -> Any:
        return net.head(net.a(x) + net.b(x))

    graph = graph_of(Wired(forward, a=conv(3, 4), b=conv(3, 4), head=head(4)))
    assert list(graph.spans) == ["a"]
    assert cuts(graph)["b.weight", 0] == [0, 1, 2, 3]


def test_a_layer_that_nothing_reads_has_no_units() -> None:
    def forward(net: Any, x: Any) -> Any:
        net.unread(x)
        return net.head(net.a(x))

    graph = graph_of(Wired(forward, unread=conv(3, 5), a=conv(3, 4), head=head(4)))
    assert list(graph.spans) == ["a"]
    assert graph.obstacles == ()


def test_channels_that_no_layer_mixes_are_not_units() -> None:
    def forward(net: Any, x: Any) -> Any:
        net.deep(net.unread(x))
        return net.head(net.a(x))

    net = Wired(forward, unread=conv(3, 5), deep=conv(5, 5, groups=5), a=conv(3, 4), head=head(4))
    assert list(graph_of(net).spans) == ["a"]


def test_layers_list_all_consumers_and_take_the_first_as_source() -> None:
    def forward(net: Any, x: Any) -> Any:
        h = net.a(x)
        return net.b(torch.relu(h)), net.c(h), net.d(torch.relu(h))

    dense = {"a": nn.Linear(4, 3), "b": nn.Linear(3, 2), "c": nn.Linear(3, 2), "d": nn.Linear(3, 2)}
    graph = graph_of(Wired(forward, **dense), (4,))
    assert graph.layers == (HiddenLayer("a", "relu", ("b", "c", "d")),)
    assert graph.sources == {"a": "b"}
    assert [found.name for found in graph.layer_inputs] == ["b", "c", "d"]


def test_layer_inputs_without_units_are_left_out() -> None:
    graph = graph_of(Wired(lambda net, x: net.head(net.a(x)), a=conv(3, 4), head=head(4)))
    # a itself reads the input
    assert [found.name for found in graph.layer_inputs] == ["head.2"]


def test_works_have_every_weight() -> None:
    net = Wired(lambda net, x: net.b(net.a(x).cumsum(1)), a=conv(3, 4), b=conv(4, 2))
    assert set(graph_of(net).works) == {"a.weight", "b.weight"}


def test_obstacles_name_the_layer_that_writes_the_channels() -> None:
    def forward(net: Any, x: Any) -> Any:
        h = net.a(x)
        h = h + net.b(h)
        return net.d(net.c(h.cumsum(1)))

    net = Wired(forward, a=conv(3, 4), b=conv(4, 4), c=conv(4, 5), d=conv(5, 2))
    graph = graph_of(net)
    # b only adds to what a is first to write
    assert graph.obstacles == (Obstacle("a", 4, "cumsum"),)
    assert list(graph.spans) == ["c"]


def test_obstacles_count_only_frozen_channels() -> None:
    def forward(net: Any, x: Any) -> Any:
        h, g = net.a(x), net.b(x)
        return net.head(net.c(torch.cat([h.cumsum(1), g.relu()], 1)) + net.d(torch.cat([h, g], 1)))

    net = Wired(forward, **{"a": conv(3, 2), "b": conv(3, 3), "c": conv(5, 4), "d": conv(5, 4)}, head=head(4))
    graph = graph_of(net)
    # channels of a are summed up; b meets the result in a concatenation that has lost its count
    assert graph.obstacles == (Obstacle("a", 2, "cumsum"), Obstacle("b", 3, "cumsum"))
    assert list(graph.spans) == ["c"]


def test_obstacles_count_the_channels_of_groups() -> None:
    net = Wired(
        lambda net, x: net.b(net.grouped(net.a(x)).cumsum(1)),
        **{"a": conv(3, 6), "grouped": conv(6, 6, groups=2), "b": conv(6, 2)},
    )
    check_frozen(net, Obstacle("a", 6, "cumsum"))


def test_obstacles_name_the_first_of_several_operations() -> None:
    def forward(net: Any, x: Any) -> Any:
        g, h = net.p(x), net.q(x)
        h = net.a(x) + torch.cat([g, h], 1) + torch.cat([net.r(g.cumprod(1)), net.r2(h.cumsum(1))], 1)
        return net.b(h)

    parts = {"p": conv(3, 2), "q": conv(3, 2), "a": conv(3, 4), "r": conv(2, 2), "r2": conv(2, 2)}
    graph = graph_of(Wired(forward, **parts, b=conv(4, 2)))
    assert graph.obstacles == (Obstacle("p", 2, "cumprod"), Obstacle("q", 2, "cumsum"))

    def backwards(net: Any, x: Any) -> Any:
        h = net.a(x)
        g, k = net.p(x), net.q(x)
        return net.b(h + torch.cat([g, k], 1)), k.cumsum(1), g.cumprod(1)

    graph = graph_of(Wired(backwards, **parts, b=conv(4, 2)))
    assert graph.obstacles == (Obstacle("a", 4, "cumprod"),)


def test_sources_have_all_units_of_a_layer() -> None:
    def forward(net: Any, x: Any) -> Any:
        whole, part = net.whole(x), net.part(x)
        return net.early(part), net.late(whole + torch.cat([part, net.other(x)], 1))

    parts = {"whole": conv(3, 4), "part": conv(3, 2), "other": conv(3, 2)}
    graph = graph_of(Wired(forward, **parts, early=conv(2, 2), late=conv(4, 2)))
    # of the two that `part` writes one stays, and so of the two that `other` does
    assert graph.spans == {"whole": (0, 2)}
    assert set(range(2)) <= set(owner(graph, graph.sources["whole"]))


@pytest.mark.parametrize("left", [1, 2, 3])
@pytest.mark.parametrize(("channels", "groups"), [(4, 1), (4, 4), (8, 4)])
def test_the_graph_of_a_pruned_network_has_the_same_layers(left: int, channels: int, groups: int) -> None:
    net = Wired(
        lambda net, x: net.head(net.c(net.b(net.a(x)))),
        **{"a": conv(3, channels), "b": conv(channels, channels, groups=groups), "c": conv(channels, 4)},
        head=head(4),
    )
    graph = graph_of(net)
    alive = torch.zeros(graph.units, dtype=torch.bool)
    for start, _ in graph.spans.values():
        alive[start : start + left] = True
    again = graph_of(smaller(net, graph, alive).float())
    assert {layer: stop - start for layer, (start, stop) in again.spans.items()} == dict.fromkeys(
        graph.spans, left
    )
    assert again.sources == graph.sources


def halved(reads: Callable[[Any, Any, Any], Any]) -> Wired:
    """A convolution whose halves, tied to nothing, go separate ways."""
    parts = {"a": conv(3, 6), "b": conv(3, 4), "c": conv(3, 4), "d": conv(6, 4), "head": head(4)}

    def forward(net: Any, x: Any) -> Any:
        h = net.a(x)
        return net.head(reads(net, h, h.split(h.shape[1] // 2, 1)))

    return Wired(forward, **parts)


def test_a_part_that_is_read_by_itself_keeps_a_channel() -> None:
    graph = graph_of(halved(lambda net, h, halves: net.d(h) + net.b(halves[0])))
    # the halves must stay alike, so each loses one with the other
    assert cuts(graph)["a.weight", 0] == [0, 1, 2, 0, 1, 2]

    def joined(net: Any, x: Any) -> Any:
        h, g = net.a(x), net.b(x)
        # b adds to the first of a alone
        return net.head(net.d(torch.cat([h, g], 1))) + net.head2(net.c(g))

    parts = {"a": conv(3, 2), "b": conv(3, 4), "c": conv(4, 4), "d": conv(6, 4)}
    assert set(graph_of(Wired(joined, **parts, head=head(4), head2=head(4))).spans) == {"a", "b", "d", "c"}


def test_outputs_are_not_obstacles() -> None:
    assert graph_of(nn.Sequential(conv(3, 4), conv(4, 2))).obstacles == ()


def test_hidden_units_that_are_returned_are_frozen() -> None:
    def forward(net: Any, x: Any) -> Any:
        h = torch.relu(net.a(x))
        return h, net.b(h)

    check_frozen(Wired(forward, a=nn.Linear(4, 3), b=nn.Linear(3, 2)), shape=(4,))


def graph_of_families(arch: str, hidden: tuple[int, ...] = ()) -> ChannelGraph:
    side = max(32, ARCHITECTURES[arch].smallest)
    spec = Spec(arch, 3, (3, side, side), hidden)
    return channel_graph(blueprint(spec), spec.input)


RESNET18 = 3 * (64 + 128 + 256 + 512)  # a stream and one inner width for each of two blocks
RESNET50 = 64 + (256 + 6 * 64) + (512 + 8 * 128) + (1024 + 12 * 256) + (2048 + 6 * 512)
# the two inner widths of a block are tied in 32 groups
RESNEXT50 = 64 + (256 + 512 + 1024 + 2048) + 16 * 32
VGG11 = 64 + 128 + 2 * 256 + 4 * 512 + 2 * 4096
ALEXNET = 64 + 192 + 384 + 2 * 256 + 2 * 4096
# the stem, 58 layers of a bottleneck of 128 and a growth of 32, and three transitions that halve
DENSENET121 = 64 + 58 * (128 + 32) + (128 + 256 + 512)
SQUEEZES, EXPANSIONS = (16, 16, 32, 32, 48, 48, 64, 64), (64, 64, 128, 128, 192, 192, 256, 256)
SQUEEZENET = 96 + sum(SQUEEZES) + 2 * sum(EXPANSIONS)
# the stem, the first block's depthwise of 32 that goes with it, streams, expansions to six times, the end
MOBILENET_STREAMS = (16, 24, 32, 64, 96, 160, 320)
MOBILENET_EXPANDED = 6 * (16 + 2 * 24 + 3 * 32 + 4 * 64 + 3 * 96 + 3 * 160)
MOBILENET_V2 = 32 + sum(MOBILENET_STREAMS) + MOBILENET_EXPANDED + 1280


@pytest.mark.parametrize(
    ("arch", "units"),
    [
        ("resnet18", RESNET18),
        ("resnet50", RESNET50),
        ("resnext50_32x4d", RESNEXT50),
        ("vgg11", VGG11),
        ("vgg11_bn", VGG11),
        ("alexnet", ALEXNET),
        ("densenet121", DENSENET121),
        ("squeezenet1_0", SQUEEZENET),
        ("mobilenet_v2", MOBILENET_V2),
    ],
)
def test_plain_families_can_lose_everything_but_classes(arch: str, units: int) -> None:
    graph = graph_of_families(arch)
    assert graph.units == units
    assert graph.obstacles == ()


@pytest.mark.parametrize(
    "arch",
    [
        *("googlenet", "inception_v3", "mobilenet_v3_small", "mnasnet0_5", "efficientnet_b0"),
        *("efficientnet_v2_s", "regnet_x_400mf", "regnet_y_400mf", "shufflenet_v2_x0_5"),
    ],
)
def test_these_families_have_no_obstacles(arch: str) -> None:
    graph = graph_of_families(arch)
    assert graph.obstacles == ()
    assert graph.units > 1000


@pytest.mark.parametrize(
    ("arch", "operations"),
    [
        ("convnext_tiny", {"LayerNorm", "LayerNorm2d"}),
        ("swin_t", {"LayerNorm"}),
        ("swin_v2_t", {"LayerNorm", "a parameter of its own"}),
        ("vit_b_32", {"LayerNorm"}),
        ("maxvit_t", {"LayerNorm", "einsum"}),
    ],
)
def test_these_families_name_what_freezes_their_streams(arch: str, operations: set[str]) -> None:
    assert {obstacle.operation for obstacle in graph_of_families(arch).obstacles} == operations


def test_a_resnets_stream_is_cut_wherever_it_goes() -> None:
    graph = graph_of_families("resnet18")
    stream = list(range(64))
    for place in (
        *(("conv1.weight", 0), ("bn1.weight", 0), ("layer1.0.conv1.weight", 1), ("layer1.0.conv2.weight", 0)),
        *(("layer1.0.bn2.running_var", 0), ("layer1.1.conv2.weight", 0), ("layer2.0.conv1.weight", 1)),
        ("layer2.0.downsample.0.weight", 1),
    ):
        assert cuts(graph)[place] == stream
    assert graph.layers[0] == HiddenLayer(
        "conv1", "relu", ("layer1.0.conv1", "layer1.1.conv1", "layer2.0.conv1", "layer2.0.downsample.0")
    )
    assert cuts(graph)["fc.weight", 1] == list(range(graph.units - 1024, graph.units - 512))


def test_a_dense_block_reads_what_every_layer_before_it_wrote() -> None:
    graph = graph_of_families("densenet121")
    spans = graph.spans
    block = "features.denseblock1.denselayer"
    written = [f"{block}{n}.conv2" for n in (1, 2)]
    wanted = [*range(*spans["features.conv0"]), *(unit for name in written for unit in range(*spans[name]))]
    assert cuts(graph)[f"{block}3.conv1.weight", 1] == wanted
    assert cuts(graph)[f"{block}3.norm1.weight", 0] == wanted


def test_our_own_head_can_be_pruned_with_its_backbone() -> None:
    graph = graph_of_families("resnet18", (9, 5))
    assert [layer.name for layer in graph.layers[-2:]] == ["fc.hidden1", "fc.hidden2"]
    assert graph.units == RESNET18 + 9 + 5


def test_alexnets_flattened_maps_are_read_by_its_classifier() -> None:
    assert graph_of_families("alexnet").layers[4:] == (
        HiddenLayer("features.10", "relu", ("classifier.1",)),
        HiddenLayer("classifier.1", "relu", ("classifier.4",)),
        HiddenLayer("classifier.4", "relu", ("classifier.6",)),
    )


def test_vision_transformers_can_lose_mlp_units_but_no_attention() -> None:
    block = "encoder.layers.encoder_layer_{}.mlp.{}"
    assert graph_of_families("vit_b_32").layers == tuple(
        HiddenLayer(block.format(n, 0), "gelu", (block.format(n, 3),)) for n in range(12)
    )


def test_convnext_can_lose_hidden_units_of_blocks() -> None:
    graph = graph_of_families("convnext_tiny", (9,))
    assert graph.layers[0] == HiddenLayer("features.1.0.block.3", "gelu", ("features.1.0.block.5",))
    assert graph.layers[-1].name == "classifier.hidden1"
    assert len(graph.layers) == 18 + 1


def test_swin_transformers_can_lose_mlp_units() -> None:
    graph = graph_of_families("swin_t")
    assert [layer.name for layer in graph.layers] == [
        f"features.{stage}.{block}.mlp.0"
        for stage, blocks in ((1, 2), (3, 2), (5, 6), (7, 2))
        for block in range(blocks)
    ]


def test_shufflenet_can_lose_units_before_a_shuffle() -> None:
    graph = graph_of_families("shufflenet_v2_x0_5")
    # 16 blocks of one inner width, the last convolution, the stem that the first block reads, and three
    # stages, whose shuffles and halves tie channels to few units
    assert len(graph.layers) == 16 + 2 + 3
    assert [layer.name for layer in graph.layers][:2] == ["conv1.0", "stage2.0.branch1.2"]


def test_maxvit_can_lose_its_convolutions_and_mlps() -> None:
    graph = graph_of_families("maxvit_t")
    # 2 + 2 + 5 + 2 blocks, each with two attentions that have an MLP
    assert sum("mlp" in layer.name for layer in graph.layers) == 2 * 11


SHAPE = (2, 4, 4)
WIDTHS = (2, 4, 6)
Draw = Callable[[st.SearchStrategy[Any]], Any]


@dataclass
class Plan:
    """Modules and, for each step, what it computes from the tensors so far; `widths` are their channels."""

    modules: list[nn.Module] = field(default_factory=list)
    steps: list[Callable[[list[nn.Module], list[Any]], Any]] = field(default_factory=list)
    widths: list[int] = field(default_factory=lambda: [SHAPE[0]])

    def add(self, step: Callable[[list[nn.Module], list[Any]], Any], width: int) -> int:
        """One more tensor, of `width` channels; returns its place."""
        self.steps.append(step)
        self.widths.append(width)
        return len(self.widths) - 1

    def run(self, module: nn.Module, source: int, width: int) -> int:
        """One more tensor, by a module from the tensor at `source`."""
        place = len(self.modules)
        self.modules.append(module)
        return self.add(lambda modules, tensors: modules[place](tensors[source]), width)


class Drawn(nn.Module):
    """A network that takes a plan's steps, and reads the last tensor with a dense layer."""

    def __init__(self, plan: Plan) -> None:
        super().__init__()
        self.parts = nn.ModuleList(plan.modules)
        self.steps = plan.steps
        self.output = nn.Linear(plan.widths[-1], 2)

    def forward(self, x: Tensor) -> Any:
        tensors = [x]
        for step in self.steps:
            tensors.append(step(list(self.parts), tensors))
        return self.output(tensors[-1].mean([2, 3]))


def convolved(draw: Draw, plan: Plan, source: int) -> int:
    width = draw(st.sampled_from(WIDTHS))
    return plan.run(conv(plan.widths[source], width, draw(st.sampled_from((1, 3)))), source, width)


def grouped(draw: Draw, plan: Plan, source: int) -> int:
    inputs = plan.widths[source]
    groups = draw(st.sampled_from([n for n in (2, 3, 4, inputs) if inputs % n == 0]))
    width = groups * draw(st.integers(1, 2))
    return plan.run(conv(inputs, width, groups=groups), source, width)


def normed(draw: Draw, plan: Plan, source: int) -> int:
    return plan.run(nn.BatchNorm2d(plan.widths[source]), source, plan.widths[source])


def activated(draw: Draw, plan: Plan, source: int) -> int:
    return plan.run(draw(st.sampled_from((nn.SiLU, nn.Tanh)))(), source, plan.widths[source])


def joined(draw: Draw, plan: Plan, source: int) -> int:
    other = draw(st.integers(0, len(plan.widths) - 1))
    width = plan.widths[source] + plan.widths[other]
    return plan.add(lambda _, tensors: torch.cat([tensors[source], tensors[other]], 1), width)


def added(draw: Draw, plan: Plan, source: int) -> int:
    width = plan.widths[source]
    other = draw(st.sampled_from([n for n, other in enumerate(plan.widths) if other == width]))
    return plan.add(lambda _, tensors: tensors[source] + tensors[other], width)


def squeezed(draw: Draw, plan: Plan, source: int) -> int:
    width, place = plan.widths[source], len(plan.modules)
    layers = [conv(width, 2, 1), nn.SiLU(), conv(2, width, 1), nn.Sigmoid()]
    plan.modules.append(nn.Sequential(nn.AdaptiveAvgPool2d(1), *layers))
    return plan.add(lambda modules, tensors: tensors[source] * modules[place](tensors[source]), width)


KINDS = (convolved, convolved, grouped, normed, activated, joined, added, squeezed)


@st.composite
def networks(draw: Draw) -> Drawn:
    plan = Plan()
    last = convolved(draw, plan, 0)
    for kind in draw(st.lists(st.sampled_from(KINDS), min_size=2, max_size=8)):
        last = kind(draw, plan, last)
    convolved(draw, plan, last)
    return Drawn(plan)


def check_counted(graph: ChannelGraph) -> None:
    """Units are numbered without gaps, and each has its places."""
    stops = [stop for _, stop in graph.spans.values()]
    assert [start for start, _ in graph.spans.values()] == [0, *stops][: len(stops)]
    written = {unit for (_, dim), owner in cuts(graph).items() if dim == 0 for unit in owner}
    read = {unit for found in graph.layer_inputs for unit in found.owner.tolist()}
    assert written - {-1} == read - {-1} == set(range(graph.units))


@settings(max_examples=60)
@given(networks())
def test_units_of_random_networks_can_be_removed_without_a_trace(net: Drawn) -> None:
    graph = graph_of(net, SHAPE)
    assert graph.layers
    check_counted(graph)
