"""Names in files become those of the network: prefixes of wrappers, names of older versions."""

import re

import pytest
import torch
from torch import Tensor, nn
from torchvision import models

from emoprune.errors import BadCheckpoint
from emoprune.networks.weights.tensor_names import named_for


class Small(nn.Module):
    """Names of two levels, one of which ends another."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 2, 3)
        self.layer = nn.Sequential(nn.Conv2d(2, 2, 3), nn.BatchNorm2d(2))
        self.fc = nn.Linear(2, 3)


NET = Small()
STATE = NET.state_dict()


def named(tensors: dict[str, Tensor], net: nn.Module = NET) -> dict[str, Tensor]:
    return dict(named_for(net, tensors, place="w.pth").tensors)


@pytest.mark.parametrize(
    "prefix",
    [
        *("", "module.", "_orig_mod.", "state_dict.model.", "net.backbone.module._orig_mod.", "0.", "1.0."),
        *("layer.", "module.module.module.", "my-own wrapper."),
    ],
)
def test_named_for_takes_off_any_prefix_and_tells_it(prefix: str, told: pytest.LogCaptureFixture) -> None:
    found = named({f"{prefix}{name}": value for name, value in STATE.items()})
    assert found.keys() == STATE.keys()
    assert all(found[name] is STATE[name] for name in STATE)
    (note,) = told.messages if prefix else ("",)
    assert all(word in note for word in re.findall(r"[\w-]+\.", prefix))


@pytest.mark.parametrize("wrapper", ["_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"])
def test_named_for_takes_off_wrappers_of_torch_within_names(
    wrapper: str, told: pytest.LogCaptureFixture
) -> None:
    inner = {name.replace("layer.", f"layer.{wrapper}."): value for name, value in STATE.items()}
    assert named({f"model.{name}": value for name, value in inner.items()}).keys() == STATE.keys()
    assert told.messages == [f"w.pth: names are taken without {wrapper}. and model."]


def test_named_for_takes_the_first_of_equals_and_tells_the_others(told: pytest.LogCaptureFixture) -> None:
    both = {
        f"{top}.{name}": value + (top == "ema") for top in ("model", "ema") for name, value in STATE.items()
    }
    found = named_for(NET, both, place="w.pth")
    assert torch.equal(found.tensors["fc.bias"], STATE["fc.bias"])
    assert found.beside == {}
    assert told.messages == ["w.pth: names are taken without model.; ema. would fit as well"]


@pytest.mark.parametrize(
    "top", ["optimizer.exp_avg", "optimizer_state", "momentum_buffer", "sgd_momentum", "grads"]
)
def test_named_for_takes_no_state_of_an_optimizer_for_weights(
    top: str, told: pytest.LogCaptureFixture
) -> None:
    state = {f"{top}.{name}": value + 1 for name, value in STATE.items()}
    found = named({**state, **{f"net.{name}": value for name, value in STATE.items()}})
    assert all(found[name] is value for name, value in STATE.items())
    assert told.messages == ["w.pth: names are taken without net."]
    with pytest.raises(BadCheckpoint, match=f"only the state of an optimizer \\({top}\\.\\)"):
        named(state)


def test_named_for_keeps_what_stands_beside_the_network() -> None:
    beside = {"loss.weight": torch.ones(3), "head.weight": torch.ones(3, 2)}
    found = named_for(NET, {**beside, **{f"net.{name}": value for name, value in STATE.items()}}, place="w")
    assert found.beside == beside


def test_named_for_refuses_names_without_anything_in_common() -> None:
    with pytest.raises(BadCheckpoint, match="no tensor of this architecture"):
        named({"weight": torch.ones(1), "stem.0.gamma": torch.ones(1)})


def test_named_for_brings_files_without_counts_of_batches_up_to_date() -> None:
    found = named({name: value for name, value in STATE.items() if "num_batches" not in name})
    assert found.keys() == STATE.keys()
    assert found["layer.1.num_batches_tracked"] == 0


@pytest.mark.parametrize("prefix", ["", "module."])
def test_named_for_knows_published_densenets(prefix: str) -> None:
    with torch.device("meta"):
        net = models.densenet121(num_classes=3)
    old = {
        re.sub(r"(denselayer\d+\.(?:norm|conv))", r"\1.", name): each
        for name, each in net.state_dict().items()
    }
    assert old.keys() != net.state_dict().keys()
    found = named({f"{prefix}{name}": value for name, value in old.items()}, net)
    assert found.keys() == net.state_dict().keys()


@pytest.mark.parametrize("prefix", ["", "module."])
def test_named_for_knows_published_vision_transformers_as_torchvision_does(prefix: str) -> None:
    net = models.VisionTransformer(8, 4, 2, 1, 4, 6, num_classes=3)
    old = {
        name.replace("mlp.0.", "mlp.linear_1.").replace("mlp.3.", "mlp.linear_2."): value + 1
        for name, value in net.state_dict().items()
    }
    assert old.keys() != net.state_dict().keys()
    found = named({f"{prefix}{name}": value for name, value in old.items()}, net)
    net.load_state_dict(old)
    assert found.keys() == net.state_dict().keys()
    assert all(torch.equal(value, found[name]) for name, value in net.state_dict().items())
