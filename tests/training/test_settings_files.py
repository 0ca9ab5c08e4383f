"""Settings as TOML: what is read and what is refused; what is written is read again, and trains the same."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import emoprune as ep
from emoprune.data.datasets import open_data
from emoprune.errors import BadSettings
from emoprune.networks import checkpoint
from emoprune.settings import Setting
from emoprune.training import settings_files
from emoprune.training.config import SETTINGS, train_config
from emoprune.training.presets import PRESETS
from emoprune.training.train import train
from tests.support.training import CONV1, trained

NUMBERS = st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False)
VALUES = st.booleans() | NUMBERS | st.text()


@given(
    st.dictionaries(st.sampled_from([*SETTINGS]), VALUES | st.lists(VALUES).map(tuple), min_size=1),
    st.text(st.characters(categories=("L", "N", "P", "Zs"))),
)
def test_what_is_written_is_read_again_also_by_others(values: dict[str, Any], meaning: str) -> None:
    entries = {name: Setting(meaning) for name in values}
    data = settings_files.to_toml(values, entries)
    assert settings_files.parse(data, "x").settings == values
    others = tomllib.loads(data.decode())
    assert {name: tuple(x) if isinstance(x, list) else x for name, x in others.items()} == values
    assert settings_files.to_toml(values, entries) == data


def test_what_is_none_is_left_out_and_every_line_has_its_meaning() -> None:
    data = settings_files.to_toml({"preset": "a", "lr": 1e-5, "size": None, "hidden": (2, 3)}, SETTINGS)
    lr, hidden = SETTINGS["lr"].help, SETTINGS["hidden"].help
    assert data.decode() == f'preset = "a"\n\n# {lr}\nlr = 1e-05\n\n# {hidden}\nhidden = [2, 3]\n'


def test_a_name_that_no_file_of_text_can_hold_is_refused() -> None:
    with pytest.raises(BadSettings, match="UTF-8"):
        settings_files.to_toml({"weights": "\udc80.pth"}, SETTINGS)


def test_settings_stand_alone_or_in_a_table_as_those_of_a_preset(in_folder: Path) -> None:
    Path("flat.toml").write_text("lr = 3e-4\naugment = ['flip', 'rotate:10']\nhidden = [200]\nepochs = 7")
    Path("table.toml").write_text("source = 's'\n[settings]\nlr = 3e-4\nhidden = [200]\nepochs = 7\n")
    for file, augment in (("flat.toml", ("flip", "rotate:10")), ("table.toml", ())):
        found = train_config(config=file)
        assert (found.lr, found.augment, found.hidden, found.epochs) == (3e-4, augment, (200,), 7)
        assert found.given == found.in_file >= {"lr", "hidden", "epochs"}


def test_what_is_given_wins_over_the_file_that_over_its_recipe_and_that_over_its_preset(
    in_folder: Path,
) -> None:
    Path("c.toml").write_text("preset = 'wright2019-ff'\nrecipe = 'modern'\nlr = 1\nepochs = 9\n")
    found = train_config(config="c.toml", epochs=4)
    assert (found.epochs, found.lr, found.optimizer) == (4, 1.0, "adamw")
    assert (found.batch_size, found.preset, found.recipe) == (10, "wright2019-ff", "modern")
    assert found.given == {"epochs", "lr"}
    assert found.in_file == {"lr"}
    assert isinstance(found.lr, float), "as the command line reads it"
    other = train_config("jain2020-conv1", recipe="paper", config="c.toml")
    assert (other.optimizer, other.batch_size, other.lr) == ("adam", 32, 1.0)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("learning_rate = 1", "learning_rate is not a setting of a training; "),
        ("batch-size = 1", "batch-size is not a setting of a training; did you mean batch_size?"),
        ("lr = '3e-4'", "lr=3e-4 is not a number; give one"),
        ("epochs = 2.5", "epochs=2.5 is not a whole number; give one"),
        ("epochs = true", "epochs=True is not a whole number; give one"),
        ("gray = 1", "gray=1 is not true or false; give one"),
        ("size = 48", 'size=48 is not a text; write "48"'),
        ("hidden = ['many']", "hidden=many is not a whole number; give one"),
        ("lr = -1", "lr=-1.0 is out of range; give 0 or more"),
        ("optimizer = 'adan'", "optimizer=adan is unknown; did you mean adam or adamw?"),
        ("preset = 'jain2020-f'", "preset jain2020-f is unknown; did you mean jain2020-ff"),
        ("recipe = 'modem'", "recipe modem is unknown; did you mean modern?"),
        ("data = 'film'", 'data is not "image" or "table"; '),
        ("preset = 3", "preset is not a text; "),
        ("lr = 1\n[settings]\nlr = 2", "lr is there twice; "),
        ("settings = 3", "settings is not a table; "),
        ("[train]\nlr = 1", "train is a table; "),
        ("hidden = [[3]]", "hidden is a list in a list; "),
        ("lr = 2020-01-01", "lr is a date or a time; "),
        (f"epochs = 0x{'f' * 5000}", "epochs is a number of over 64 bits; "),
        (f"epochs = {'9' * 5000}", "not TOML ("),
        (f"x = {'[' * 10_000}", "not TOML ("),
        ("lr", "not TOML ("),
        ("\udcff", "not UTF-8; "),
    ],
    ids=range(24),
)
def test_a_file_that_no_training_can_follow_is_refused_in_one_line(
    in_folder: Path, text: str, says: str
) -> None:
    Path("c.toml").write_text(text, errors="surrogateescape")
    with pytest.raises(BadSettings) as caught:
        train_config(config="c.toml")
    assert str(caught.value).startswith(f"c.toml: {says}")
    assert "\n" not in str(caught.value)


def test_a_file_for_data_of_another_kind_is_refused(small: Path, in_folder: Path) -> None:
    Path("c.toml").write_text("data = 'table'\n[settings]\nlr = 1\n")
    with pytest.raises(Exception, match=r"c\.toml is for a feature table, and this is photos"):
        trained(small, config="c.toml")


TRAININGS: dict[str, dict[str, Any]] = {
    "photos": {**CONV1, "augment": ("flip", "rotate:10"), "split": "60/20/20", "lr": 0.002},
    "defaults of whole numbers": {**CONV1, "lr": 1, "optimizer": "sgd", "weight_decay": 0},
    "a recipe": {**CONV1, "recipe": "modern"},
    "a preset": {"preset": "wright2019-ff", "size": "16", "hidden": (4, 3), "epochs": 1},
    "trained on": {"past": "model", "epochs": 1, "lr": 0.003},
    "trained on with a preset": {"past": "model", "preset": "jain2020-conv1", "epochs": 1},
    "a table": {"arch": "mlp", "epochs": 2, "scale": "standard", "data": "table"},
    "weights of a table": {"arch": "mlp", "hidden": (12, 8), "epochs": 1, "data": "table", "weights": "own"},
    "an svm": {"arch": "svm", "penalty": 3, "data": "table"},
    "a preset without its augmentation": {"preset": "jain2020-conv1", **CONV1, "augment": ()},
}


@pytest.mark.parametrize("name", TRAININGS)
def test_the_settings_of_a_training_train_the_same_again(
    faces: Path, model: Path, table: Path, table_model: Path, in_folder: Path, name: str
) -> None:
    asked = dict(TRAININGS[name])
    data = open_data(table if asked.pop("data", None) else faces)
    past = checkpoint.read(str(model)) if asked.pop("past", None) else None
    if "weights" in asked:
        asked["weights"] = str(table_model)
    first = train(data, train_config(**asked), past=past)
    Path("c.toml").write_bytes(settings_files.to_toml(first.settings, SETTINGS))
    again = train(data, train_config(config="c.toml"), past=past)
    assert checkpoint.to_bytes(again.checkpoint) == checkpoint.to_bytes(first.checkpoint)
    assert again.settings == first.settings


def test_a_file_says_nothing_of_a_network_that_is_given(
    faces: Path, model: Path, in_folder: Path, told: pytest.LogCaptureFixture
) -> None:
    Path("c.toml").write_text("arch = 'conv2'\nhidden = [3]\nepochs = 1\n")
    found = trained(faces, past=model, config="c.toml")
    assert found.spec == checkpoint.read(str(model)).spec
    assert f"c.toml: {model} decides what the network is, not arch, hidden" in told.messages


def test_python_takes_files_and_recipes_and_hears_the_verdict(
    small: Path, in_folder: Path, told: pytest.LogCaptureFixture
) -> None:
    Path("c.toml").write_text("arch = 'conv1'\nsize = '16'\ngray = true\nhidden = [12]\nepochs = 2\n")
    found = ep.train(small, config="c.toml", recipe="modern", epochs=1)
    wanted = trained(small, **CONV1 | {"epochs": 1}, recipe="modern")
    assert checkpoint.to_bytes(found) == checkpoint.to_bytes(wanted)
    assert any(text.startswith("epoch 1 is kept, the last: ") for text in told.messages)


def test_presets_are_read_when_they_are_needed_and_unknown_ones_are_no_keys() -> None:
    assert PRESETS["jain2020-ff"] is PRESETS["jain2020-ff"]
    assert "nosuch" not in PRESETS
    with pytest.raises(KeyError):
        PRESETS["nosuch"]
    assert len(PRESETS) == len(list(PRESETS))
