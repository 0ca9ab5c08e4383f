"""Networks are rebuilt from their spec, filled, and checked against it before anything is allocated."""

import dataclasses
import functools
import resource

import pytest
import torch
from torch import Tensor, nn

from emoprune.errors import BadCheckpoint, EmopruneError
from emoprune.networks import build as nets
from emoprune.networks import heads
from emoprune.networks.build import (
    blueprint,
    build,
    features,
    input_of,
    penultimate,
    restore,
)
from emoprune.networks.registry import ARCHITECTURES
from emoprune.networks.types import Spec
from tests.networks.test_registry import SMALLEST_OF_FAMILY

CONV1 = Spec("conv1", 3, (1, 12, 14), (7,))


def seeded(spec: Spec, seed: int = 0) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return build(spec).eval()


def tensors_of(spec: Spec) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in seeded(spec).state_dict().items()}


@functools.cache
def on_meta(arch: str, hidden: tuple[int, ...]) -> tuple[Spec, dict[str, Tensor]]:
    side = ARCHITECTURES[arch].smallest
    spec = Spec(arch, 3, (3, side, side), hidden)
    return spec, blueprint(spec).state_dict()


@pytest.mark.parametrize(
    "spec",
    [
        *(CONV1, dataclasses.replace(CONV1, arch="conv2", input=(3, 20, 17), hidden=(9, 5), dropout=0.3)),
        *(
            Spec("mlp", 4, (6,), (5, 4), "relu"),
            Spec("mlp", 2, (1, 5, 4), (3,), "tanh"),
            Spec("mlp", 2, (6,)),
        ),
        *(Spec("squeezenet1_1", 3, (3, 40, 33)), Spec("mobilenet_v3_small", 3, (3, 32, 32), (7,))),
        *(Spec("shufflenet_v2_x0_5", 3, (3, 32, 32)), Spec("mnasnet0_5", 3, (3, 32, 32), (7,))),
        # attention with tables of its own that no file holds
        Spec("swin_v2_t", 3, (3, 32, 32), (7,)),
    ],
    ids=lambda spec: f"{spec.arch}-{len(spec.input)}-{len(spec.hidden)}",
)
def test_restore_computes_what_the_built_network_computed(spec: Spec) -> None:
    net = seeded(spec)
    again = restore(spec, {name: value.clone() for name, value in net.state_dict().items()})
    inputs = torch.rand(2, *spec.input, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        found, wanted = again(inputs), net(inputs)
    assert wanted.shape == (2, spec.classes)
    assert torch.equal(found, wanted)
    assert not any(module.training for module in again.modules())


@pytest.mark.parametrize("hidden", [(), (7, 5)], ids=["own", "hidden"])
@pytest.mark.parametrize("arch", SMALLEST_OF_FAMILY)
def test_restore_fills_every_family(arch: str, hidden: tuple[int, ...]) -> None:
    spec, tensors = on_meta(arch, hidden)
    again = restore(spec, tensors)
    assert {name: value.shape for name, value in again.state_dict().items()} == {
        name: value.shape for name, value in tensors.items()
    }
    held = {name for name, _ in [*again.named_parameters(), *again.named_buffers()]}
    assert held <= set(tensors), "a buffer that no checkpoint holds would stay on the meta device"


@pytest.mark.parametrize("arch", SMALLEST_OF_FAMILY)
def test_build_names_hidden_layers_alike_in_every_family(arch: str) -> None:
    spec, tensors = on_meta(arch, (7, 5))
    [head] = {name.split(".")[0] for name in tensors if ".hidden1." in name}
    shapes = [tuple(tensors[f"{head}.{layer}.weight"].shape) for layer in ("hidden1", "hidden2", "output")]
    assert shapes[0][0] == 7
    assert shapes[1:] == [(5, 7), (spec.classes, 5)]


def test_build_draws_from_torchs_generator() -> None:
    first, second, third = (seeded(CONV1, seed).state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not torch.equal(first["classifier.hidden1.weight"], third["classifier.hidden1.weight"])


@pytest.mark.parametrize(("arch", "features"), [("conv1", 16 * 8 * 9), ("conv2", 32 * 2 * 2)])
def test_our_convolutions_are_5x5_without_padding_pooled_by_2(arch: str, features: int) -> None:
    shapes = {
        name: tuple(value.shape)
        for name, value in build(Spec(arch, 3, (1, 20, 22), (7,))).state_dict().items()
    }
    assert shapes["features.0.weight"] == (16, 1, 5, 5)
    assert shapes["classifier.hidden1.weight"] == (7, features)


def test_build_narrows_the_layers_in_widths() -> None:
    narrowed = dataclasses.replace(
        CONV1, widths={"classifier.hidden1": (16 * 4 * 5, 2), "classifier.output": (2, 3)}
    )
    net = seeded(narrowed)
    assert net.get_submodule("classifier.hidden1").weight.shape == (2, 16 * 4 * 5)
    assert net.get_submodule("classifier.output").weight.shape == (3, 2)
    assert net(torch.zeros(1, 1, 12, 14)).shape == (1, 3)
    assert restore(narrowed, tensors_of(narrowed))(torch.zeros(1, 1, 12, 14)).shape == (1, 3)


def test_restore_names_a_missing_tensor() -> None:
    tensors = tensors_of(CONV1)
    del tensors["features.0.bias"]
    with pytest.raises(BadCheckpoint, match=r"lacks tensor features\.0\.bias"):
        restore(CONV1, tensors)


def test_restore_takes_table_networks_of_older_versions() -> None:
    spec = Spec("mlp", 3, (4,), (5,))
    tensors = tensors_of(spec)
    del tensors["scaling.fill"]
    rows = torch.arange(24.0).reshape(6, 4)
    assert torch.equal(restore(spec, tensors)(rows), restore(spec, tensors_of(spec))(rows))


def test_restore_names_a_tensor_too_many() -> None:
    with pytest.raises(BadCheckpoint, match=r"classifier\.hidden9\.weight"):
        restore(CONV1, {**tensors_of(CONV1), "classifier.hidden9.weight": torch.zeros(2)})


@pytest.mark.parametrize(
    ("name", "tensor", "fact"),
    [
        ("classifier.hidden1.bias", torch.zeros(8), "is 8 float32, its spec says 7 float32"),
        (
            "classifier.hidden1.bias",
            torch.zeros(7, dtype=torch.float64),
            "is 7 float64, its spec says 7 float32",
        ),
        ("classifier.output.weight", torch.zeros(7, 3), "is 7x3 float32, its spec says 3x7 float32"),
        ("classifier.output.weight", torch.tensor(1.0), "is a number float32"),
        ("features.0.weight", torch.zeros(16, 3, 5, 5), "is 16x3x5x5 float32, its spec says 16x1x5x5"),
    ],
)
def test_restore_names_both_shapes_of_a_wrong_tensor(name: str, tensor: Tensor, fact: str) -> None:
    with pytest.raises(BadCheckpoint) as caught:
        restore(CONV1, {**tensors_of(CONV1), name: tensor})
    assert f"tensor {name} {fact}" in caught.value.fact


def test_restore_refuses_tensors_of_another_architecture() -> None:
    with pytest.raises(BadCheckpoint):
        restore(Spec("conv2", 3, (1, 20, 20), (7,)), tensors_of(CONV1))


@pytest.mark.parametrize(
    ("widths", "fact"),
    [
        ({"classifier.hidden2": (7, 2)}, "classifier.hidden2, which the network lacks"),
        ({"features.0.weight": (7, 2)}, "features.0.weight to what it cannot be"),
        ({"features.0.groups": (2, 1)}, "features.0.groups, which is 1, 1 of 2"),
        ({"features.1": (1, 2)}, "features.1, which is not a layer that can be narrowed"),
        ({"": (1, 2)}, "which is not a layer that can be narrowed"),
    ],
)
def test_restore_refuses_widths_of_other_modules(widths: dict[str, tuple[int, int]], fact: str) -> None:
    with pytest.raises(BadCheckpoint) as caught:
        restore(dataclasses.replace(CONV1, widths=widths), tensors_of(CONV1))
    assert fact in caught.value.fact


def test_restore_refuses_a_size_that_the_architecture_cannot_take() -> None:
    with pytest.raises(BadCheckpoint, match="conv1 does not take 5x14 images"):
        restore(dataclasses.replace(CONV1, input=(1, 5, 14)), tensors_of(CONV1))


@pytest.mark.parametrize(
    ("arch", "shape", "hidden"),
    [
        ("conv1", (1, 10, 14), (10**12,)),
        ("conv1", (1, 10**8, 10**8), (7,)),
        ("resnet18", (3, 64, 64), (10**12,)),
        ("mlp", (4,), (10**30,)),
        ("mlp", (10**19,), (3,)),
        ("vit_b_32", (3, 32 * 10**9, 32 * 10**9), ()),
        ("regnet_y_400mf", (3, 64, 64), (10**10,)),
        # as wide as a spec may be: seen through before anything is allocated
        ("conv1", (1, 10**3, 10**3), (2**22,)),
        ("mlp", (2**22,), (2**22, 2**22)),
        ("regnet_y_128gf", (3, 224, 224), (2**22, 2**22)),
        # each layer takes time, though no memory
        ("mlp", (4,), (1,) * 200_000),
        ("resnet18", (3, 64, 64), (3,) * 200_000),
        ("svm", (4,), ()),
        ("svm", (4,), (3, 3)),
    ],
    ids=lambda value: str(value)[:20],
)
def test_restore_refuses_a_huge_spec_without_memory(
    arch: str, shape: tuple[int, ...], hidden: tuple[int, ...]
) -> None:
    with pytest.raises(EmopruneError):
        restore(Spec(arch, 3, shape, hidden), {"classifier.output.bias": torch.zeros(3)})


@pytest.mark.parametrize("arch", ["svm", "conv2"])
def test_restore_refuses_classes_that_no_tensor_has(arch: str) -> None:
    spec = Spec(arch, 1000, (4,) if arch == "svm" else (3, 48, 48), (3,))
    with pytest.raises(BadCheckpoint, match="no tensor for the 1,000 outputs"):
        restore(spec, {"classifier.output.bias": torch.zeros(3)})


@pytest.mark.parametrize("arch", ["regnet_x_400mf", "swin_t", "maxvit_t"])
def test_blueprint_has_the_shapes_of_the_network(arch: str) -> None:
    side = ARCHITECTURES[arch].smallest
    spec = Spec(arch, 3, (3, side, side))
    found = blueprint(spec).state_dict()
    assert all(tensor.is_meta for tensor in found.values())
    expected = build(spec).state_dict()
    assert [(name, value.shape, value.dtype) for name, value in found.items()] == [
        (name, value.shape, value.dtype) for name, value in expected.items()
    ]


def test_blueprint_of_the_largest_regnet_takes_no_memory() -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    net = blueprint(Spec("regnet_y_128gf", 3, (3, 32, 32)))
    assert sum(parameter.nbytes for parameter in net.parameters()) > 2**31
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 2**20, "in KiB"


def network(
    arch: str, hidden: tuple[int, ...] = (), *, classes: int = 3, seed: int = 0, side: int = 64
) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return build(Spec(arch, classes, (3, side, side), hidden)).eval()


@pytest.fixture(scope="module")
def photos() -> Tensor:
    return torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(3))


@pytest.fixture(scope="module")
def resnet() -> nn.Module:
    return network("resnet18")


def stem_to_pool(net: nn.Module, batch: Tensor) -> Tensor:
    for name in ("conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3", "layer4", "avgpool"):
        batch = net.get_submodule(name)(batch)
    return batch.flatten(1)


@torch.no_grad()
def test_input_of_is_what_earlier_modules_compute(resnet: nn.Module, photos: Tensor) -> None:
    first = resnet.get_submodule("relu")(resnet.get_submodule("bn1")(resnet.get_submodule("conv1")(photos)))
    torch.testing.assert_close(input_of(resnet, resnet.get_submodule("maxpool"), photos), first)
    assert torch.equal(input_of(resnet, resnet, photos), photos)


@torch.no_grad()
def test_features_and_penultimate_of_resnet18_are_its_pooled_maps(resnet: nn.Module, photos: Tensor) -> None:
    wanted = stem_to_pool(resnet, photos)
    assert wanted.shape == (2, 512)
    torch.testing.assert_close(features(resnet, photos), wanted)
    torch.testing.assert_close(penultimate(resnet, photos), wanted)
    torch.testing.assert_close(heads.head_of(resnet)(features(resnet, photos)), resnet(photos))


@torch.no_grad()
def test_input_of_runs_no_later_module_and_removes_its_hook(resnet: nn.Module, photos: Tensor) -> None:
    seen: list[str] = []
    hook = resnet.get_submodule("layer4").register_forward_hook(lambda *_: seen.append("layer4"))
    try:
        input_of(resnet, resnet.get_submodule("layer2"), photos)
        assert seen == []
        assert resnet(photos).shape == (2, 3)
        assert seen == ["layer4"]
    finally:
        hook.remove()


@torch.no_grad()
def test_alexnet_has_4096_penultimate_and_with_a_new_head_9216_backbone_features(photos: Tensor) -> None:
    # one of full width is large: its layers of 4096 are built once, here
    net = network("alexnet")
    backbone = net.get_submodule("avgpool")(net.get_submodule("features")(photos)).flatten(1)
    classifier = net.get_submodule("classifier")
    assert isinstance(classifier, nn.Sequential)
    found = penultimate(net, photos)
    assert found.shape == (2, 4096)
    torch.testing.assert_close(found, classifier[:-1](backbone))
    torch.testing.assert_close(nets.backbone(net, photos), backbone)
    headed = network("alexnet", (5,))
    headed.get_submodule("features").load_state_dict(net.get_submodule("features").state_dict())
    assert backbone.shape == (2, 9216)
    torch.testing.assert_close(features(headed, photos), backbone)
    hidden = headed.get_submodule("classifier.hidden1")(backbone).sigmoid()
    torch.testing.assert_close(penultimate(headed, photos), hidden)


@torch.no_grad()
@pytest.mark.parametrize(("arch", "width"), [("squeezenet1_1", 512), ("mobilenet_v2", 1280)])
def test_penultimate_averages_maps_over_positions(arch: str, width: int, photos: Tensor) -> None:
    net = network(arch)
    wanted = net.get_submodule("features")(photos).mean((2, 3))
    assert wanted.shape == (2, width)
    torch.testing.assert_close(penultimate(net, photos), wanted)


@torch.no_grad()
def test_penultimate_of_our_networks_is_the_last_hidden_layer() -> None:
    net = build(Spec("conv1", 3, (1, 12, 12), (7, 5), "tanh"))
    batch = torch.rand(4, 1, 12, 12)
    backbone = net.get_submodule("features")(batch)
    torch.testing.assert_close(features(net, batch), backbone)
    hidden = net.get_submodule("classifier.hidden1")(backbone).tanh()
    torch.testing.assert_close(
        penultimate(net, batch), net.get_submodule("classifier.hidden2")(hidden).tanh()
    )


def test_input_of_refuses_a_module_of_another_network() -> None:
    net = build(Spec("mlp", 3, (4,), (5,)))
    with pytest.raises(AssertionError):
        input_of(net, nn.Linear(4, 4), torch.zeros(1, 4))
