"""What a training is asked for: defaults, presets, settings that are given, and where weights come from."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from emoprune.errors import UsageFault
from emoprune.training.config import OF_THE_NETWORK, OF_THE_SPLIT, SETTINGS, TrainConfig, train_config
from emoprune.training.presets import PRESETS


@pytest.mark.parametrize("preset", PRESETS)
def test_train_config_changes_defaults_by_a_preset_and_then_by_what_is_given(preset: str) -> None:
    assert train_config() == TrainConfig()
    found = train_config(preset, lr=0.5, augment="none")
    assert (found.preset, found.given, found.lr, found.augment) == (
        *(preset, frozenset(("lr", "augment")), 0.5, ("none",)),
    )
    for name in SETTINGS.keys() - found.given:
        assert getattr(found, name) == PRESETS[preset].settings.get(name, getattr(TrainConfig, name))


def test_train_config_takes_lists_and_single_values() -> None:
    found = train_config(hidden=8, channels=[3, 4], augment="flip,rotate:10")
    assert (found.hidden, found.channels, found.augment) == ((8,), (3, 4), ("flip,rotate:10",))


@pytest.mark.parametrize(
    ("preset", "given", "says"),
    [
        ("jain2020-f", {}, "did you mean jain2020-ff"),
        (None, {"epoch": 3}, "`epoch` is not a setting of a training; did you mean epochs?"),
        (None, {"arch": "resnet_18"}, "`arch=resnet_18` is unknown; did you mean resnet18"),
        (None, {"optimizer": "adamm"}, "did you mean adam"),
        (None, {"keep": "middle"}, "choose from best, last"),
        (None, {"lr": -1.0}, "`lr=-1.0` is out of range; give 0 or more"),
        (None, {"dropout": 1}, "give 0 to 0.99"),
        (None, {"hidden": (5, 0)}, "`hidden=0` is out of range"),
    ],
)
def test_train_config_refuses_what_is_unknown_or_out_of_range(
    preset: str | None, given: dict[str, Any], says: str
) -> None:
    with pytest.raises(UsageFault) as caught:
        train_config(preset, **given)
    assert says in str(caught.value)


def test_what_a_checkpoint_decides_are_settings() -> None:
    assert SETTINGS.keys() >= OF_THE_NETWORK | OF_THE_SPLIT


@pytest.mark.parametrize(
    ("arch", "usual"),
    [
        *(("conv1", "none"), ("svm", "none"), ("zhang_vgg", "none"), ("nets:make", "none")),
        *(("resnet18", "imagenet"), ("vit_b_16", "imagenet"), ("timm/resnet10t", "imagenet")),
        ("inception_resnet_v1", "vggface2"),
    ],
)
def test_networks_start_from_published_weights_where_there_are_any(arch: str, usual: str) -> None:
    assert train_config(arch=arch).initial_weights == usual
    assert train_config(arch=arch, weights="w.pth").initial_weights == "w.pth"
    assert train_config().initial_weights == "none"


def test_arguments_are_json_or_a_dict_of_a_function_of_the_users_own() -> None:
    wanted = {"width": 8, "name": "a,b", "deep": {"rates": [0.5, None]}}
    for given in (json.dumps(wanted), wanted):
        assert train_config(arch="nets:make", arch_args=given).arguments == wanted
    assert train_config(arch="nets:make").arguments == {}


@pytest.mark.parametrize(
    ("arch", "given", "says"),
    [
        ("conv1", "{}", "`arch_args` is for a function of your own, and conv1 is not one; leave it out"),
        *(
            ("nets:make", text, "`arch_args` is not a JSON object")
            for text in ("[1]", "width=8", "{", '{"a":NaN}')
        ),
        ("nets:make", '{"a": 1e999}', "`arch_args` is not a JSON object"),
        ("nets:make", '{"num_classes": 3}', "`arch_args` has num_classes, which the data decides"),
    ],
)
def test_arguments_that_cannot_be_are_refused(arch: str, given: str, says: str) -> None:
    config = train_config(arch=arch, arch_args=given)
    with pytest.raises(UsageFault, match=re.escape(says)):
        _ = config.arguments


@pytest.mark.parametrize("name", ["data_license", "weights_license"])
def test_a_license_without_text_is_refused(name: str) -> None:
    with pytest.raises(UsageFault, match=f"`{name}` has no text"):
        train_config(**{name: "  "})
