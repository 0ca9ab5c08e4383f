"""Pre-trained tensors fill a network whole or not at all, but for its head."""

import re
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torchvision import models
from torchvision.models.vision_transformer import interpolate_embeddings

from emoprune.errors import BadCheckpoint, UsageFault
from emoprune.networks.build import build
from emoprune.networks.registry import ARCHITECTURES
from emoprune.networks.sources.user_networks import trusting
from emoprune.networks.types import Spec
from emoprune.networks.weights.adoption import Adoption, adopt
from emoprune.networks.weights.pretrained import Weights
from tests.networks.test_registry import SMALLEST_OF_FAMILY

ARCH = "shufflenet_v2_x0_5"
CLASSES = ("angry", "happy", "sad")
State = dict[str, Tensor]


def network(
    arch: str = ARCH, hidden: tuple[int, ...] = (), *, classes: int = 3, seed: int = 0, side: int = 64
) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return build(Spec(arch, classes, (3, side, side), hidden)).eval()


def state_of(net: nn.Module) -> State:
    return {name: value.clone() for name, value in net.state_dict().items()}


def load(net: nn.Module, tensors: State, *, own_head: bool = False, rows: tuple[str, ...] = ()) -> Adoption:
    weights = Weights("w.pth", tensors)
    return adopt(net, weights, own_head=own_head, classes=CLASSES, rows=rows)


@pytest.fixture(scope="module")
def imagenet() -> State:
    """What a file of finished weights holds: many classes, other numbers."""
    return state_of(network(classes=1000, seed=1))


@pytest.fixture(scope="module")
def finished() -> State:
    """The same for three classes."""
    return state_of(network(seed=1))


def assert_filled(net: nn.Module, tensors: State, *, but: tuple[str, ...] = ()) -> None:
    own = net.state_dict()
    assert all(torch.equal(own[name], tensors[name]) for name in own if not name.startswith(but))


def test_adopt_fills_a_network_that_no_layer_ends_but_for_layers_of_other_classes() -> None:
    def made(classes: int, seed: int) -> nn.Module:
        spec = Spec("tests.support.own_networks:closed", classes, (3, 12, 12))
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            return build(trusting(spec, spec.arch))

    net, same, other = made(3, 0), state_of(made(3, 1)), state_of(made(7, 2))
    assert load(net, same) == Adoption("", kept=CLASSES)
    assert_filled(net, same)
    assert load(net, other) == Adoption("", ("out",))
    assert_filled(net, other, but=("out.",))
    assert torch.equal(net.get_submodule("out").state_dict()["weight"], same["out.weight"])
    with pytest.raises(BadCheckpoint, match="needs tensor stem"):
        load(net, {name: value for name, value in same.items() if not name.startswith("stem.0")})
    turned = Weights("w.pth", same, CLASSES[::-1])
    with pytest.raises(BadCheckpoint, match="its outputs are sad, happy, angry, and the data has angry"):
        adopt(net, turned, own_head=False, classes=CLASSES)


def test_adopt_fills_the_same_architecture(finished: State) -> None:
    net = network()
    assert load(net, finished) == Adoption("fc", kept=CLASSES)
    assert_filled(net, finished)


def test_adopt_keeps_a_fresh_output_layer_for_other_classes(imagenet: State) -> None:
    net = network()
    before = state_of(net)
    assert load(net, imagenet) == Adoption("fc", fresh=("fc",))
    assert_filled(net, imagenet, but=("fc.",))
    assert torch.equal(net.state_dict()["fc.weight"], before["fc.weight"])


def test_adopt_tells_that_it_leaves_masks_out(finished: State, told: pytest.LogCaptureFixture) -> None:
    weights = Weights("p.st", finished, CLASSES, masked=1200)
    adopt(network(), weights, own_head=False, classes=CLASSES)
    lost = "its masks, which hold 1,200 weights at zero, are left out"
    assert told.messages == [f"p.st: {lost}; to keep them, train it on as it is: `past`"]


def test_adopt_without_classes_leaves_the_output_layer_alone(finished: State) -> None:
    net = network(classes=1000)
    adopt(net, Weights("w.pth", finished), own_head=False, classes=())
    assert_filled(net, finished, but=("fc.",))


def test_adopt_keeps_a_new_head_fresh(finished: State) -> None:
    net = network(hidden=(5,))
    assert load(net, finished, own_head=True).fresh == ("fc.hidden1", "fc.output")
    assert_filled(net, finished, but=("fc.",))


def test_adopt_does_not_put_a_head_behind_layers_that_it_was_not_trained_with(finished: State) -> None:
    # the hidden layer gives the output layer as many features as the old head read
    net = network(hidden=(1024,))
    before = state_of(net)
    assert load(net, finished, own_head=True).fresh == ("fc.hidden1", "fc.output")
    assert torch.equal(net.state_dict()["fc.output.weight"], before["fc.output.weight"])
    found = load(network(), state_of(network(hidden=(1024,), seed=1)))
    assert "several layers (fc.hidden1, fc.output)" in str(found.fault)


def test_adopt_fills_the_same_dense_head_by_class() -> None:
    net, other = (network(hidden=(5,), seed=seed) for seed in (0, 1))
    made = load(net, state_of(other), own_head=True, rows=("happy", "sad", "angry"))
    assert made == Adoption("fc.output", kept=CLASSES)
    assert_filled(net, state_of(other), but=("fc.output",))
    for kind in ("weight", "bias"):
        name = f"fc.output.{kind}"
        assert torch.equal(net.state_dict()[name], other.state_dict()[name][[2, 0, 1]])


@pytest.mark.parametrize(
    "head", ["fc.1", "classifier", "head.fc", "last_linear", "model.classifier", "a.b.c"]
)
def test_adopt_maps_the_one_head_of_another_name(finished: State, head: str) -> None:
    net = network()
    renamed = {re.sub("^fc", head, name): value for name, value in finished.items()}
    assert load(net, renamed) == Adoption("fc", kept=CLASSES)
    assert_filled(net, finished)


def test_adopt_maps_a_head_beside_a_wrapped_backbone(finished: State, told: pytest.LogCaptureFixture) -> None:
    net = network()
    wrapped = {
        (f"head.{name[3:]}" if name.startswith("fc.") else f"encoder.{name}"): value
        for name, value in finished.items()
    }
    assert load(net, {**wrapped, "loss.weight": torch.ones(3)}) == Adoption("fc", kept=CLASSES)
    assert_filled(net, finished)
    assert "w.pth: fc is taken from head" in told.messages
    assert "w.pth: ignores 1 tensor of other networks" in told.messages


@pytest.mark.parametrize(
    "more",
    [
        {"fc.0.weight": torch.ones(1024, 1024), "fc.2.weight": torch.ones(3, 1024)},
        {"head.weight": torch.ones(3, 77)},
        {"fc.weight": torch.ones(3, 77)},
    ],
    ids=["two layers", "other features", "other features of the same name"],
)
def test_adopt_says_why_a_head_is_not_taken(finished: State, more: State) -> None:
    net = network()
    backbone = {name: value for name, value in finished.items() if not name.startswith("fc.")}
    made = load(net, backbone | more)
    assert made.fresh == ("fc",)
    assert made.fault is not None
    with pytest.raises(BadCheckpoint, match=r"head|does not fit"):
        load(network(), backbone | more, rows=CLASSES)


def test_adopt_takes_a_backbone_without_any_head(finished: State) -> None:
    net = network()
    backbone = {name: value for name, value in finished.items() if not name.startswith("fc.")}
    assert load(net, backbone) == Adoption("fc", fresh=("fc",))
    with pytest.raises(UsageFault, match="`classes` names the rows of a head"):
        load(net, backbone, rows=CLASSES)


@pytest.mark.parametrize("own_head", [False, True])
def test_adopt_names_a_missing_backbone_tensor(imagenet: State, own_head: bool) -> None:
    less = {name: value for name, value in imagenet.items() if name != "conv5.0.weight"}
    with pytest.raises(BadCheckpoint, match=r"conv5\.0\.weight, and the file lacks it"):
        load(network(hidden=(5,) if own_head else ()), less, own_head=own_head)


def test_adopt_names_both_shapes_of_a_wrong_tensor(imagenet: State) -> None:
    with pytest.raises(BadCheckpoint, match="2 float32, not 24x3x3x3 float32"):
        load(network(), {**imagenet, "conv1.0.weight": torch.zeros(2)})


@pytest.mark.parametrize(
    "change",
    [
        lambda state: state.pop("conv5.1.running_var"),
        lambda state: state.update({"conv5.0.weight": state["conv5.0.weight"].to(torch.complex64)}),
        lambda state: state.update({"conv5.0.weight": state["conv5.0.weight"].to("meta")}),
        lambda state: state.update({"fc.bias": state["fc.bias"].to(torch.int8)}),
        # terabytes, from a file of a few bytes
        lambda state: state.update({"conv5.0.weight": torch.zeros(1).expand(10**6, 10**7)}),
    ],
    ids=["missing", "complex", "meta", "whole", "expanded"],
)
def test_adopt_changes_nothing_when_it_refuses(finished: State, change: Callable[[State], object]) -> None:
    net = network()
    before, damaged = state_of(net), dict(finished)
    change(damaged)
    with pytest.raises(BadCheckpoint):
        load(net, damaged)
    assert_filled(net, before)


@pytest.mark.filterwarnings("ignore")
def test_adopt_copies_numbers_of_every_kind_and_tells_it(
    finished: State, told: pytest.LogCaptureFixture
) -> None:
    net, other = network(), dict(finished)
    for name, kind in (("conv1.0.weight", torch.float64), ("conv5.0.weight", torch.float16)):
        other[name] = finished[name].to(kind)
    other["fc.weight"] = finished["fc.weight"].to_sparse()
    # an average over epochs is of floats, and a tensor of equal numbers has one place in memory
    other["conv5.1.num_batches_tracked"] = torch.tensor(3.0)
    other["conv5.1.running_var"] = torch.full((1,), 2.0).expand(1024)
    load(net, other)
    own = net.state_dict()
    assert torch.equal(own["fc.weight"], finished["fc.weight"])
    torch.testing.assert_close(own["conv5.0.weight"], finished["conv5.0.weight"], atol=1e-3, rtol=1e-3)
    assert all(value.dtype in (torch.float32, torch.int64) for value in own.values())
    own["conv5.1.running_var"][0] = 7
    assert own["conv5.1.running_var"][1] == 2
    assert "w.pth: 1 float16 tensor converted to float32" in told.messages


def test_adopt_does_not_tie_what_shares_memory_in_the_file(finished: State) -> None:
    net, shared = network(), torch.rand(1024)
    tied = {**finished, "conv5.1.weight": shared, "conv5.1.bias": shared}
    load(net, tied)
    with torch.no_grad():
        net.get_parameter("conv5.1.weight").zero_()
    assert torch.equal(net.state_dict()["conv5.1.bias"], shared)
    assert bool(shared.any())


def test_adopt_does_not_need_counts_of_batches(finished: State) -> None:
    net = network()
    load(net, {name: value for name, value in finished.items() if "num_batches_tracked" not in name})
    assert_filled(net, finished)


def test_adopt_does_not_need_the_fill_of_tables() -> None:
    spec = Spec("mlp", 3, (4,), (5,))
    tensors = state_of(build(spec))
    assert load(build(spec), tensors, own_head=True).scaled
    del tensors["scaling.fill"]
    net = build(spec)
    assert load(net, tensors, own_head=True) == Adoption("classifier.output", kept=CLASSES)
    assert torch.equal(net.get_buffer("scaling.fill"), torch.zeros(4))


def test_adopt_refuses_a_deeper_relative() -> None:
    with torch.device("meta"):
        net, deeper = (build(Spec(arch, 3, (3, 64, 64))) for arch in ("resnet18", "resnet34"))
    assert set(net.state_dict()) < set(deeper.state_dict())
    with pytest.raises(BadCheckpoint, match="that this architecture lacks"):
        load(net, {name: torch.zeros(value.shape) for name, value in deeper.state_dict().items()})


def test_adopt_refuses_a_file_of_something_else(imagenet: State) -> None:
    for tensors in ({}, {"weight": torch.zeros(3)}, imagenet):
        with pytest.raises(BadCheckpoint):
            load(network("squeezenet1_1"), tensors)


@pytest.mark.parametrize(
    "tensors", [{"weight": torch.zeros(3)}, {"classifier.hidden1.weight": torch.zeros(3)}]
)
def test_adopt_refuses_a_file_without_any_tensor_of_an_mlp(tensors: State) -> None:
    net = build(Spec("mlp", 3, (1, 4, 4), (5,)))
    with pytest.raises(BadCheckpoint, match="no tensor of this architecture"):
        load(net, tensors, own_head=True)


def on_meta(arch: str, make: Callable[[], nn.Module]) -> nn.Module:
    # regnets compute with real numbers while they are built
    with torch.device("cpu" if arch.startswith("regnet") else "meta"):
        return make()


def published_name(name: str) -> str:
    """How files that torchvision fetches spell what its networks call `name`."""
    name = re.sub(r"(denselayer\d+\.(?:norm|conv))(\d)", r"\1.\2", name)
    return re.sub(
        r"(encoder_layer_\d+\.mlp)\.([03])\.",
        lambda found: f"{found[1]}.linear_{1 + int(found[2]) // 3}.",
        name,
    )


@pytest.mark.parametrize("arch", SMALLEST_OF_FAMILY)
def test_adopt_takes_what_torchvision_publishes_of_every_family(arch: str) -> None:
    side = ARCHITECTURES[arch].size[0]
    # as torchvision's builders have them when they load
    more = {"aux_logits": True, "init_weights": False} if arch in ("googlenet", "inception_v3") else {}
    theirs = on_meta(arch, lambda: models.get_model(arch, num_classes=3, **more)).state_dict()
    # a number of its own in every tensor; files from before 2018 have no counts of batches
    published = {
        published_name(name): torch.full((1,) * value.ndim, float(number)).expand(value.shape)
        for number, (name, value) in enumerate(theirs.items())
        if not name.endswith("num_batches_tracked")
    }
    net = on_meta(arch, lambda: build(Spec(arch, 3, (3, side, side)))).to_empty(device="cpu")
    assert load(net, published).kept == CLASSES
    for name, value in net.state_dict().items():
        if not name.endswith("num_batches_tracked"):
            wanted = published[published_name(name)]
            assert torch.equal(value, wanted.to(value.dtype)), name


def test_adopt_brings_positions_to_another_size_as_torchvision_does(
    told: pytest.LogCaptureFixture,
) -> None:
    large, small = (models.VisionTransformer(side, 4, 1, 1, 4, 6, num_classes=3) for side in (16, 8))
    state = state_of(large)
    wanted = interpolate_embeddings(8, 4, large.state_dict())
    load(small, state)
    assert_filled(small, dict(wanted))
    assert "w.pth: positions are interpolated from 16 to 8 pixels a side" in told.messages


@pytest.mark.parametrize(
    "positions",
    [
        *(torch.zeros(1, 16, 4), torch.zeros(1, 17, 5), torch.zeros(2, 17, 4), torch.zeros(17, 4)),
        *(torch.zeros(1, 1, 4), torch.zeros(1, 0, 4), torch.zeros(1).expand(1, 10**12 + 1, 4)),
        torch.zeros(1, 17, 4, dtype=torch.complex64),
    ],
    ids=lambda tensor: str(tuple(tensor.shape)),
)
def test_adopt_refuses_positions_that_are_not_a_square(positions: Tensor) -> None:
    net = models.VisionTransformer(8, 4, 1, 1, 4, 6, num_classes=3)
    with pytest.raises(BadCheckpoint, match="pos_embedding"):
        load(net, {**state_of(net), "encoder.pos_embedding": positions})
