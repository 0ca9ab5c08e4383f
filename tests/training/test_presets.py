"""The presets are the papers' own settings: every number that a paper states is held against it."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
import torch

from emoprune.cli import train
from emoprune.data.augmentation import parse_augmentations
from emoprune.data.splits import parse_shares
from emoprune.networks.build import blueprint
from emoprune.networks.registry import ARCHITECTURES
from emoprune.networks.types import Spec
from emoprune.training.presets import PRESETS

# jain2020, sections 2.2 to 2.4: 224 pixels, turned and mirrored, ImageNet's mean and deviation (which are
# torchvision's own defaults), all frozen but two dense layers, 200 hidden neurons of sigmoids, rate 0.001,
# 50 epochs, 80-20
JAIN = {
    "size": "224",
    "freeze": "backbone",
    "hidden": [200],
    "activation": "sigmoid",
    "lr": 0.001,
    "epochs": 50,
    "split": "80/20",
}
# zhang2020, section 2.1: minus 0.5, divided by 0.5; 2.2: 576x720, sigmoid; 2.2.3: 80 and 20 percent, 10
# epochs, batches of 128
ZHANG = {
    "size": "576x720",
    "mean": "0.5",
    "std": "0.5",
    "activation": "sigmoid",
    "batch_size": 128,
    "epochs": 10,
    "split": "80/20",
}
STATED: dict[str, dict[str, Any]] = {
    # as jain2020, section 2.1, has it: 346 of 675 for training
    "dhall2011-svm": {"arch": "svm", "split": "346/329"},
    # jain2020, section 2.1
    "jain2020-ff": {
        **{"arch": "mlp", "split": "346/329", "scale": "minmax", "hidden": [20], "lr": 0.04},
        **{"epochs": 500, "activation": "relu", "optimizer": "adam"},
    },
    # jain2020, section 2.3 tells of both no more than their depth; 2.4 and 3.5 the rest
    "jain2020-conv1": {"arch": "conv1", "epochs": 50, "lr": 0.001, "split": "80/20"},
    "jain2020-conv2": {"arch": "conv2", "epochs": 50, "lr": 0.001, "split": "80/20"},
    "jain2020-alexnet": {"arch": "alexnet", **JAIN},
    "jain2020-vgg13": {"arch": "vgg13", **JAIN},
    "jain2020-resnet18": {"arch": "resnet18", **JAIN},
    "jain2020-resnet50": {"arch": "resnet50", **JAIN},
    "jain2020-resnet152": {"arch": "resnet152", **JAIN},
    # zhang2020, section 2.2.3, table 1: the best of each
    "zhang2020-alexnet": {"arch": "zhang_alexnet", "lr": 0.0005, **ZHANG},
    "zhang2020-vgg": {"arch": "zhang_vgg", "lr": 0.001, **ZHANG},
    # luan2020, section 2.1: 10 hidden units of sigmoids, a fifth of the data for testing
    "luan2020-autoencoder": {
        **{"arch": "autoencoder", "hidden": [10], "activation": "sigmoid", "split": "80/20"},
    },
    # luan2020, section 2.2: grey, 90x72 (width first), combination (1), Adam, 700 epochs
    "luan2020-lenet": {
        **{"arch": "lenet", "channels": [16, 32], "size": "72x90", "gray": True, "optimizer": "adam"},
        **{"epochs": 700, "split": "80/20"},
    },
    # elazar2020, section 3.1: 224 pixels in 0..1, half of them mirrored, 15 degrees, crops of 90 percent and
    # more; 3.2: 50 epochs, best on the validation part, which has 15 percent as has the test part; 3.3: SGD
    "elazar2020-resnet18": {
        **{"arch": "resnet18", "size": "224", "mean": "0", "std": "1", "epochs": 50, "keep": "best"},
        **{"optimizer": "sgd", "lr": 0.02, "momentum": 0.9, "batch_size": 64, "split": "70/15/15"},
    },
    # wright2019, section 1: 48x48 numbers, ReLU; 5.2, table 1
    "wright2019-ff": {
        **{"arch": "mlp", "size": "48", "gray": True, "hidden": [1000, 1000], "activation": "relu"},
        **{"optimizer": "sgd", "lr": 0.001, "lr_decay": 0.001, "momentum": 0.5, "batch_size": 10},
    },
    # wright2019, section 6
    "wright2019-cnn": {
        **{"arch": "wright_cnn", "size": "48", "gray": True, "activation": "relu", "dropout": 0.5},
        **{"optimizer": "sgd", "lr": 0.001, "lr_decay": 1e-5, "momentum": 0.9, "batch_size": 32},
        **{"epochs": 50},
    },
}
OPTIONS = set(inspect.signature(train.command).parameters)


def test_every_preset_is_held_against_its_paper() -> None:
    assert set(STATED) == set(PRESETS)


@pytest.mark.parametrize("name", PRESETS)
def test_what_the_paper_states_is_what_the_preset_sets(name: str) -> None:
    settings = PRESETS[name].settings
    assert {key: settings.get(key) for key in STATED[name]} == STATED[name]


@pytest.mark.parametrize("name", PRESETS)
def test_every_key_of_a_preset_is_an_option_of_train(name: str) -> None:
    assert set(PRESETS[name].settings) <= OPTIONS - {"context", "data", "output", "preset"}


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_names_its_source_and_its_network_takes_its_kind_of_data(name: str) -> None:
    preset = PRESETS[name]
    assert name.split("-")[0].rstrip("0123456789") in preset.source.lower()
    assert preset.data in ARCHITECTURES[preset.settings["arch"]].takes


@pytest.mark.parametrize("name", [name for name, preset in PRESETS.items() if preset.data == "image"])
def test_the_network_of_every_preset_classifies_pictures_of_its_size(name: str) -> None:
    settings = PRESETS[name].settings
    sides = [int(side) for side in settings["size"].split("x")]
    entry = ARCHITECTURES[settings["arch"]]
    channels = 1 if entry.own and settings.get("gray") else 3
    spec = Spec(
        settings["arch"],
        7,
        (channels, sides[0], sides[-1]),
        tuple(settings.get("hidden", entry.hidden)),
        settings.get("activation", "sigmoid"),
        settings.get("dropout", 0.0),
        channels=tuple(settings.get("channels", ())),
    )
    with torch.no_grad():
        assert blueprint(spec).eval()(torch.zeros(2, *spec.input, device="meta")).shape == (2, 7)


@pytest.mark.parametrize("name", [name for name, preset in PRESETS.items() if "split" in preset.settings])
def test_a_split_adds_up_to_all_or_to_the_675_pictures_of_the_papers(name: str) -> None:
    assert sum(parse_shares(PRESETS[name].settings["split"])) in (100, 675)


def test_only_what_elazar_and_jain_changed_of_their_pictures_is_changed() -> None:
    augmented = {
        name: parse_augmentations(preset.settings.get("augment", ())) for name, preset in PRESETS.items()
    }
    elazar = augmented.pop("elazar2020-resnet18")
    assert elazar == {"flip": 0.5, "rotate": 15.0, "crop": 0.9}
    for name, strengths in augmented.items():
        frozen = PRESETS[name].settings.get("freeze") == "backbone"
        assert set(strengths) == ({"flip", "rotate"} if frozen else set())
