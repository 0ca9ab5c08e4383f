"""Groups of samples that stay on one side of a split: of one film or person, or near-duplicates."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Sequence

from emoprune import events
from emoprune.data.types import Catalog, SplitRule
from emoprune.errors import BadData, InvalidRecord, UsageFault
from emoprune.io import patterns

Members = dict[str, list[int]]
"""The indices of samples by their group."""


def groups(names: Sequence[str], pattern: str) -> list[str]:
    """The group of each name: the match of `pattern` in its last component, or of its first parenthesis."""
    try:
        matches = patterns.matches(pattern, [name.rsplit("/", 1)[-1] for name in names])
    except (re.error, OverflowError, RecursionError) as error:
        fact = f"`group_by={pattern}` is not a regular expression ({error})"
        raise UsageFault(fact, "correct it") from error
    except TimeoutError:
        fact = f"`group_by={pattern}` takes too long to match"
        raise UsageFault(fact, "write it with fewer repeats") from None
    lacking = [name for name, group in zip(names, matches, strict=True) if group is None]
    if lacking:
        more = f", as do {len(lacking) - 1:,} others" if len(lacking) > 1 else ""
        raise BadData(f"{lacking[0]} does not match `group_by={pattern}`{more}", "widen the pattern")
    return [group for group in matches if group is not None]


def members(catalog: Catalog, rule: SplitRule) -> Members:
    """The samples of each group, by its name."""
    made = defaultdict[str, list[int]](list)
    for index, group in enumerate(group_names(catalog, rule)):
        made[group].append(index)
    return dict(made)


def group_names(catalog: Catalog, rule: SplitRule) -> list[str]:
    """The group of each sample, by name and by `together`; groups with a common sample are one."""
    count = len(catalog.names)
    if any(group[-1] >= count for group in rule.together):
        raise InvalidRecord(f"its split names samples beyond the {count} that there are", "train again")
    # as wide as any count, so that they sort like numbers
    alone = [f"{index:010d}" for index in range(count)]
    found = alone if rule.group_by is None else groups(catalog.names, rule.group_by)
    part_of: dict[str, str] = {}

    def whole(group: str) -> str:
        while group in part_of:
            group = part_of[group]
        return group

    for indices in rule.together:
        first, *others = sorted({whole(found[index]) for index in indices})
        part_of.update(dict.fromkeys(others, first))
    return [whole(group) for group in found]


def too_few(found: Collection[str], rule: SplitRule, needed: str) -> BadData:
    """The error for fewer groups than are `needed`: it says how many there are, and what to do."""
    if rule.group_by is None:
        return BadData(f"groups made by `split_by`: {len(found)}, fewer than {needed}", "add samples")
    fact = f"groups made by `group_by`: {len(found)}, fewer than {needed}"
    return BadData(fact, "choose a pattern whose match differs from film to film, as '^[^_]+'")


def note_groups(catalog: Catalog, rule: SplitRule) -> None:
    """Warn of a pattern that keeps nothing together."""
    if rule.group_by is None:
        return
    found = set(groups(catalog.names, rule.group_by))
    if len(found) == len(catalog.names):
        events.warn(
            f"{catalog.place}: `group_by={rule.group_by}` makes {len(found):,} groups of one sample each and "
            "keeps nothing together; match what the names of a film or a person share, as '^[^_]+'"
        )
