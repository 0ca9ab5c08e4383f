"""Pruning of modules that are not checkpoints: what is kept, what is left alone, what is refused."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset
from torch.utils.flop_counter import FlopCounterMode
from torchvision.models import resnet18

from emoprune.errors import UsageFault
from emoprune.pruning.module import prune_module
from tests.support.silencing import apart, randomize
from tests.support.wiring import Wired, conv, head

SIDE = 32
ANYTHING: dict[str, Any] = {"max_error": 1000}
"""For networks whose weights are random: little of what they answer can be lost."""


def images(count: int = 96, *, seed: int = 0) -> Tensor:
    return torch.randn(count, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(seed))


def macs(net: nn.Module) -> int:
    """Multiply-accumulates of one image, as torch counts them."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        copy.deepcopy(net).eval()(torch.zeros(1, 3, SIDE, SIDE))
    return int(counter.get_total_flops()) // 2


def branching() -> nn.Module:
    """A residual addition and a concatenation, each after a batch norm."""

    def wire(net: Wired, x: Tensor) -> Tensor:
        h = torch.relu(net.norm(net.stem(x)))
        h = torch.relu(net.norm2(net.again(h)) + h)
        h = torch.cat([torch.relu(net.left(h)), torch.relu(net.right(h))], 1)
        found: Tensor = net.head(torch.relu(net.last(h)))
        return found

    return Wired(
        wire,
        stem=conv(3, 16, bias=False, stride=2),
        norm=nn.BatchNorm2d(16),
        again=conv(16, 16, bias=False),
        norm2=nn.BatchNorm2d(16),
        left=conv(16, 10),
        right=conv(16, 14, 1),
        last=conv(24, 20, stride=2),
        head=head(20),
    )


MAKES: dict[str, Callable[[], nn.Module]] = {
    "branching": branching,
    "resnet18": lambda: resnet18(num_classes=7),
}


@pytest.fixture(params=MAKES)
def net(request: pytest.FixtureRequest) -> nn.Module:
    torch.manual_seed(0)
    found = MAKES[request.param]()
    randomize(found)
    # settled norms, else signals grow from layer to layer
    found.train()(images(32))
    for module in found.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
    found(images(32))
    return found


def state_of(net: nn.Module) -> dict[str, Any]:
    """Everything that pruning must not change."""
    return {
        "tensors": {name: tensor.clone() for name, tensor in net.state_dict().items()},
        "modes": [module.training for module in net.modules()],
        "learned": [parameter.requires_grad for parameter in net.parameters()],
        "hooks": [len(module._forward_hooks) + len(module._forward_pre_hooks) for module in net.modules()],
    }


def test_prune_module_meets_the_budget_and_leaves_the_given_module_as_it_was(net: nn.Module) -> None:
    net.train()
    first = next(module for module in net.modules() if isinstance(module, nn.BatchNorm2d)).eval()
    first.weight.requires_grad_(False)
    before, cost = state_of(net), macs(net)
    smaller, outcome = prune_module(net, images(2), images=images().split(32), macs=0.5, **ANYTHING)
    after = state_of(net)
    tensors = before.pop("tensors"), after.pop("tensors")
    assert before == after
    assert all(torch.equal(tensor, tensors[1][name]) for name, tensor in tensors[0].items())
    assert 0.4 * cost < macs(smaller) <= 0.5 * cost
    assert (outcome.macs.before, outcome.macs.after) == (cost, macs(smaller))
    assert sum(len(layer.removed) for layer in outcome.layers) > 0
    assert smaller(images(2)).shape == net(images(2)).shape
    # its parts are in the modes of the given ones, and learn where those do
    assert [module.training for module in smaller.modules()] == before["modes"]
    assert [parameter.requires_grad for parameter in smaller.parameters()] == before["learned"]


def test_prune_module_shares_no_tensor_with_the_given_module(net: nn.Module) -> None:
    smaller, _ = prune_module(net, images(2), images=images().split(32), macs=0.8, **ANYTHING)
    expected = smaller.eval()(images(4))
    ours, theirs = (
        {tensor.untyped_storage().data_ptr() for tensor in each.state_dict().values()}
        for each in (smaller, net)
    )
    assert ours.isdisjoint(theirs)
    with torch.no_grad():
        for tensor in net.state_dict().values():
            tensor.zero_()
    assert torch.equal(smaller(images(4)), expected)
    smaller.train()(images(4)).sum().backward()


def test_prune_module_keeps_the_outputs_of_a_redundant_network() -> None:
    torch.manual_seed(0)
    net = branching()
    randomize(net)
    with torch.no_grad():
        # the second half of each layer's channels are copies of the first
        for layer in map(net.get_submodule, ("left", "right")):
            for parameter in layer.parameters():
                parameter[len(parameter) // 2 :] = parameter[: len(parameter) // 2]
    net.eval()
    for given in (images().split(32), DataLoader(TensorDataset(images(), torch.zeros(96)), 40)):
        smaller, outcome = prune_module(net, images(1), images=given, layer="[lr][ei]*", units=12)
        assert {layer.layer: len(layer.removed) for layer in outcome.layers} == {"left": 5, "right": 7}
        with torch.inference_mode():
            assert apart(net(images(8, seed=1)), smaller(images(8, seed=1))) < 1e-2


def test_prune_module_computes_in_the_precision_of_the_module() -> None:
    net = branching().double().eval()
    for settings in ({"macs": 0.7}, {"method": "magnitude", "amount": 0.9}):
        given: Any = {**settings, **ANYTHING}
        smaller, _ = prune_module(net, images(1).double(), images=[images(40).double()], **given)
        assert smaller(images(2).double()).dtype == torch.float64


@pytest.mark.parametrize("method", ["distinct", "magnitude", "importance"])
def test_prune_module_takes_every_kind_of_method(method: str) -> None:
    net = branching().eval()
    smaller, outcome = prune_module(
        net, images(40), images=[images(40)], method=method, amount=0.4, **ANYTHING
    )
    learned = [parameter.count_nonzero() for parameter in smaller.parameters()]
    assert outcome.nonzero_parameters.after == sum(map(int, learned))
    assert sum(map(int, learned)) < sum(int(parameter.count_nonzero()) for parameter in net.parameters())


@pytest.mark.parametrize(
    ("given", "fact"), [(None, "the predicted error is"), (96, "the answers would lose")]
)
def test_prune_module_refuses_what_leaves_little(given: int | None, fact: str) -> None:
    net = branching().eval()
    batches = None if given is None else [images(given)]
    with pytest.raises(UsageFault, match=f"{fact} .*, or allow it with `max_error="):
        prune_module(net, images(40), images=batches, units=4)
    _, outcome = prune_module(net, images(40), images=[images()], units=4, **ANYTHING)
    assert outcome.answers is not None
    assert outcome.answers.lost > 0.5


@pytest.mark.parametrize(
    ("end", "task", "same"),
    [
        (lambda net: net, None, True),
        (lambda net: net, "reconstruct", False),
        (lambda net: nn.Sequential(net, nn.Unflatten(1, (1, -1))), None, False),
    ],
)
def test_prune_module_takes_outputs_by_class_for_logits(
    end: Callable[[nn.Module], nn.Module], task: Any, same: bool
) -> None:
    net = end(branching()).eval()
    _, outcome = prune_module(net, images(1), images=[images()], task=task, macs=0.9, **ANYTHING)
    assert outcome.answers is not None
    assert (outcome.answers.same is not None) == same
    assert outcome.answers.images == 96


def test_prune_module_measures_no_answers_where_they_are_no_tensor() -> None:
    net = Wired(lambda net, x: (net.body(x), x), body=branching()).eval()
    _, outcome = prune_module(net, images(1), images=[images()], macs=0.9, **ANYTHING)
    assert outcome.answers is None


def twice_scaled(net: Wired, x: Tensor) -> Tensor:
    h = net.scale * F.relu_(net.first(x.sub_(0.5)))
    found: Tensor = net.head(net.scale * torch.relu(net.second(h)))
    return found


def gated(net: Wired, x: Tensor) -> Tensor:
    h = torch.relu(net.first(x))
    # without a gradient: what a sigmoid needs of its input is gone
    h *= torch.sigmoid(net.second(h))
    found: Tensor = net.head(h)
    return found


@pytest.mark.parametrize("wire", [twice_scaled, gated])
def test_prune_module_takes_networks_that_overwrite_and_leaves_inputs_alone(wire: Any) -> None:
    torch.manual_seed(0)
    parts = {"first": conv(3, 16, padding=1), "second": conv(16, 16, padding=1), "head": head(16)}
    net = Wired(wire, scale=nn.Parameter(torch.rand(16, 1, 1)), **parts).eval()
    batch, state = images(), torch.get_rng_state()
    kept = batch.clone()
    smaller, outcome = prune_module(net, batch[:1], images=[batch], macs=0.8)
    assert torch.equal(batch, kept)
    assert torch.equal(torch.get_rng_state(), state)
    assert outcome.answers is not None
    assert outcome.answers.lost < 0.3
    assert smaller(images(2)).shape == (2, 2)


def test_prune_module_notes_a_network_that_cannot_be_differentiated(told: pytest.LogCaptureFixture) -> None:
    def wire(net: Wired, x: Tensor) -> Tensor:
        h = torch.sigmoid(net.second(torch.relu(net.first(x))))
        # the gradient of a sigmoid needs what it gave
        h *= 2
        found: Tensor = net.head(h)
        return found

    parts = {"first": conv(3, 16, padding=1), "second": conv(16, 16, padding=1), "head": head(16)}
    _, outcome = prune_module(Wired(wire, **parts).eval(), images(1), images=[images()], macs=0.8, **ANYTHING)
    assert "the network cannot be differentiated" in told.text
    assert outcome.macs.after


def padded(**others: Any) -> nn.Sequential:
    torch.manual_seed(0)
    odd = nn.Conv2d(8, 8, 3, **others)
    return nn.Sequential(conv(3, 8), nn.ReLU(), odd, nn.ReLU(), conv(8, 8), nn.ReLU(), head(8)).eval()


@pytest.mark.parametrize("others", [{"padding": "same"}, {"padding": 1, "padding_mode": "reflect"}])
def test_prune_module_prunes_convolutions_of_unusual_padding(others: dict[str, Any]) -> None:
    net = padded(**others)
    smaller, outcome = prune_module(net, images(1), images=[images()], macs=0.7)
    odd, given = smaller.get_submodule("2"), net[2]
    assert isinstance(odd, nn.Conv2d)
    assert isinstance(given, nn.Conv2d)
    assert (odd.padding, odd.padding_mode) == (given.padding, given.padding_mode)
    assert smaller(images(2)).shape == (2, 2)
    assert macs(smaller) <= 0.7 * macs(net)
    assert outcome.frozen == ()


def rolled(net: Wired, x: Tensor) -> Tensor:
    h = torch.relu(net.second(torch.roll(torch.relu(net.first(x)), 1, 1)))
    found: Tensor = net.head(h)
    return found


def test_prune_module_lists_channels_that_no_rule_covers_as_frozen() -> None:
    net = Wired(rolled, first=conv(3, 8), second=conv(8, 12), head=head(12)).eval()
    smaller, outcome = prune_module(net, images(40), images=[images()], units=6)
    assert [(each.layer, each.channels, each.operation) for each in outcome.frozen] == [("first", 8, "roll")]
    assert smaller.get_submodule("first").get_parameter("weight").shape[0] == 8
    assert smaller.get_submodule("second").get_parameter("weight").shape[0] == 6


def test_prune_module_warns_where_it_has_no_images(told: pytest.LogCaptureFixture) -> None:
    net = branching().eval()
    smaller, outcome = prune_module(net, images(1), macs=0.7, samples=48)
    assert "no images: statistics and layers are fitted to 48 drawn faces" in told.text
    assert outcome.answers is not None
    assert (outcome.answers.images, outcome.answers.on) == (48, "drawn faces")
    again, _ = prune_module(net, images(1), macs=0.7, samples=48)
    assert all(torch.equal(tensor, again.state_dict()[name]) for name, tensor in smaller.state_dict().items())
    told.clear()
    prune_module(nn.Sequential(nn.Linear(5, 20), nn.ReLU(), nn.Linear(20, 3)), torch.randn(1, 5), units=15)
    assert "no images: statistics are those of 64 random inputs" in told.text
    told.clear()
    prune_module(net, images(32), macs=0.7)
    assert "statistics are those of the 32 example inputs" in told.text


def test_prune_module_calibrates_on_as_many_samples_as_asked_for() -> None:
    net = branching().eval()
    settings: Any = {"macs": 0.7, "samples": 48}
    few, _ = prune_module(net, images(1), images=[images()[:48]], macs=0.7)
    limited, _ = prune_module(net, images(1), images=images().split(40), **settings)
    for name, tensor in few.state_dict().items():
        torch.testing.assert_close(limited.state_dict()[name], tensor)


def deciding(net: Wired, x: Tensor) -> Tensor:
    found: Tensor = net.head(net.first(x) if x.sum() > 0 else net.first(-x))
    return found


class TwoInputs(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.head = conv(3, 8), head(8)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        found: Tensor = self.head(torch.relu(self.first(x + y)))
        return found


def sharing() -> nn.Module:
    net = nn.Sequential(conv(3, 8), nn.ReLU(), conv(8, 8), nn.ReLU(), conv(8, 8), nn.ReLU(), head(8))
    net[4].weight = net[2].weight
    return net


def normalized() -> nn.Module:
    weighed = nn.utils.weight_norm(conv(8, 8))
    return nn.Sequential(conv(3, 8), nn.ReLU(), weighed, nn.ReLU(), head(8))


PLAIN = nn.Sequential(conv(3, 8), nn.ReLU(), head(8))


@pytest.mark.filterwarnings("ignore:.*weight_norm.*")
@pytest.mark.parametrize(
    ("make", "settings", "says"),
    [
        (
            lambda: Wired(deciding, first=conv(3, 8), head=head(8)),
            {},
            "what Wired computes cannot be recorded",
        ),
        (TwoInputs, {}, r"TwoInputs takes 2 inputs \(x, y\)"),
        (sharing, {}, "2.weight and 4.weight share one parameter"),
        (normalized, {}, "2.weight is computed and not a parameter"),
        (lambda: head(3), {}, "has no layer that can be pruned"),
        (nn.Identity, {}, "Identity has no layer that can be pruned"),
        (lambda: PLAIN, {"layer": "conv*"}, r"no layer matches `layer=conv\*`; choose from 0"),
        (lambda: PLAIN, {"macs": None}, "`method=reconstruct` needs an amount"),
        (lambda: PLAIN, {"macs": None, "max_drop": 1}, "`max_drop` is for checkpoints"),
        (lambda: PLAIN, {"macs": None, "max_loss_increase": 1}, "`max_loss_increase` is for checkpoints"),
        (lambda: PLAIN, {"rewind": "init.st"}, "`rewind` is for checkpoints"),
        (lambda: PLAIN, {"data": "faces"}, "`data` is for checkpoints"),
        (lambda: PLAIN, {"macs": 0.01}, "`macs=0.01` cannot be met"),
        (lambda: PLAIN, {"images": ["a.jpg"]}, "`images` gives str, not batches of inputs"),
        (lambda: PLAIN, {"images": []}, "`images` gives no batch"),
        (
            lambda: PLAIN,
            {"images": [torch.zeros(2, 5, SIDE, SIDE)]},
            "`images` gives inputs of float32 5x32x32",
        ),
        (lambda: PLAIN, {"images": [images(2).byte()]}, "`images` gives inputs of uint8 3x32x32"),
        (lambda: PLAIN, {"example_inputs": images(1)[:, :1]}, "`example_inputs` of float32 1x32x32"),
        (lambda: PLAIN, {"example_inputs": torch.zeros(1, 3)}, "`example_inputs` of float32 3 "),
        (lambda: PLAIN, {"example_inputs": "a.jpg"}, "`example_inputs` is str"),
    ],
)
def test_prune_module_refuses_by_name_what_it_cannot_follow(
    make: Callable[[], nn.Module], settings: dict[str, Any], says: str
) -> None:
    net = make().eval()
    before = state_of(net)["modes"]
    with pytest.raises(UsageFault, match=says):
        prune_module(net, **{"example_inputs": images(1), "macs": 0.5, **settings})
    assert state_of(net)["modes"] == before


@pytest.mark.parametrize(
    ("name", "side"),
    [
        ("test_vit", 160),
        *((f"test_{name}", 64) for name in ("resnet", "nfnet", "convnext", "efficientnet_gn")),
    ],
)
def test_prune_module_takes_networks_of_timm(name: str, side: int) -> None:
    timm = pytest.importorskip("timm")
    net = timm.create_model(name, num_classes=3).eval()
    inputs = torch.randn(40, 3, side, side)
    smaller, outcome = prune_module(net, inputs[:1], images=[inputs], macs=0.7, max_error=None)
    assert outcome.macs.after is not None
    assert outcome.macs.before is not None
    assert outcome.macs.after <= 0.7 * outcome.macs.before
    assert smaller(inputs[:2]).shape == (2, 3)
