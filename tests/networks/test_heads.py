"""Where a network's features become classes, and what stands there after a new head."""

import pytest
import torch
from torch import nn

from emoprune.networks import heads
from emoprune.networks.build import build
from emoprune.networks.types import Spec

OUTPUTS = {
    "conv1": "classifier.output",
    "mlp": "classifier.output",
    "alexnet": "classifier.6",
    "convnext_tiny": "classifier.2",
    "densenet121": "classifier",
    "googlenet": "fc",
    "maxvit_t": "classifier.5",
    "mobilenet_v2": "classifier.1",
    "resnet18": "fc",
    "squeezenet1_1": "classifier.1",
    "swin_t": "head",
    "vit_b_32": "heads.head",
}
WIDTHS = {
    "alexnet": 9216,
    "convnext_tiny": 768,
    "densenet121": 1024,
    "maxvit_t": 512,
    "mobilenet_v2": 1280,
    "mobilenet_v3_small": 576,
    "resnet18": 512,
    "squeezenet1_1": 512,
    "swin_t": 768,
    "vgg11": 25088,
    "vit_b_32": 768,
}
LARGE = {"maxvit_t": 224}


def on_meta(arch: str, hidden: tuple[int, ...] = (), dropout: float = 0.0) -> nn.Module:
    side = LARGE.get(arch, 64)
    with torch.device("meta"):
        return build(Spec(arch, 3, (3, side, side), hidden, "relu", dropout)).eval()


def test_a_dense_head_goes_from_features_through_every_width_to_classes() -> None:
    layers = heads.dense_head(10, (7, 4), 3, activation="tanh", dropout=0.25)
    assert list(layers) == [
        *("hidden1", "activation1", "dropout1", "hidden2", "activation2", "dropout2", "output"),
    ]
    shapes = {
        name: tuple(layer.weight.shape) for name, layer in layers.items() if isinstance(layer, nn.Linear)
    }
    assert shapes == {"hidden1": (7, 10), "hidden2": (4, 7), "output": (3, 4)}
    assert isinstance(layers["activation1"], nn.Tanh)
    assert isinstance(layers["dropout2"], nn.Dropout)
    assert layers["dropout2"].p == 0.25


def test_a_dense_head_without_hidden_widths_is_one_layer_and_without_dropout_has_none() -> None:
    assert list(heads.dense_head(10, (), 3, activation="relu", dropout=0.5)) == ["output"]
    assert "dropout1" not in heads.dense_head(10, (4,), 3, activation="relu", dropout=0)


@pytest.mark.parametrize(("arch", "wanted"), sorted(OUTPUTS.items()))
def test_the_output_layer_is_found_and_has_one_output_a_class(arch: str, wanted: str) -> None:
    net = on_meta(arch)
    assert heads.output_name(net) == wanted
    assert wanted.startswith(heads.head_name(net))
    weight = net.get_submodule(wanted).weight
    assert isinstance(weight, torch.Tensor)
    assert weight.shape[0] == 3


@pytest.mark.parametrize(("arch", "features"), sorted(WIDTHS.items()))
def test_a_new_head_reads_what_the_old_classifier_read(arch: str, features: int) -> None:
    net = on_meta(arch, (7,), 0.5)
    first = net.get_submodule(f"{heads.head_name(net)}.hidden1")
    assert isinstance(first, nn.Linear)
    assert first.in_features == features
    with torch.no_grad():
        side = LARGE.get(arch, 64)
        assert net(torch.zeros(2, 3, side, side, device="meta")).shape == (2, 3)


@pytest.mark.parametrize(
    ("arch", "kept"), [("convnext_tiny", ["classifier.0"]), ("maxvit_t", ["classifier.2"]), ("vgg11", [])]
)
def test_a_norm_before_the_classifier_stays_under_its_name(arch: str, kept: list[str]) -> None:
    old, new = on_meta(arch).state_dict(), on_meta(arch, (7,)).state_dict()
    shared = [name for name in new if name.startswith("classifier.") and name in old]
    assert shared == [f"{name}.{kind}" for name in kept for kind in ("weight", "bias")]
    assert all(new[name].shape == old[name].shape for name in shared)


def test_a_new_head_drops_the_old_dropout() -> None:
    for arch in ("alexnet", "mobilenet_v2", "squeezenet1_1"):
        assert not [m for m in heads.head_of(on_meta(arch, (7,))).modules() if isinstance(m, nn.Dropout)]


@pytest.mark.parametrize("arch", ["alexnet", "convnext_tiny", "resnet18", "squeezenet1_1", "vit_b_32"])
def test_fresh_layers_are_the_output_alone_or_the_whole_dense_head(arch: str) -> None:
    own, ours = on_meta(arch), on_meta(arch, (7, 5))
    trained_anew = [
        name for name in own.state_dict() if name.startswith(heads.fresh_layers(own, own_head=False))
    ]
    assert trained_anew == [f"{OUTPUTS[arch]}.weight", f"{OUTPUTS[arch]}.bias"]
    trained_anew = [
        name for name in ours.state_dict() if name.startswith(heads.fresh_layers(ours, own_head=True))
    ]
    head = heads.head_name(ours)
    assert trained_anew == [
        f"{head}.{layer}.{kind}" for layer in ("hidden1", "hidden2", "output") for kind in ("weight", "bias")
    ]


@pytest.mark.parametrize("arch", ["conv1", "resnet18", "vit_b_32"])
def test_freezing_all_but_the_head_leaves_gradients_to_the_head_alone(arch: str) -> None:
    net = on_meta(arch, (7,))
    heads.freeze_all_but_head(net)
    wanting = {name for name, parameter in net.named_parameters() if parameter.requires_grad}
    head = heads.head_name(net)
    assert wanting == {f"{head}.{name}" for name, _ in heads.head_of(net).named_parameters()}
    assert wanting
