"""What a trial of emoprune search asks emoprune train for: options as words, and what may vary."""

from __future__ import annotations

import types
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, get_args, get_origin, get_type_hints

import typer

from emoprune.choices import DeviceName, Sampler, SplitBy
from emoprune.cli import train
from emoprune.cli import train_options as own
from emoprune.errors import UsageFault
from emoprune.io.key_values import keyed
from emoprune.search.space import Space, Value, check_name
from emoprune.training.config import Settings, settings_of

LAYERS = "layers"
"""How many hidden layers of the same width: no option of train, which is told each width."""
OF_THE_SEARCH = frozenset(
    ("data", "preset", "given", "earlier", "overfit", "seed", "device", "split", "group_by", "split_by")
)
"""Settings that are the same in all trials, or that no trial can have."""
FLAG, FLAG_VALUES = "gray", ("yes", "no")
FIXED_ONLY = frozenset((FLAG, "mean", "std"))
"""Settings whose values are no words of their own in a list of choices."""
DEEP, JOINED = ("hidden", "channels"), "augment"
"""Options that take several values, written with a plus between them."""
MOST_LAYERS = 100
USUAL_TRIALS = 20
DEFAULT_SPLIT = "60/20/20"
EPOCHS = (2, 10)
"""Of coarse and of fine trials (wright2019, section 5.1: "1 or 2 epochs" and "5 to 10")."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What a search is asked for, as it was written; None is what was not."""

    data: str
    spaces: tuple[str, ...]
    preset: str | None
    fixed: tuple[str, ...]
    sampler: Sampler
    trials: int | None
    coarse_epochs: int | None
    fine_epochs: int | None
    split: str | None
    group_by: str | None
    split_by: SplitBy | None
    label: str | None
    seed: int
    device: DeviceName


def _type_of(hint: Any) -> type:
    """int, float or str, whatever of them the annotation holds."""
    kinds = {int: int, float: float}
    parts = get_args(hint) if get_origin(hint) in (tuple, types.UnionType) else (hint,)
    return next((kinds[part] for part in parts if part in kinds), str)


def fixable() -> dict[str, type]:
    """Every name that --set takes, with the type of its values."""
    hints = get_type_hints(Settings)
    return {name: _type_of(hint) for name, hint in hints.items() if name not in OF_THE_SEARCH} | {LAYERS: int}


def searchable() -> dict[str, type]:
    """Every name that --space takes, with the type of its values."""
    return {name: kind for name, kind in fixable().items() if name not in FIXED_ONLY}


def parse_fixed(texts: Iterable[str]) -> dict[str, str]:
    """The options after --set by name; UsageFault for one that is unknown, given twice or without value."""
    found = keyed("--set", texts)
    for name in found:
        check_name("--set", name, fixable())
    return found


def check_names(spaces: Sequence[Space], fixed: Mapping[str, str]) -> None:
    """Raise UsageFault for a name that is there twice, or layers without a width."""
    names = [space.name for space in spaces]
    for name in names:
        if names.count(name) > 1:
            raise UsageFault(f"--space {name} is given twice", "give it once")
        if name in fixed:
            raise UsageFault(f"{name} is both searched and --set", "leave out one of them")
    if LAYERS in {*names, *fixed} and "hidden" not in {*names, *fixed}:
        raise UsageFault(
            "layers are of a width, and none is given", "add --space hidden=... or --set hidden=N"
        )


@cache
def _train() -> Any:
    app = typer.Typer()
    app.command()(train.command)
    return typer.main.get_command(app)


@dataclass(frozen=True)
class Options:
    """The words of `emoprune train` that all trials share, after those of its preset; `fixed` by name."""

    data: str
    words: tuple[str, ...]
    fixed: Mapping[str, str]

    def line(self, values: Mapping[str, Value], model: str) -> list[str]:
        """The whole command line of one trial, which writes `model`."""
        return ["emoprune", "train", self.data, model, *self.words, *_spelled({**self.fixed, **values})]

    def settings(self, values: Mapping[str, Value]) -> Settings:
        """What train makes of that line; raises what train does for a value that it does not take."""
        _, _, *rest = self.line(values, "model.st")
        with _train().make_context("emoprune train", rest) as context:
            return settings_of(context.params, own.given(context))


def _spelled(values: Mapping[str, Value]) -> list[str]:
    """The values as options of train, in the order of its settings."""
    found = []
    for name in fixable():
        if name in values and name != LAYERS:
            found += _words(name, str(values[name]), values.get(LAYERS))
    return found


def _words(name: str, value: str, layers: Value | None) -> list[str]:
    if name == FLAG:
        if value not in FLAG_VALUES:
            raise UsageFault(f"--set {name}={value}: neither yes nor no", "write yes or no")
        return ["--gray" if value == "yes" else "--color"]
    if name == JOINED:
        return own.words(name, value.replace("+", ","))
    if name not in DEEP:
        return own.words(name, value)
    widths = tuple(value.split("+"))
    if name == "hidden" and layers is not None:
        widths = _stacked(value, str(layers))
    return own.words(name, widths)


def _stacked(width: str, layers: str) -> tuple[str, ...]:
    if "+" in width:
        raise UsageFault(
            f"hidden={width} names each layer, and layers={layers} counts them", "give one of them"
        )
    if not layers.isdecimal() or not 1 <= int(layers[:9]) <= MOST_LAYERS:
        raise UsageFault(f"layers={layers} is no number of layers", f"give 1 to {MOST_LAYERS}")
    return (width,) * int(layers)
