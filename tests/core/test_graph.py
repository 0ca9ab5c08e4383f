"""Which dense layers can lose units: those that only dense layers read."""

import pytest
import torch
from torch import Tensor, nn

from emoprune.core.graph import dense_hidden_layers
from emoprune.core.nets import build
from emoprune.records import HiddenLayer, Spec


def names(net: nn.Module) -> list[str]:
    return [layer.name for layer in dense_hidden_layers(net)]


def on_meta(arch: str, side: int, hidden: tuple[int, ...] = ()) -> nn.Module:
    with torch.device("meta"):
        return build(Spec(arch, 3, (3, side, side), hidden))


class Net(nn.Module):
    """Three dense layers for `forward` of a subclass to wire up."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.third = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 4)
        self.between: nn.Module = nn.Sigmoid()


class Plain(Net):
    def forward(self, x: Tensor) -> Tensor:
        return self.third(self.between(self.second(self.between(self.first(x)))))  # type: ignore[no-any-return]


class Added(Net):
    """What the first layer says is also added to what the second says."""

    def forward(self, x: Tensor) -> Tensor:
        h = torch.relu(self.first(x))
        return self.third(h + self.second(h))  # type: ignore[no-any-return]


class CalledTwice(Net):
    def forward(self, x: Tensor) -> Tensor:
        return self.second(torch.relu(self.first(torch.relu(self.first(x)))))  # type: ignore[no-any-return]


class ReaderCalledTwice(Net):
    """The second layer reads the first and then itself, so it needs all four inputs."""

    def forward(self, x: Tensor) -> Tensor:
        return self.second(torch.relu(self.second(torch.relu(self.first(x)))))  # type: ignore[no-any-return]


class Returned(Net):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        h = torch.relu(self.first(x))
        return h, self.second(h)


class Branching(Net):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        h = torch.tanh(self.first(x))
        return self.second(h), self.third(h)


class TwoViews(Net):
    """Its readers see the first layer through different functions, so no one activation is its own."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        h = self.first(x)
        return self.second(torch.sigmoid(h)), self.third(torch.relu(h))


class Unread(Net):
    def forward(self, x: Tensor) -> Tensor:
        self.second(x)
        return self.first(x)  # type: ignore[no-any-return]


class Multiplied(Net):
    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.first(x) * 2)  # type: ignore[no-any-return]


class Reshaped(Net):
    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.first(x).flip(1))  # type: ignore[no-any-return]


def test_a_chain_of_dense_layers_is_hidden_but_for_its_last() -> None:
    assert dense_hidden_layers(Plain()) == (
        HiddenLayer("first", "sigmoid", ("second",)),
        HiddenLayer("second", "sigmoid", ("third",)),
    )


def test_a_layer_read_by_two_has_both_as_consumers() -> None:
    assert dense_hidden_layers(Branching()) == (HiddenLayer("first", "tanh", ("second", "third")),)


@pytest.mark.parametrize(
    "kind", [Added, CalledTwice, ReaderCalledTwice, Returned, Unread, Multiplied, Reshaped]
)
def test_a_layer_read_by_anything_but_a_dense_layer_or_called_twice_is_not_prunable(kind: type[Net]) -> None:
    assert names(kind()) == []


def test_a_layer_whose_readers_see_different_activations_is_not_prunable() -> None:
    assert names(TwoViews()) == []


@pytest.mark.parametrize(
    "between",
    [
        nn.BatchNorm1d(4),
        nn.LayerNorm(4),
        nn.Softmax(1),
        nn.PReLU(4),
        nn.Flatten(),
        nn.GLU(0),
        nn.Threshold(0, 1),
    ],
)
def test_a_layer_behind_anything_that_mixes_or_knows_its_units_is_not_prunable(between: nn.Module) -> None:
    net = Plain()
    net.between = between
    assert names(net) == []


@pytest.mark.parametrize(
    ("between", "wanted"),
    [
        (nn.Sigmoid(), "sigmoid"),
        (nn.ReLU(inplace=True), "relu"),
        (nn.Tanh(), "tanh"),
        (nn.GELU(), "gelu"),
        (nn.Hardswish(), "hardswish"),
        (nn.Identity(), "identity"),
        (nn.Sequential(nn.Dropout(0.5), nn.ReLU()), "relu"),
        (nn.Sequential(nn.SiLU(), nn.Dropout(0.5)), "silu"),
    ],
)
def test_the_activation_is_named_and_dropout_is_looked_through(between: nn.Module, wanted: str) -> None:
    net = Plain()
    net.between = between
    assert [layer.activation for layer in dense_hidden_layers(net)] == [wanted, wanted]


@pytest.mark.parametrize("activation", ["sigmoid", "relu", "tanh"])
def test_our_head_has_every_hidden_layer_with_its_activation(activation: str) -> None:
    spec = Spec("conv2", 3, (1, 20, 20), (9, 5), activation, 0.5)  # type: ignore[arg-type]
    assert dense_hidden_layers(build(spec)) == (
        HiddenLayer("classifier.hidden1", activation, ("classifier.hidden2",)),
        HiddenLayer("classifier.hidden2", activation, ("classifier.output",)),
    )


def test_a_net_without_hidden_layers_has_none() -> None:
    assert names(build(Spec("conv1", 3, (1, 20, 20)))) == []
    assert names(build(Spec("mlp", 3, (5,)))) == []


def test_alexnets_own_classifier_has_two() -> None:
    assert dense_hidden_layers(on_meta("alexnet", 64)) == (
        HiddenLayer("classifier.1", "relu", ("classifier.4",)),
        HiddenLayer("classifier.4", "relu", ("classifier.6",)),
    )


def test_resnet18_has_none_of_its_own_and_those_of_a_head() -> None:
    assert names(on_meta("resnet18", 64)) == []
    assert names(on_meta("resnet18", 64, (9, 5))) == ["fc.hidden1", "fc.hidden2"]


def test_the_mlp_blocks_of_a_vision_transformer_are_prunable_and_its_attention_is_not() -> None:
    layers = dense_hidden_layers(on_meta("vit_b_32", 64))
    block = "encoder.layers.encoder_layer_{}.mlp.{}"
    assert layers == tuple(HiddenLayer(block.format(n, 0), "gelu", (block.format(n, 3),)) for n in range(12))


def test_convnext_blocks_are_prunable() -> None:
    layers = dense_hidden_layers(on_meta("convnext_tiny", 32, (9,)))
    assert layers[0] == HiddenLayer("features.1.0.block.3", "gelu", ("features.1.0.block.5",))
    assert layers[-1].name == "classifier.hidden1"
    assert len(layers) == 18 + 1


@pytest.mark.parametrize(
    ("arch", "side", "own"),
    [
        *(("densenet121", 32, 0), ("efficientnet_b0", 32, 0), ("googlenet", 32, 0), ("inception_v3", 75, 0)),
        *(("mobilenet_v2", 32, 0), ("mobilenet_v3_small", 32, 1), ("shufflenet_v2_x0_5", 32, 0)),
        *(("squeezenet1_1", 32, 0), ("swin_t", 32, 12), ("vgg11", 32, 2), ("mnasnet0_5", 32, 0)),
        # one MLP a block, 11 blocks of two halves, and the classifier's own
        ("maxvit_t", 224, 2 * 11 + 1),
    ],
)
def test_every_family_can_be_traced(arch: str, side: int, own: int) -> None:
    assert len(names(on_meta(arch, side))) == own


def test_looking_leaves_the_network_as_it_was() -> None:
    net = build(Spec("conv1", 3, (1, 20, 20), (5,))).train()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    dense_hidden_layers(net)
    assert net.training
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
