"""What a search is asked for, which settings of a training vary in it, and how their values are written."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from emoprune.choices import DeviceName, Sampler, SplitBy
from emoprune.errors import UsageFault
from emoprune.io.key_values import keyed, number_or_text
from emoprune.search.space import Space, Value, check_name
from emoprune.settings import check_limits, like, setting
from emoprune.training.config import HINTS, OF_THE_SPLIT, SETTINGS, TrainConfig
from emoprune.training.presets import PRESETS

LAYERS = "layers"
"""How many hidden layers of the same width; a training is given each width."""
OF_THE_SEARCH = OF_THE_SPLIT | {"overfit", "seed", "device", "new_classes"}
"""Settings that are the same in all trials, or that no trial can have."""
FLAG = "gray"
FIXED_ONLY = frozenset((FLAG, "mean", "std", "classes", "arch_args"))
"""Settings whose values are not single words in a list of choices."""
DEEP, JOINED = ("hidden", "channels"), "augment"
"""Settings of several values, written with a plus between them."""
MOST_LAYERS = 100
USUAL_TRIALS = 20
DEFAULT_SPLIT = "60/20/20"
EPOCHS = (2, 10)
"""Of coarse and of fine trials (wright2019, section 5.1: "1 or 2 epochs" and "5 to 10")."""


def _type_of(hint: Any) -> type:
    """int, float or str, whichever the annotation holds."""
    return next((kind for kind in (int, float) if kind in (hint, *get_args(hint))), str)


FIXABLE = {name: _type_of(HINTS[name]) for name in SETTINGS if name not in OF_THE_SEARCH} | {LAYERS: int}
"""Settings that may be fixed for all trials, with the type of their values."""
SEARCHABLE = {name: kind for name, kind in FIXABLE.items() if name not in FIXED_ONLY}
"""Settings that may vary."""


@dataclass(frozen=True, kw_only=True)
class SearchConfig:
    """What a search is asked for; `space` and `fixed` as they are written, NAME=VALUES and NAME=VALUE."""

    space: tuple[str, ...] = setting(
        (),
        "What varies, and how, as below; repeat it. Names are options of train: lr, batch_size, hidden, "
        "dropout, optimizer and others, and layers.",
        metavar="NAME=VALUES",
        offered=[f"{name}=" for name in SEARCHABLE],
    )
    preset: str | None = setting(
        None,
        "Defaults of all other options of train, as a paper has them; see emoprune train.",
        metavar="NAME",
        names=PRESETS,
    )
    fixed: tuple[str, ...] = setting(
        (),
        "An option of train that is the same in all trials, as epochs=5; may be repeated.",
        metavar="NAME=VALUE",
        offered=[f"{name}=" for name in FIXABLE],
        option="--set",
    )
    sampler: Sampler = setting(
        "random",
        "grid: all combinations, in order. coarse-to-fine: half of the trials for a few epochs, even in the "
        "logarithm, the others longer, around the best of those.",
    )
    trials: int | None = setting(
        None,
        "How many in all, by all processes, failed ones too.",
        metavar="N",
        low=1,
        default_text=f"{USUAL_TRIALS}; all of a grid",
    )
    coarse_epochs: int | None = setting(
        None, "Of the first half.", metavar="N", low=1, default_text=str(EPOCHS[0])
    )
    fine_epochs: int | None = setting(
        None, "Of the second half.", metavar="N", low=1, default_text=str(EPOCHS[1])
    )
    split: str | None = setting(
        None,
        "Train/val/test, in percent or counts; 80/20/0 has no test part. Trials are compared on val, and "
        "test is not measured.",
        metavar="75/10/15",
        default_text=f"the data's own folders, else the preset's with a val part, else {DEFAULT_SPLIT}",
    )
    split_file: str | None = like(TrainConfig, "split_file")
    group_by: str | None = like(TrainConfig, "group_by")
    split_by: SplitBy | None = like(TrainConfig, "split_by")
    seed: int = like(TrainConfig, "seed")
    device: DeviceName = like(TrainConfig, "device")
    label: str | None = None

    def __post_init__(self) -> None:
        check_limits(self)


def parse_fixed(texts: Iterable[str]) -> dict[str, str]:
    """The fixed values by name; UsageFault for a name that is unknown, given twice or without value."""
    found = keyed("`fixed`", texts)
    for name in found:
        check_name("fixed", name, FIXABLE)
    return found


def check_names(spaces: Sequence[Space], fixed: Mapping[str, str]) -> None:
    """Raise UsageFault for no space, for a name given twice, or for layers without a width."""
    names = [space.name for space in spaces]
    if not names:
        raise UsageFault("nothing to search: no `space` is given", "write one as lr=log:1e-4:1e-1")
    for name in names:
        if names.count(name) > 1:
            raise UsageFault(f"`space={name}` is given twice", "give it once")
        if name in fixed:
            raise UsageFault(f"{name} is both searched and `fixed`", "leave out one of them")
    if LAYERS in {*names, *fixed} and "hidden" not in {*names, *fixed}:
        raise UsageFault("layers without a width", "add `space=hidden=...` or `fixed=hidden=N`")


def trial_settings(values: Mapping[str, Value]) -> dict[str, Any]:
    """The settings of a training that the values of a trial stand for; UsageFault for one that is not."""
    layers = values.get(LAYERS)
    return {name: _setting(name, str(value), layers) for name, value in values.items() if name != LAYERS}


def _setting(name: str, text: str, layers: Value | None) -> Any:
    if name == FLAG:
        if text not in ("yes", "no"):
            raise UsageFault(f"`fixed={name}={text}` is neither yes nor no", "write yes or no")
        return text == "yes"
    if name == JOINED:
        return (text.replace("+", ","),)
    if name == "hidden" and layers is not None:
        return _stacked(text, str(layers))
    if name in DEEP:
        return tuple(_number(name, part, int) for part in text.split("+"))
    return text if FIXABLE[name] is str else _number(name, text, FIXABLE[name])


def _number(name: str, text: str, kind: type) -> int | float:
    value = number_or_text(text)
    if isinstance(value, str) or (kind is int and isinstance(value, float)):
        raise UsageFault(f"`{name}={text}` is not a{' whole' if kind is int else ''} number", "give one")
    return value if kind is int else float(value)


def _stacked(width: str, layers: str) -> tuple[int | float, ...]:
    if "+" in width:
        fact = f"hidden={width} names each layer, and layers={layers} counts them"
        raise UsageFault(fact, "give one of them")
    if not layers.isdecimal() or not 1 <= int(layers[:9]) <= MOST_LAYERS:
        raise UsageFault(f"layers={layers} is not a number of layers", f"give 1 to {MOST_LAYERS}")
    return (_number("hidden", width, int),) * int(layers)
