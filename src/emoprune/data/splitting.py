"""What the options that split a data set mean together, for every command that fits something to a part."""

from __future__ import annotations

from emoprune.choices import SplitBy
from emoprune.cli import output
from emoprune.data import near_duplicates
from emoprune.data.datasets import Data
from emoprune.data.splits import Parts, declared_parts, parse_shares
from emoprune.data.types import FOLDERS, SplitRule
from emoprune.errors import BadData, UsageFault

DEFAULT_SPLIT = "80/20"


def split_rule(
    data: Data, split: str | None, group_by: str | None, split_by: SplitBy | None, seed: int
) -> SplitRule:
    """The rule that the options ask for; UsageFault where they contradict data that is split already."""
    catalogue = data.catalogue
    declared = declared_parts(catalogue.names)
    if len(set(catalogue.labels)) < 2:
        raise BadData(
            f"holds one class only ({', '.join(catalogue.classes)})",
            "give at least two",
            place=catalogue.place,
        )
    if declared and (split or group_by or split_by):
        raise UsageFault(
            f"{catalogue.place} is split into {', '.join(declared)} already",
            "leave out --split, --group-by and --split-by, or give one of its parts as the data "
            "(of FER-2013's CSV, its rows without Usage)",
        )
    if declared and "train" not in declared:
        raise BadData(
            f"has {', '.join(declared)} but no train",
            "add it, or give one part as the data",
            place=catalogue.place,
        )
    if split:
        parse_shares(split)
    shares = FOLDERS if declared else split or DEFAULT_SPLIT
    together = near_duplicates.kept_together(data) if split_by else ()
    return SplitRule(shares, seed, group_by, catalogue.fingerprint, together)


def tell_split(data: Data, rule: SplitRule, parts: Parts) -> None:
    """Say what a split does to photos that belong together."""
    if rule.shares != FOLDERS and rule.group_by is None:
        output.note("random split; where photos share a film or a person, keep them together with --group-by")
    if not rule.together:
        # whoever made the folders can mend them; we cannot
        ours = rule.shares != FOLDERS
        remedy = "keep them together with --split-by duplicates" if ours else "keep one side of each"
        near_duplicates.tell_torn(data, parts, remedy=remedy)
