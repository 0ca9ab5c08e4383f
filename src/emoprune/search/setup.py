"""What a search comes to on its data: every default filled in, every value checked against a training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from emoprune import events
from emoprune.data.config import SplitConfig
from emoprune.data.datasets import Data
from emoprune.data.formats.parts import declared_parts
from emoprune.data.splits import parse_shares, partition, split_rule
from emoprune.data.types import Catalog, SplitRule
from emoprune.errors import BadData, UsageFault, at
from emoprune.networks.registry import architecture
from emoprune.search.config import (
    DEFAULT_SPLIT,
    EPOCHS,
    SEARCHABLE,
    USUAL_TRIALS,
    SearchConfig,
    check_names,
    parse_fixed,
    trial_settings,
)
from emoprune.search.sampler import coarse_trials
from emoprune.search.space import Space, Value, grid_size, on_log_scale, parse_space
from emoprune.training import setup
from emoprune.training.config import OF_THE_SPLIT, TrainConfig, train_config
from emoprune.training.presets import PRESETS

FEWEST = 4
"""Trials of a search from coarse to fine: two rounds of two."""


@dataclass(frozen=True)
class Plan:
    """A search that can begin, with every default of `config` filled in.

    `rule` is how every trial splits the data, `rounds` the epochs of coarse and of fine trials if there are
    such. `identity` is what all processes of one search have in common.
    """

    data: Data
    config: SearchConfig
    fixed: Mapping[str, str]
    spaces: tuple[Space, ...]
    rule: SplitRule
    total: int
    rounds: tuple[int, int] | None
    label: str
    identity: Mapping[str, str]

    def values(self, number: int, drawn: Mapping[str, Value]) -> dict[str, Value]:
        """What a trial varies, and the epochs of its round."""
        if self.rounds is None:
            return dict(drawn)
        return {**drawn, "epochs": self.rounds[number >= coarse_trials(self.total)]}

    def train_config(self, values: Mapping[str, Value]) -> TrainConfig:
        """The training of a trial with these values."""
        return _train_config(self.config, {**self.fixed, **values})


def _train_config(config: SearchConfig, values: Mapping[str, Value]) -> TrainConfig:
    shared = {name: getattr(config, name) for name in (*OF_THE_SPLIT, "seed", "device")}
    given = {name: value for name, value in shared.items() if value not in (None, "auto")}
    return train_config(config.preset, **given, **trial_settings(values))


def prepare(data: Data, config: SearchConfig) -> Plan:
    """The search that `config` asks for on `data`; UsageFault for values that no training can have."""
    # sorted by name, as the order in which they were written does not matter
    parsed = [parse_space(text, SEARCHABLE) for text in config.space]
    spaces, fixed = tuple(sorted(parsed, key=lambda space: space.name)), parse_fixed(config.fixed)
    check_names(spaces, fixed)
    rounds = _rounds(config, {*fixed, *(space.name for space in spaces)})
    total = _total(config, spaces)
    config = replace(config, split=_shares(config, data.catalog))
    first = _checked(data, config, fixed, spaces)
    if rounds is not None and first.arch == "svm":
        fact = "`sampler=coarse-to-fine` varies epochs, and svm is fitted in one go"
        raise UsageFault(fact, "give `sampler=random` or `sampler=grid`")
    with at(data.catalog.place):
        asked = SplitConfig.of(first)
        if config.split_file:
            # of a preset
            asked = replace(asked, split=config.split)
        rule = split_rule(data, asked, config.seed)
        if "val" not in partition(data.catalog, rule):
            fact = "has no val part by `split_file`, and trials are compared on it"
            raise BadData(fact, "name the part of some samples val")
    label = config.label if config.label is not None else config.preset or first.network
    identity = {
        "data": data.catalog.fingerprint,
        "preset": config.preset or "none",
        **{f"fixed {name}": value for name, value in sorted(fixed.items())},
        **{f"space {space.name}": space.spelled for space in spaces},
        "sampler": config.sampler,
        "seed": str(config.seed),
        "split": rule.assigned or rule.shares,
        "group_by": config.group_by or "nothing",
        "split_by": config.split_by or "nothing",
        "label": label,
    }
    if rounds is not None:
        # values and epochs of a trial depend on these
        identity |= {"trials": str(total), "coarse_epochs": str(rounds[0]), "fine_epochs": str(rounds[1])}
        spaces = tuple(map(on_log_scale, spaces))
    return Plan(data, config, fixed, spaces, rule, total, rounds, label, identity)


def _rounds(config: SearchConfig, names: set[str]) -> tuple[int, int] | None:
    given = (config.coarse_epochs, config.fine_epochs)
    if config.sampler != "coarse-to-fine":
        if given != (None, None):
            name = "coarse_epochs" if config.coarse_epochs else "fine_epochs"
            raise UsageFault(f"`{name}` is of `sampler=coarse-to-fine`", "give that, or `fixed=epochs=N`")
        return None
    if "epochs" in names:
        fact = "`sampler=coarse-to-fine` has epochs of its own"
        raise UsageFault(fact, "give `coarse_epochs`, `fine_epochs`")
    return config.coarse_epochs or EPOCHS[0], config.fine_epochs or EPOCHS[1]


def _total(config: SearchConfig, spaces: tuple[Space, ...]) -> int:
    """How many trials; UsageFault for too few for two rounds, and for steps that only a grid takes."""
    if config.sampler == "grid":
        size = grid_size(spaces)
        if config.trials is not None and config.trials != size:
            done = "all are run" if config.trials > size else f"the first {config.trials} are run"
            events.note(f"the grid has {events.counted(size, 'combination')}: {done}")
        return min(size, config.trials or size)
    for space in [each for each in spaces if each.steps]:
        fact = f"`space={space.name}={space.spelled}` has steps, and `sampler={config.sampler}` takes none"
        raise UsageFault(fact, f"leave out :{space.steps}, or give `sampler=grid`")
    total = config.trials or USUAL_TRIALS
    if config.sampler == "coarse-to-fine" and total < FEWEST:
        raise UsageFault(f"`trials={total}` are too few for two rounds", f"give {FEWEST} or more")
    return total


def _shares(config: SearchConfig, catalog: Catalog) -> str | None:
    """The split that trainings are given, None for the data's own or the preset's; each with a val part."""
    if config.split_file:
        return config.split
    declared = declared_parts(catalog.names)
    if declared is not None:
        if "val" not in declared:
            fact = f"has {', '.join(declared)} but no val, and trials are compared on it"
            alone = f", or give its train part alone, as {catalog.place}:train" if "train" in declared else ""
            raise BadData(fact, f"add it{alone}", place=catalog.place)
        return config.split
    if config.split is not None and len(parse_shares(config.split)) < 3:
        fact = f"`split={config.split}` has no val part, and trials are compared on it"
        raise UsageFault(fact, f"give {DEFAULT_SPLIT}")
    usual = PRESETS[config.preset].settings.get("split") if config.preset else None
    return config.split or (None if usual and len(parse_shares(usual)) == 3 else DEFAULT_SPLIT)


def _checked(
    data: Data, config: SearchConfig, fixed: Mapping[str, str], spaces: tuple[Space, ...]
) -> TrainConfig:
    """The training of one trial, once every choice and both ends of every range are checked."""
    first: dict[str, Value] = {**fixed, **{space.name: _ends(space)[0] for space in spaces}}
    made = setup.for_data(data, _train_config(config, first))
    if architecture(made.network).task != "classify":
        fact = f"{made.network} does not classify, and trials are compared by accuracy"
        raise UsageFault(fact, "search another `arch`")
    for space in spaces:
        for value in _ends(space):
            setup.check(data, _train_config(config, {**first, space.name: value}))
    return made


def _ends(space: Space) -> tuple[Value, ...]:
    if space.kind == "choice":
        return space.choices
    return (int(space.low), int(space.high)) if space.whole else (space.low, space.high)
