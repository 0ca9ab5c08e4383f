"""Where a network's features become classes, and what stands there after a new head."""

import dataclasses
import math

import pytest
import torch
from torch import Tensor, nn

from emoprune.data.loader import TensorSamples, batches
from emoprune.networks import heads
from emoprune.networks.build import build, features
from emoprune.networks.heads import freeze_all_but_head, head_of
from emoprune.networks.types import Spec
from tests.training.test_loop import CONFIG, CPU, PHOTO, clouds, conv1, photos, state_of, trained

OUTPUTS = {
    "conv1": "classifier.output",
    "mlp": "classifier.output",
    "alexnet": "classifier.6",
    "convnext_tiny": "classifier.2",
    "densenet121": "classifier",
    "googlenet": "fc",
    "inception_resnet_v1": "logits",
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
LARGE = {"inception_resnet_v1": 80, "maxvit_t": 224}


def on_meta(arch: str, hidden: tuple[int, ...] = (), dropout: float = 0.0) -> nn.Module:
    side = LARGE.get(arch, 64)
    with torch.device("meta"):
        return build(Spec(arch, 3, (3, side, side), hidden, "relu", dropout)).eval()


def test_dense_head_has_a_layer_for_every_width() -> None:
    layers = dict(heads.dense_head(10, Spec("mlp", 3, (10,), (7, 4), "tanh", 0.25)).named_children())
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


def test_dense_head_without_widths_is_one_layer() -> None:
    (only,) = heads.dense_head(10, Spec("mlp", 3, (10,), dropout=0.5))
    assert isinstance(only, nn.Linear)
    assert not hasattr(heads.dense_head(10, Spec("mlp", 3, (10,), (4,))), "dropout1")


@pytest.mark.parametrize(("arch", "wanted"), sorted(OUTPUTS.items()))
def test_output_name_finds_the_layer_of_classes(arch: str, wanted: str) -> None:
    net = on_meta(arch)
    assert heads.output_name(net) == wanted
    assert wanted.startswith(heads.head_name(net))
    weight = net.get_submodule(wanted).weight
    assert isinstance(weight, torch.Tensor)
    assert weight.shape[0] == 3


@pytest.mark.parametrize(("arch", "width"), sorted(WIDTHS.items()))
def test_replace_head_reads_what_the_old_classifier_read(arch: str, width: int) -> None:
    net = on_meta(arch, (7,), 0.5)
    first = net.get_submodule(f"{heads.head_name(net)}.hidden1")
    assert isinstance(first, nn.Linear)
    assert first.in_features == width
    with torch.no_grad():
        side = LARGE.get(arch, 64)
        assert net(torch.zeros(2, 3, side, side, device="meta")).shape == (2, 3)


@pytest.mark.parametrize(
    ("arch", "kept"), [("convnext_tiny", ["classifier.0"]), ("maxvit_t", ["classifier.2"]), ("vgg11", [])]
)
def test_replace_head_keeps_a_norm_under_its_name(arch: str, kept: list[str]) -> None:
    old, new = on_meta(arch).state_dict(), on_meta(arch, (7,)).state_dict()
    shared = [name for name in new if name.startswith("classifier.") and name in old]
    assert shared == [f"{name}.{kind}" for name in kept for kind in ("weight", "bias")]
    assert all(new[name].shape == old[name].shape for name in shared)


def test_head_alone_answers_what_the_network_flattens() -> None:
    net = build(Spec("squeezenet1_1", 3, (3, 40, 40))).eval()
    x = torch.randn(2, 3, 40, 40)
    with torch.no_grad():
        torch.testing.assert_close(heads.head_alone(net)(features(net, x)), net(x))


def test_replace_head_drops_the_old_dropout() -> None:
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
def test_freeze_all_but_head_leaves_gradients_only_to_the_head(arch: str) -> None:
    net = on_meta(arch, (7,))
    heads.freeze_all_but_head(net)
    wanting = {name for name, parameter in net.named_parameters() if parameter.requires_grad}
    head = heads.head_name(net)
    assert wanting == {f"{head}.{name}" for name, _ in heads.head_of(net).named_parameters()}
    assert wanting


class Frozen(nn.Module):
    """A backbone with batch norm and dropout, and a head with dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Linear(2, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.5))
        self.classifier = nn.Sequential(nn.Dropout(0.5), nn.Linear(8, 3))

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.classifier(self.features(x))
        return logits


def test_frozen_parameters_and_batch_norm_statistics_stay_and_the_head_moves() -> None:
    net = Frozen()
    freeze_all_but_head(net)
    before = state_of(net)
    trained(net, clouds(), CONFIG, val=12)
    changed = {name for name, value in net.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {"classifier.1.weight", "classifier.1.bias"}


def test_batch_norm_learns_where_it_is_not_frozen() -> None:
    net = Frozen()
    before = state_of(net)
    trained(net, clouds(), CONFIG)
    assert not torch.equal(net.state_dict()["features.1.running_mean"], before["features.1.running_mean"])


@pytest.mark.parametrize("frozen", [True, False])
def test_dropout_drops_in_what_is_trained_only(frozen: bool) -> None:
    net = Frozen()
    if frozen:
        freeze_all_but_head(net)
    dropped: dict[str, bool] = {}
    for name in ("features.3", "classifier.0"):

        def note(module: nn.Module, inputs: tuple[Tensor], output: Tensor, name: str = name) -> None:
            dropped[name] = dropped.get(name, False) or not torch.equal(inputs[0], output)

        net.get_submodule(name).register_forward_hook(note)
    trained(net, clouds(), CONFIG)
    assert dropped == {"features.3": not frozen, "classifier.0": True}


def test_batch_norm_trains_where_one_sample_would_be_left_over() -> None:
    curve = trained(Frozen(), clouds(33), dataclasses.replace(CONFIG, batch_size=16))
    assert all(math.isfinite(epoch.train_loss) for epoch in curve)


def test_the_head_alone_on_precomputed_features_learns_what_it_learns_behind_a_frozen_backbone() -> None:
    samples, config = photos(), dataclasses.replace(CONFIG, keep="best")
    whole, parted = conv1(), conv1()
    freeze_all_but_head(whole)
    curve = trained(whole, samples, config, val=6)
    everything = torch.arange(len(samples.labels))
    with torch.no_grad():
        rows = torch.cat([features(parted.eval(), read) for read in batches(samples, everything, PHOTO, CPU)])
        wanted = parted.get_submodule("features")((samples.values / 255 - 0.5) / 0.5)
    torch.testing.assert_close(rows, wanted)
    assert not rows.requires_grad
    head = trained(head_of(parted), TensorSamples(rows, samples.labels), config, val=6)
    for mine, theirs in zip(curve, head, strict=True):
        assert dataclasses.astuple(mine) == pytest.approx(dataclasses.astuple(theirs), rel=1e-4)
    for name, value in whole.state_dict().items():
        torch.testing.assert_close(parted.state_dict()[name], value, atol=1e-5, rtol=1e-4)
