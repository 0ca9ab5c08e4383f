"""Pre-trained tensors fill a network wholly or not at all, and networks come apart where asked."""

import pytest
import torch
from torch import Tensor, nn

from emoprune.errors import BadCheckpoint
from emoprune.networks import build as nets
from emoprune.networks import heads
from emoprune.networks.build import build, features, input_of, load_pretrained, penultimate
from emoprune.networks.types import Spec


def network(
    arch: str, hidden: tuple[int, ...] = (), *, classes: int = 3, seed: int = 0, side: int = 64
) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return build(Spec(arch, classes, (3, side, side), hidden)).eval()


def tensors_of(net: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in net.state_dict().items()}


def load(net: nn.Module, tensors: dict[str, Tensor], *, own_head: bool = False) -> list[str]:
    return load_pretrained(net, tensors, fresh=heads.fresh_layers(net, own_head=own_head))


@pytest.fixture(scope="module")
def imagenet() -> dict[str, Tensor]:
    """What a file of finished weights holds: seven classes, other numbers."""
    return tensors_of(network("shufflenet_v2_x0_5", classes=7, seed=1))


def assert_filled(net: nn.Module, tensors: dict[str, Tensor], *, but: list[str]) -> None:
    own = net.state_dict()
    assert all(torch.equal(own[name], tensors[name]) for name in own if name not in but)


def test_the_same_architecture_is_filled_wholly(imagenet: dict[str, Tensor]) -> None:
    net = network("shufflenet_v2_x0_5", classes=7)
    assert load(net, imagenet) == []
    assert_filled(net, imagenet, but=[])


def test_another_number_of_classes_keeps_a_fresh_output_layer(imagenet: dict[str, Tensor]) -> None:
    net = network("shufflenet_v2_x0_5", classes=3)
    before = tensors_of(net)
    assert load(net, imagenet) == ["fc.weight", "fc.bias"]
    assert_filled(net, imagenet, but=["fc.weight", "fc.bias"])
    assert torch.equal(net.state_dict()["fc.weight"], before["fc.weight"])


def test_a_new_head_is_fresh_and_the_old_one_may_be_left_over(imagenet: dict[str, Tensor]) -> None:
    net = network("shufflenet_v2_x0_5", (5,))
    fresh = [f"fc.{layer}.{kind}" for layer in ("hidden1", "output") for kind in ("weight", "bias")]
    assert load(net, imagenet, own_head=True) == fresh
    assert_filled(net, imagenet, but=fresh)


def test_a_file_with_the_same_head_fills_the_head_too() -> None:
    net, other = (network("shufflenet_v2_x0_5", (5,), seed=seed) for seed in (0, 1))
    assert load(net, tensors_of(other), own_head=True) == []
    assert_filled(net, tensors_of(other), but=[])


@pytest.mark.parametrize("own_head", [False, True])
def test_a_missing_backbone_tensor_is_refused_by_name(imagenet: dict[str, Tensor], own_head: bool) -> None:
    less = {name: value for name, value in imagenet.items() if name != "conv5.0.weight"}
    with pytest.raises(BadCheckpoint, match=r"conv5\.0\.weight, and the file lacks it"):
        load(network("shufflenet_v2_x0_5", (5,) if own_head else ()), less, own_head=own_head)


def test_a_backbone_tensor_of_another_shape_is_refused_with_both_shapes(imagenet: dict[str, Tensor]) -> None:
    with pytest.raises(BadCheckpoint, match="2 float32, not 24x3x3x3 float32"):
        load(network("shufflenet_v2_x0_5"), {**imagenet, "conv1.0.weight": torch.zeros(2)})


def test_a_refused_file_changes_nothing(imagenet: dict[str, Tensor]) -> None:
    net = network("shufflenet_v2_x0_5")
    before = tensors_of(net)
    with pytest.raises(BadCheckpoint):
        load(net, {name: value for name, value in imagenet.items() if name != "conv5.1.running_var"})
    assert_filled(net, before, but=[])


def test_counts_of_batches_may_be_absent(imagenet: dict[str, Tensor]) -> None:
    counts = [name for name in imagenet if name.endswith("num_batches_tracked")]
    assert counts
    net = network("shufflenet_v2_x0_5", classes=7)
    assert load(net, {name: value for name, value in imagenet.items() if name not in counts}) == []
    assert_filled(net, imagenet, but=counts)


def test_what_a_network_of_a_table_is_filled_with_may_be_absent() -> None:
    spec = Spec("mlp", 3, (4,), (5,))
    tensors = tensors_of(build(spec))
    del tensors["scaling.fill"]
    net = build(spec)
    assert load(net, tensors, own_head=True) == []
    assert torch.equal(net.get_buffer("scaling.fill"), torch.zeros(4))


def test_a_deeper_relative_is_refused_though_it_holds_every_tensor() -> None:
    with torch.device("meta"):
        net, deeper = (build(Spec(arch, 3, (3, 64, 64))) for arch in ("resnet18", "resnet34"))
    assert set(net.state_dict()) < set(deeper.state_dict())
    with pytest.raises(BadCheckpoint):
        load(net, dict(deeper.state_dict()))


@pytest.mark.parametrize("arch", ["mnasnet0_5", "squeezenet1_1"])
def test_other_families_are_filled_too(arch: str) -> None:
    net, other = (network(arch, seed=seed) for seed in (0, 1))
    assert load(net, tensors_of(other)) == []
    assert_filled(net, tensors_of(other), but=[])


def test_a_file_of_something_else_is_refused(imagenet: dict[str, Tensor]) -> None:
    for tensors in ({}, {"weight": torch.zeros(3)}, imagenet):
        with pytest.raises(BadCheckpoint):
            load(network("squeezenet1_1"), tensors)


def test_an_mlp_that_finds_nothing_of_its_own_is_refused() -> None:
    net = build(Spec("mlp", 3, (1, 4, 4), (5,)))
    with pytest.raises(BadCheckpoint, match="no tensor of this architecture"):
        load(net, {"weight": torch.zeros(3)}, own_head=True)


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
def test_the_input_of_a_module_is_what_the_modules_before_it_compute(
    resnet: nn.Module, photos: Tensor
) -> None:
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
def test_what_follows_the_module_is_not_computed_and_no_hook_stays(resnet: nn.Module, photos: Tensor) -> None:
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
def test_penultimate_maps_are_averaged_over_their_positions(arch: str, width: int, photos: Tensor) -> None:
    net = network(arch)
    wanted = net.get_submodule("features")(photos).mean((2, 3))
    assert wanted.shape == (2, width)
    torch.testing.assert_close(penultimate(net, photos), wanted)


@torch.no_grad()
def test_our_own_penultimate_is_the_last_hidden_layer() -> None:
    net = build(Spec("conv1", 3, (1, 12, 12), (7, 5), "tanh"))
    batch = torch.rand(4, 1, 12, 12)
    backbone = net.get_submodule("features")(batch)
    torch.testing.assert_close(features(net, batch), backbone)
    hidden = net.get_submodule("classifier.hidden1")(backbone).tanh()
    torch.testing.assert_close(
        penultimate(net, batch), net.get_submodule("classifier.hidden2")(hidden).tanh()
    )


def test_a_module_of_another_network_is_a_slip_of_ours() -> None:
    net = build(Spec("mlp", 3, (4,), (5,)))
    with pytest.raises(AssertionError):
        input_of(net, nn.Linear(4, 4), torch.zeros(1, 4))
