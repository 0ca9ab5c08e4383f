"""Recipes say how to train, and nothing of what is trained, on what, or from which seed."""

from __future__ import annotations

from pathlib import Path

import pytest

from emoprune.training.config import OF_THE_NETWORK, OF_THE_SPLIT, SETTINGS, TrainConfig, train_config
from emoprune.training.presets import PRESETS
from emoprune.training.recipes import RECIPES
from tests.support.training import CONV1, refusal, trained


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_sets_nothing_of_the_network_the_data_or_the_seed(name: str) -> None:
    others = OF_THE_NETWORK | OF_THE_SPLIT | {"seed", "overfit", "device", "memory", "statistics", "preset"}
    assert RECIPES[name].settings.keys() <= SETTINGS.keys() - others
    assert RECIPES[name].preset is None


def test_paper_is_a_preset_alone_or_the_defaults() -> None:
    for preset in (None, *PRESETS):
        found, wanted = train_config(preset, recipe="paper"), train_config(preset)
        assert all(getattr(found, name) == getattr(wanted, name) for name in SETTINGS)


@pytest.mark.parametrize("preset", [None, "jain2020-conv2", "wright2019-ff"])
def test_modern_changes_a_preset_and_what_is_given_changes_modern(preset: str | None) -> None:
    found = train_config(preset, recipe="modern", weight_decay=0.5)
    for name in SETTINGS:
        base = getattr(train_config(preset), name)
        wanted = 0.5 if name == "weight_decay" else RECIPES["modern"].settings.get(name, base)
        assert getattr(found, name) == wanted, name
    assert found.recipe == "modern"
    assert found.given == {"weight_decay"}


def test_modern_trains_photos_and_is_recorded(small: Path) -> None:
    parameters = trained(small, **CONV1, recipe="modern").history[-1].parameters
    assert (parameters["recipe"], parameters["optimizer"]) == ("modern", "adamw")
    assert parameters["augment"]


def test_modern_trains_a_table_without_what_is_of_photos(table: Path, told: pytest.LogCaptureFixture) -> None:
    parameters = trained(table, arch="mlp", epochs=1, recipe="modern").history[-1].parameters
    assert (parameters["optimizer"], parameters["augment"]) == ("adamw", {})
    assert "`augment` changes photos, and is left out for a feature table" in told.messages


def test_an_svm_has_no_recipe(table: Path) -> None:
    assert "ignores `recipe`" in refusal(table, arch="svm", recipe="modern")


def test_defaults_of_the_class_are_those_of_no_recipe() -> None:
    assert TrainConfig().recipe is None
