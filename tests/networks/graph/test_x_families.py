"""What can go of torchvision's families, counted by hand from their papers' widths."""

from __future__ import annotations

import pytest

from emoprune.networks.build import blueprint
from emoprune.networks.graph import channel_graph
from emoprune.networks.graph.types import ChannelGraph
from emoprune.networks.registry import ARCHITECTURES
from emoprune.networks.types import HiddenLayer, Spec
from tests.support.wiring import cuts


def graph_of(arch: str, hidden: tuple[int, ...] = ()) -> ChannelGraph:
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
def test_of_a_plain_family_everything_but_the_classes_can_go(arch: str, units: int) -> None:
    graph = graph_of(arch)
    assert graph.units == units
    assert graph.obstacles == ()


@pytest.mark.parametrize(
    "arch",
    [
        *("googlenet", "inception_v3", "mobilenet_v3_small", "mnasnet0_5", "efficientnet_b0"),
        *("efficientnet_v2_s", "regnet_x_400mf", "regnet_y_400mf"),
    ],
)
def test_these_families_have_no_obstacles(arch: str) -> None:
    graph = graph_of(arch)
    assert graph.obstacles == ()
    assert graph.units > 1000


@pytest.mark.parametrize(
    ("arch", "operations"),
    [
        ("shufflenet_v2_x0_5", {"view"}),
        ("convnext_tiny", {"LayerNorm", "a parameter of its own"}),
        ("swin_t", {"LayerNorm"}),
        ("swin_v2_t", {"LayerNorm", "view"}),
        ("vit_b_32", {"reshape", "a parameter of its own"}),
        ("maxvit_t", {"reshape", "chunk"}),
    ],
)
def test_these_families_say_what_keeps_their_streams(arch: str, operations: set[str]) -> None:
    assert {obstacle.operation for obstacle in graph_of(arch).obstacles} == operations


def test_a_resnets_stream_is_cut_wherever_it_goes() -> None:
    graph = graph_of("resnet18")
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
    graph = graph_of("densenet121")
    spans = graph.spans
    block = "features.denseblock1.denselayer"
    written = [f"{block}{n}.conv2" for n in (1, 2)]
    wanted = [*range(*spans["features.conv0"]), *(unit for name in written for unit in range(*spans[name]))]
    assert cuts(graph)[f"{block}3.conv1.weight", 1] == wanted
    assert cuts(graph)[f"{block}3.norm1.weight", 0] == wanted


def test_our_own_head_on_a_backbone_can_go_with_it() -> None:
    graph = graph_of("resnet18", (9, 5))
    assert [layer.name for layer in graph.layers[-2:]] == ["fc.hidden1", "fc.hidden2"]
    assert graph.units == RESNET18 + 9 + 5


def test_alexnets_flattened_maps_are_read_by_its_classifier() -> None:
    assert graph_of("alexnet").layers[4:] == (
        HiddenLayer("features.10", "relu", ("classifier.1",)),
        HiddenLayer("classifier.1", "relu", ("classifier.4",)),
        HiddenLayer("classifier.4", "relu", ("classifier.6",)),
    )


def test_the_mlp_blocks_of_a_vision_transformer_can_go_and_its_attention_cannot() -> None:
    block = "encoder.layers.encoder_layer_{}.mlp.{}"
    assert graph_of("vit_b_32").layers == tuple(
        HiddenLayer(block.format(n, 0), "gelu", (block.format(n, 3),)) for n in range(12)
    )


def test_convnext_blocks_can_lose_their_hidden_units() -> None:
    graph = graph_of("convnext_tiny", (9,))
    assert graph.layers[0] == HiddenLayer("features.1.0.block.3", "gelu", ("features.1.0.block.5",))
    assert graph.layers[-1].name == "classifier.hidden1"
    assert len(graph.layers) == 18 + 1


def test_the_mlp_blocks_of_a_swin_transformer_can_go() -> None:
    graph = graph_of("swin_t")
    assert [layer.name for layer in graph.layers] == [
        f"features.{stage}.{block}.mlp.0"
        for stage, blocks in ((1, 2), (3, 2), (5, 6), (7, 2))
        for block in range(blocks)
    ]


def test_a_shuffled_network_can_lose_what_stands_before_a_shuffle() -> None:
    graph = graph_of("shufflenet_v2_x0_5")
    # 16 blocks of one inner width, the last convolution, and the stem that the first block reads
    assert len(graph.layers) == 16 + 2
    assert [layer.name for layer in graph.layers][:2] == ["conv1.0", "stage2.0.branch2.0"]


def test_maxvit_can_lose_its_convolutions_and_mlps() -> None:
    graph = graph_of("maxvit_t")
    # 2 + 2 + 5 + 2 blocks, each with two attentions that have an MLP
    assert sum("mlp" in layer.name for layer in graph.layers) == 2 * 11
