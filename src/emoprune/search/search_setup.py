"""What a search comes to on its data: spaces, fixed options, a split, all held against what train takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from emoprune import events
from emoprune.data.datasets import Data
from emoprune.data.splits import declared_parts, parse_shares, partition, split_rule
from emoprune.data.types import Catalog, SplitRule
from emoprune.errors import BadData, UsageFault, at
from emoprune.networks.registry import ARCHITECTURES
from emoprune.search.config import (
    DEFAULT_SPLIT,
    EPOCHS,
    USUAL_TRIALS,
    Asked,
    Options,
    check_names,
    parse_fixed,
    searchable,
)
from emoprune.search.sampler import coarse_trials
from emoprune.search.space import Space, Trial, Value, grid_size, on_log_scale, parse_space
from emoprune.training import setup
from emoprune.training.config import Settings
from emoprune.training.presets import PRESETS

FEWEST = 4
"""Trials of a search from coarse to fine: two rounds of two."""


@dataclass(frozen=True)
class Search:
    """A search that can begin; `rounds` are the epochs of its coarse and of its fine trials, if it has any.

    `rule` is how every trial splits the data, `identity` what another process must have asked for to take
    part.
    """

    asked: Asked
    options: Options
    found: Data
    rule: SplitRule
    spaces: tuple[Space, ...]
    total: int
    rounds: tuple[int, int] | None
    label: str
    identity: Mapping[str, str]

    def values(self, number: int, drawn: Mapping[str, Value]) -> dict[str, Value]:
        """What a trial varies, and the epochs of its round."""
        if self.rounds is None:
            return dict(drawn)
        return {**drawn, "epochs": self.rounds[number >= coarse_trials(self.total)]}

    def values_of(self, trial: Trial) -> dict[str, Value]:
        """The same of a trial that has ended."""
        return self.values(trial.number, trial.values)


def set_up(asked: Asked, found: Data) -> Search:
    """The search, with every default filled in; raises UsageFault for what no trial could be run with."""
    # by name, so that the order in which they were written makes no other search
    spaces = tuple(
        sorted((parse_space(text, searchable()) for text in asked.spaces), key=lambda each: each.name)
    )
    fixed = parse_fixed(asked.fixed)
    check_names(spaces, fixed)
    rounds = _rounds(asked, {space.name for space in spaces} | set(fixed))
    _check_steps(asked, spaces)
    total = _total(asked, spaces)
    shares = _shares(asked, found.catalog)
    options = Options(asked.data, _words(asked, shares), fixed)
    settings = _checked(options, spaces, found)
    if rounds is not None and settings.arch == "svm":
        fact = "--sampler coarse-to-fine goes by epochs, and svm is fitted in one go"
        raise UsageFault(fact, "give --sampler random or grid")
    with at(asked.data):
        rule = split_rule(found, settings.split, settings.group_by, settings.split_by, asked.seed)
        partition(found.catalog, rule)
    label = asked.label if asked.label is not None else asked.preset or settings.arch
    identity = {
        "data": found.catalog.fingerprint,
        "--preset": asked.preset or "none",
        **{f"--set {name}": value for name, value in sorted(fixed.items())},
        **{f"--space {space.name}": space.spelled for space in spaces},
        "--sampler": asked.sampler,
        "--seed": str(asked.seed),
        "--split": rule.shares,
        "--group-by": asked.group_by or "nothing",
        "--split-by": asked.split_by or "nothing",
        "--label": label,
    }
    if rounds is not None:
        # what a trial is drawn from and trained for depends on these
        identity |= {
            "--trials": str(total),
            "--coarse-epochs": str(rounds[0]),
            "--fine-epochs": str(rounds[1]),
        }
        spaces = tuple(map(on_log_scale, spaces))
    return Search(asked, options, found, rule, spaces, total, rounds, label, identity)


def _rounds(asked: Asked, names: set[str]) -> tuple[int, int] | None:
    given = (asked.coarse_epochs, asked.fine_epochs)
    if asked.sampler != "coarse-to-fine":
        if given != (None, None):
            option = "--coarse-epochs" if asked.coarse_epochs else "--fine-epochs"
            raise UsageFault(f"{option} is of --sampler coarse-to-fine", "give that, or --set epochs=N")
        return None
    if "epochs" in names:
        raise UsageFault(
            "--sampler coarse-to-fine has epochs of its own", "give --coarse-epochs, --fine-epochs"
        )
    return asked.coarse_epochs or EPOCHS[0], asked.fine_epochs or EPOCHS[1]


def _check_steps(asked: Asked, spaces: tuple[Space, ...]) -> None:
    for space in spaces:
        if space.steps and asked.sampler != "grid":
            raise UsageFault(
                f"--space {space.name}={space.spelled} has steps, and --sampler {asked.sampler} takes none",
                f"leave out :{space.steps}, or give --sampler grid",
            )


def _total(asked: Asked, spaces: tuple[Space, ...]) -> int:
    """How many trials; UsageFault for too few for two rounds."""
    if asked.sampler == "grid":
        size = grid_size(spaces)
        if asked.trials is not None and asked.trials != size:
            done = "all are run" if asked.trials > size else f"the first {asked.trials} are run"
            events.note(f"the grid has {events.counted(size, 'combination')}: {done}")
        return min(size, asked.trials or size)
    total = asked.trials or USUAL_TRIALS
    if asked.sampler == "coarse-to-fine" and total < FEWEST:
        raise UsageFault(f"--trials {total} are too few for two rounds", f"give {FEWEST} or more")
    return total


def _shares(asked: Asked, catalog: Catalog) -> str | None:
    """The split that is asked of train, None for the data's own or the preset's; each with a val part."""
    declared = declared_parts(catalog.names)
    if declared is not None:
        if "val" not in declared:
            raise BadData(
                f"has {', '.join(declared)} but no val, and trials are compared on it",
                "add it, or give train/ alone as the data",
                place=catalog.place,
            )
        return asked.split
    usual = PRESETS[asked.preset].settings.get("split") if asked.preset else None
    if asked.split is None and usual is not None and len(parse_shares(usual)) == 3:
        return None
    if asked.split is not None and len(parse_shares(asked.split)) < 3:
        raise UsageFault(
            f"--split {asked.split} has no val part, and trials are compared on it", f"give {DEFAULT_SPLIT}"
        )
    return asked.split or DEFAULT_SPLIT


def _words(asked: Asked, shares: str | None) -> tuple[str, ...]:
    named = {
        "--preset": asked.preset,
        "--split": shares,
        "--group-by": asked.group_by,
        "--split-by": asked.split_by,
        "--seed": str(asked.seed),
        "--device": asked.device if asked.device != "auto" else None,
    }
    return tuple(word for option, value in named.items() if value is not None for word in (option, value))


def _checked(options: Options, spaces: tuple[Space, ...], found: Data) -> Settings:
    """The settings of one trial, once train has taken every choice and both ends of every range."""
    first = {space.name: _ends(space)[0] for space in spaces}
    settings = options.settings(first)
    if ARCHITECTURES[settings.arch].task != "classify":
        raise UsageFault(
            f"{settings.arch} classifies nothing, and trials are compared by accuracy",
            "search another --arch",
        )
    for space in spaces:
        for value in _ends(space):
            setup.check(options.settings({**first, space.name: value}), found)
    return settings


def _ends(space: Space) -> tuple[Value, ...]:
    if space.kind == "choice":
        return space.choices
    return (int(space.low), int(space.high)) if space.whole else (space.low, space.high)
