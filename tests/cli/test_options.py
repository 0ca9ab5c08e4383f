"""Options that commands share: what they offer, what they refuse."""

from __future__ import annotations

import re
from dataclasses import dataclass

import pytest
import typer
from hypothesis import given, settings
from hypothesis import strategies as st

from emoprune.choices import Merge
from emoprune.cli import options
from emoprune.data.augmentation import AUGMENTATIONS
from emoprune.features.config import TORCHVISION
from emoprune.networks.convnets import CONVNETS
from emoprune.networks.registry import ARCHITECTURES
from emoprune.networks.table_networks import TABLENETS
from emoprune.pruning.methods import METHODS
from emoprune.settings import setting
from tests.support.command_line import Runner


def test_a_known_name_is_handed_on() -> None:
    assert options.one_of(["red", "green"])("red") == "red"


@given(st.text(max_size=8))
@settings(max_examples=50, deadline=None)
def test_an_unknown_name_is_answered_with_known_ones(name: str) -> None:
    known = ("red", "green")
    if name not in known:
        with pytest.raises(typer.BadParameter) as refusal:
            options.one_of(known)(name)
        assert any(word in str(refusal.value) for word in known)


def test_a_near_miss_is_answered_with_the_nearest_alone() -> None:
    with pytest.raises(typer.BadParameter, match="resnet18") as refusal:
        options.one_of(ARCHITECTURES)("resnet_18")
    assert "vgg" not in str(refusal.value)


@given(st.text(alphabet="resnt18_", max_size=4))
@settings(max_examples=50, deadline=None)
def test_completion_offers_exactly_what_begins_so(prefix: str) -> None:
    offered = options.completing(ARCHITECTURES)(prefix)
    assert set(offered) == {name for name in ARCHITECTURES if name.startswith(prefix)}


def test_features_offers_torchvision_alone() -> None:
    assert set(ARCHITECTURES) - set(TORCHVISION) == {*CONVNETS, *TABLENETS, "inception_resnet_v1"}


def test_help_names_every_choice(emoprune: Runner) -> None:
    text = emoprune.done("train", "--help").out
    for name in (*AUGMENTATIONS, "sigmoid", "relu", "tanh", "adam", "sgd", "adamw", "minmax", "standard"):
        assert name in text
    pruning = emoprune.done("prune", "--help").out
    for name in (*METHODS, "lstsq", "sum", "half", "range", "mean"):
        assert name in pruning


def test_each_option_of_train_stands_once_under_a_heading(emoprune: Runner) -> None:
    text = emoprune.done("train", "--help").out
    named = re.findall(r"^  (--[a-z-]+|-h)", text, re.MULTILINE)
    assert len(named) == len(set(named)) > 60
    others = text.partition("\nOther options:\n")[2].partition("\n\n")[0]
    assert re.findall(r"^  (-\S+)", others, re.MULTILINE) == ["-h,"]
    assert (
        text.index("\nNetwork:\n")
        < text.index("  --arch ")
        < text.index("\nSteps:\n")
        < text.index("  --lr ")
    )


def test_help_shows_defaults(emoprune: Runner) -> None:
    text = " ".join(emoprune.done("train", "--help").out.split())
    for default in ("50", "32", "conv2", "adam", "sigmoid", "minmax"):
        assert re.search(rf"\[default: {default}[;\]]", text)


def test_a_list_of_known_names_is_handed_on() -> None:
    assert options.list_of(["red", "green"])("green,red") == "green,red"


@pytest.mark.parametrize(
    ("text", "says"), [("red,blu", "'blu'"), ("", "''"), ("red,red", "red is there twice")]
)
def test_a_list_with_an_unknown_name_or_one_twice_is_refused(text: str, says: str) -> None:
    with pytest.raises(typer.BadParameter, match=says):
        options.list_of(["red", "green"])(text)


def test_completion_of_a_list_goes_on_after_its_last_comma() -> None:
    complete = options.completing_list(["red", "rose", "green"])
    assert complete("r") == ["red", "rose"]
    assert complete("green,r") == ["green,red", "green,rose"]
    assert complete("red,") == ["red,rose", "red,green"]


@dataclass(frozen=True)
class Config:
    """Settings of every kind."""

    share: float | None = setting(None, "A share.", metavar="FRACTION")
    widths: tuple[int, ...] = setting((), "Widths.", low=1, default_text="its own")
    name: str = setting("a", "A name.", names=("a", "ab"))
    gray: bool = setting(False, "Gray.", option="--gray/--color")
    whole: bool = setting(False, "A flag.")
    merge: Merge = setting("lstsq", "A choice.")
    inner: int = 0


def given_by(*argv: str) -> options.Given:
    app, found = typer.Typer(), list[options.Given]()

    @app.command()
    @options.with_settings(Config)
    def command(place: str, given: options.Given, force: bool = False) -> None:
        found.append(given)

    assert app(args=["here", *argv], standalone_mode=False) in (0, None)
    return found[0]


def test_settings_are_options_with_their_defaults() -> None:
    found = given_by()
    assert Config(**found.values) == Config()
    assert not found.written


def test_options_set_settings_and_tell_which_were_written() -> None:
    found = given_by(
        "--widths", "3", "--widths", "4", "--gray", "--share", "0.5", "--merge", "sum", "--force"
    )
    assert Config(**found.values) == Config(0.5, (3, 4), gray=True, merge="sum")
    assert found.written == {"widths", "gray", "share", "merge"}


@pytest.mark.parametrize(
    "argv",
    [("--share", "50"), ("--widths", "0"), ("--name", "b"), ("--merge", "none"), ("--inner", "1")],
)
def test_what_a_setting_does_not_take_is_refused(argv: tuple[str, ...]) -> None:
    with pytest.raises(typer.TyperException):
        given_by(*argv)
