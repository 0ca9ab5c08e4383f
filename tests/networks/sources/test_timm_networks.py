"""Networks of timm: by its names, its sizes and its heads, and a clear word where it is not installed."""

import sys
from typing import Any

import pytest
import torch
from torch import nn

from emoprune.errors import Unavailable, UsageFault
from emoprune.networks import build, heads, inputs
from emoprune.networks.sources import timm_networks
from emoprune.networks.types import Spec


@pytest.fixture
def timm() -> Any:
    return pytest.importorskip("timm")


def spec_of(name: str, side: int = 32, hidden: tuple[int, ...] = ()) -> Spec:
    return Spec(f"timm/{name}", 3, (3, side, side), hidden)


def test_a_network_of_timm_without_timm_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    for ask in (build.build, build.check_runs, lambda spec: timm_networks.pictures(spec.arch, "imagenet")):
        with pytest.raises(
            Unavailable, match=r"timm, which is not installed; pip install 'emoprune\[timm\]'"
        ):
            ask(spec_of("resnet10t"))


@pytest.mark.usefixtures("timm")
@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("resnet11t", "timm/resnet10t"),
        ("resnet10t.c3_in2k", "timm/resnet10t.c3_in1k"),
        ("zzz", "list_models"),
    ],
)
def test_an_unknown_network_of_timm_names_those_that_are_spelled_nearly_so(name: str, near: str) -> None:
    with pytest.raises(UsageFault, match=f"timm has no network {name}; .*{near}"):
        build.build(spec_of(name))


def test_pictures_are_those_that_timm_says(timm: Any) -> None:
    config = timm.get_pretrained_cfg("vit_tiny_patch16_224.augreg_in21k_ft_in1k")
    assert config.mean == (0.5,) * 3
    found = timm_networks.pictures("timm/vit_tiny_patch16_224.augreg_in21k_ft_in1k", "imagenet")
    assert found == ((224, 224), (0.5,) * 3, (0.5,) * 3)
    assert timm_networks.pictures("timm/resnet10t.c3_in1k", "none") == (
        *((176, 176), (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    )


@pytest.mark.usefixtures("timm")
@pytest.mark.parametrize(
    ("name", "side", "head"),
    [
        *(
            ("resnet10t", 32, "fc"),
            ("mobilenetv3_small_050", 32, "classifier"),
            ("convnext_atto", 32, "head.fc"),
        ),
        *(("vit_tiny_patch16_224", 32, "head"), ("efficientvit_b0", 64, "head.classifier.4")),
        # a convolution, flattened by the network
        ("dla46x_c", 64, "fc"),
    ],
)
def test_the_head_is_what_timm_calls_the_classifier(name: str, side: int, head: str) -> None:
    x = torch.randn(2, 3, side, side)
    for hidden in ((), (5,)):
        net = build.build(spec_of(name, side, hidden)).eval()
        assert heads.head_name(net) == head
        with torch.no_grad():
            features = build.features(net, x)
            torch.testing.assert_close(heads.head_alone(net)(features), net(x))
        last = net.get_submodule(heads.output_name(net))
        assert isinstance(last, nn.Linear | nn.Conv2d)
        assert len(last.weight) == 3


@pytest.mark.usefixtures("timm")
def test_two_heads_cannot_be_trained_alone() -> None:
    net = build.build(spec_of("deit_tiny_distilled_patch16_224"))
    with pytest.raises(UsageFault, match="its head cannot be found"):
        heads.head_name(net)


@pytest.mark.usefixtures("timm")
def test_check_runs_refuses_a_size_that_a_network_does_not_take() -> None:
    build.check_runs(spec_of("vit_tiny_patch16_224", 48))
    with pytest.raises(UsageFault, match="does not take 8x8 images; give another `size`; its own is 224x224"):
        build.check_runs(spec_of("vit_tiny_patch16_224", 8))


@pytest.mark.usefixtures("timm")
@pytest.mark.parametrize("name", ["resnet10t", "gcvit_xxtiny"])
def test_restore_computes_tables_that_no_file_holds(name: str) -> None:
    spec = spec_of(name, 224 if name == "gcvit_xxtiny" else 32)
    net = build.build(spec).eval()
    again = build.restore(spec, {name: value.clone() for name, value in net.state_dict().items()})
    x = torch.randn(1, *spec.input)
    with torch.no_grad():
        assert torch.equal(again(x), net(x))


def test_published_weights_are_loaded_by_timm_and_adopted_but_for_the_head(
    timm: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(1)
    state = timm.create_model("resnet10t").state_dict()
    fetched = "timm.models._builder.load_state_dict_from_hf"
    monkeypatch.setattr(fetched, lambda *_, **__: dict(state))
    net, made = inputs.pretrained(spec_of("resnet10t"), "imagenet", seed=0, classes=("a", "b", "c"))
    own = net.state_dict()
    assert made is not None
    assert (made.fresh, made.fault) == (("fc",), None)
    assert all(torch.equal(own[name], state[name]) for name in own if not name.startswith("fc."))


def test_published_weights_say_why_they_cannot_be_fetched(timm: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise RuntimeError("a long story") from OSError("Name or service not known")

    monkeypatch.setattr("timm.models._builder.load_state_dict_from_hf", refuse)
    says = r"weights of timm/resnet10t cannot be fetched \(Name or service not known\); .*`weights=PATH`"
    with pytest.raises(Unavailable, match=says):
        timm_networks.published(spec_of("resnet10t"), "imagenet", progress=False)
    lacking = next(
        name for name in timm.list_models("resnet*") if not timm.get_pretrained_cfg(name).has_weights
    )
    with pytest.raises(Unavailable, match=f"timm publishes no weights of timm/{lacking}; .*`weights=none`"):
        timm_networks.published(spec_of(lacking), "imagenet", progress=False)
