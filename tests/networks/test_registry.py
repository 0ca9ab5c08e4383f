"""The table of architectures promises what torchvision has and which sizes its networks take."""

import pytest
import torch
from torch import nn
from torchvision import models

from emoprune.errors import InvalidRecord, UsageFault
from emoprune.networks.build import blueprint, check_input
from emoprune.networks.registry import ARCHITECTURES, NAMES, architecture
from emoprune.networks.types import Spec

SMALLEST_OF_FAMILY = (
    *("alexnet", "convnext_tiny", "densenet121", "efficientnet_b0", "efficientnet_v2_s", "googlenet"),
    *("inception_v3", "maxvit_t", "mnasnet0_5", "mobilenet_v2", "mobilenet_v3_small", "regnet_x_400mf"),
    *("regnet_y_400mf", "resnet18", "resnext50_32x4d", "shufflenet_v2_x0_5", "squeezenet1_0"),
    *("squeezenet1_1", "swin_t", "swin_v2_t", "vgg11", "vgg11_bn", "vit_b_32", "wide_resnet50_2"),
)
OTHER_LIMITS = ("vit_b_16", "vit_h_14", "inception_resnet_v1")
CONVOLUTIONAL = ("conv1", "conv2", "lenet", "wright_cnn", "zhang_alexnet", "zhang_vgg")
FOR_TABLES = ("autoencoder", "svm")
OWN = (*CONVOLUTIONAL, "mlp", *FOR_TABLES)
FOR_IMAGES = sorted(set(ARCHITECTURES) - set(FOR_TABLES))


def spec_of(arch: str, height: int, width: int | None = None) -> Spec:
    return Spec(arch, 3, (3, height, width or height), ARCHITECTURES[arch].hidden)


def on_meta(spec: Spec) -> nn.Module:
    return blueprint(spec).eval()


def test_every_classifier_of_torchvision_is_in_the_table_beside_our_own() -> None:
    others = {arch for arch, entry in ARCHITECTURES.items() if entry.source == "torchvision"}
    assert others == set(models.list_models(module=models))
    assert {arch for arch, entry in ARCHITECTURES.items() if entry.own} == set(OWN)


def test_torchvisions_networks_keep_their_own_classifier_by_default() -> None:
    assert not any(entry.hidden for entry in ARCHITECTURES.values() if not entry.own)


def test_the_kind_of_input_is_as_the_table_says() -> None:
    assert {arch for arch, entry in ARCHITECTURES.items() if "image" in entry.takes} == set(FOR_IMAGES)
    assert {arch for arch, entry in ARCHITECTURES.items() if "table" in entry.takes} == {"mlp", *FOR_TABLES}


@pytest.mark.parametrize("arch", FOR_IMAGES)
def test_the_default_size_is_allowed(arch: str) -> None:
    check_input(spec_of(arch, *ARCHITECTURES[arch].size))


@pytest.mark.parametrize("arch", [*SMALLEST_OF_FAMILY, *OTHER_LIMITS, *CONVOLUTIONAL, "mlp"])
def test_the_smallest_size_really_works(arch: str) -> None:
    entry = ARCHITECTURES[arch]
    width = entry.smallest if entry.square else entry.smallest + entry.step
    spec = spec_of(arch, entry.smallest, width)
    with torch.no_grad():
        logits = on_meta(spec)(torch.zeros(2, *spec.input, device="meta"))
    assert logits.shape == (2, 3)


@pytest.mark.parametrize(
    "arch", ["alexnet", "densenet121", "inception_resnet_v1", "inception_v3", *CONVOLUTIONAL]
)
def test_a_smallest_size_of_its_own_is_the_true_limit(arch: str) -> None:
    side = ARCHITECTURES[arch].smallest
    net = on_meta(spec_of(arch, side))
    with pytest.raises(RuntimeError):
        net(torch.zeros(1, 3, side - 1, side - 1, device="meta"))


@pytest.mark.parametrize("arch", sorted(set(FOR_IMAGES) - {"mlp"}))
def test_below_the_smallest_size_is_a_usage_fault_that_names_it(arch: str) -> None:
    entry = ARCHITECTURES[arch]
    side = entry.smallest - entry.step
    for height, width in ((side, entry.smallest), (entry.smallest, side), (side, side)):
        if min(height, width) < 1:
            continue
        with pytest.raises(UsageFault, match=f"{height}x{width}") as caught:
            check_input(spec_of(arch, height, width))
        assert f"at least {entry.smallest} pixels" in caught.value.remedy


@pytest.mark.parametrize("arch", sorted(arch for arch, entry in ARCHITECTURES.items() if entry.step > 1))
def test_a_size_off_the_step_is_a_usage_fault_that_names_the_step(arch: str) -> None:
    entry = ARCHITECTURES[arch]
    with pytest.raises(UsageFault) as caught:
        check_input(spec_of(arch, entry.size[0] + 1))
    assert f"steps of {entry.step}" in caught.value.remedy


@pytest.mark.parametrize("arch", sorted(arch for arch, entry in ARCHITECTURES.items() if entry.square))
def test_height_and_width_must_be_equal_where_the_network_needs_it(arch: str) -> None:
    entry = ARCHITECTURES[arch]
    with pytest.raises(UsageFault) as caught:
        check_input(spec_of(arch, 2 * entry.size[0], entry.size[1]))
    assert "square" in caught.value.remedy


@pytest.mark.parametrize("arch", ["conv1", "conv2", "resnet18", "vit_b_16"])
def test_a_feature_table_is_for_networks_that_take_one(arch: str) -> None:
    for other in ("mlp", *FOR_TABLES):
        check_input(Spec(other, 2, (7,), (3,)))
    with pytest.raises(UsageFault, match="not a feature table"):
        check_input(Spec(arch, 2, (7,), (3,)))


@pytest.mark.parametrize("arch", ["resnet18", "vit_b_16", "squeezenet1_1"])
def test_torchvision_networks_take_three_channels_only(arch: str) -> None:
    with pytest.raises(UsageFault):
        check_input(Spec(arch, 2, (1, 224, 224)))


@pytest.mark.parametrize("arch", [*CONVOLUTIONAL, "mlp"])
@pytest.mark.parametrize("channels", [1, 3])
def test_our_own_networks_take_gray_and_color(arch: str, channels: int) -> None:
    side = max(20, ARCHITECTURES[arch].smallest)
    spec = Spec(arch, 2, (channels, side, side + 4), (3,))
    check_input(spec)
    with torch.no_grad():
        assert on_meta(spec)(torch.zeros(2, *spec.input, device="meta")).shape == (2, 2)


@pytest.mark.parametrize(
    ("name", "source"),
    [
        *(("conv2", "ours"), ("resnet18", "torchvision"), ("inception_resnet_v1", "facenet")),
        *(("timm/resnet10t.c3_in1k", "timm"), ("timm/vit_tiny_patch16_224", "timm")),
        *(("nets:make", "code"), ("my.nets:Small.make", "code")),
    ],
)
def test_architecture_knows_every_kind_of_network_by_its_name(name: str, source: str) -> None:
    assert architecture(name).source == source
    assert name in NAMES


@pytest.mark.parametrize(
    "name",
    [
        *("resnet19", "", "timm/", "timm/a..b", "my.nets", "nets:", ":make", "my nets:make", "nets:make()"),
        f"n:{'m' * 200}",
        # what timm would take for the address of a server, or of a folder
        *("timm/hf-hub:someone/net", "timm/hf_hub:someone/net", "timm/local-dir:net", "timm/../net"),
    ],
)
def test_an_unknown_architecture_is_an_invalid_record(name: str) -> None:
    with pytest.raises(InvalidRecord, match="unknown architecture"):
        Spec(name, 2, (3, 64, 64))
    assert name not in NAMES


@pytest.mark.parametrize("arch", FOR_TABLES)
def test_a_network_for_tables_refuses_images(arch: str) -> None:
    with pytest.raises(UsageFault, match="needs a feature table, not images"):
        check_input(Spec(arch, 2, (3, 48, 48), (3,)))


@pytest.mark.parametrize(("arch", "count"), [("conv1", 2), ("zhang_vgg", 6), ("resnet18", 1), ("mlp", 1)])
def test_widths_are_one_for_each_convolution_of_our_own(arch: str, count: int) -> None:
    with pytest.raises(UsageFault, match="`channels`"):
        check_input(Spec(arch, 2, (3, 576, 720), (3,), channels=(4,) * count))
