"""What a training is asked for: the options of the command, its defaults, and where weights come from."""

from __future__ import annotations

import dataclasses
import inspect

import pytest

from emoprune.cli import train
from emoprune.networks.registry import ARCHITECTURES
from emoprune.training.config import OF_THE_NETWORK, Settings, settings_of

FIELDS = {field.name: field.default for field in dataclasses.fields(Settings)}
OPTIONS = inspect.signature(train.command).parameters


def test_every_setting_is_an_option_and_every_default_is_told_once() -> None:
    assert set(FIELDS) - {"given"} <= set(OPTIONS)
    for name, value in FIELDS.items():
        if name not in ("data", "given"):
            assert OPTIONS[name].default == (value or None if isinstance(value, tuple) else value), name


def test_what_a_checkpoint_decides_are_settings() -> None:
    assert set(FIELDS) >= OF_THE_NETWORK


def test_lists_that_are_not_given_are_empty() -> None:
    parameters = {"data": "faces", "hidden": None, "channels": [3, 4], "augment": None, "output": "m.st"}
    found = settings_of(parameters, frozenset({"channels"}))
    assert (found.hidden, found.channels, found.augment) == ((), (3, 4), ())
    assert found.given == {"channels"}
    assert found.epochs == Settings.epochs


@pytest.mark.parametrize("arch", ["conv1", "svm", "zhang_vgg", "resnet18", "vit_b_16"])
def test_networks_of_ours_start_from_nothing_and_torchvisions_from_imagenet(arch: str) -> None:
    usual = "none" if ARCHITECTURES[arch].own else "imagenet"
    assert Settings(data="faces", arch=arch).start == usual
    assert Settings(data="faces", arch=arch, weights="w.pth").start == "w.pth"
    assert Settings(data="faces", arch=arch, earlier="m.st").start == "m.st"
