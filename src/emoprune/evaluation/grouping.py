"""The groups of the samples that are scored: of one film or person, alike and not independent."""

from __future__ import annotations

from dataclasses import replace

from emoprune import events
from emoprune.data import groups
from emoprune.data.types import SplitRule
from emoprune.errors import at
from emoprune.evaluation.model import ChosenPart


def sample_groups(chosen: ChosenPart, rule: SplitRule, group_by: str | None) -> tuple[str, ...] | None:
    """The group of each chosen sample, by `group_by` or by that of the split `rule`; None where it has none.

    That of the rule is for the data that it splits; of other data a note says that groups are not known.
    Near-duplicates that the rule keeps together are of one group. Raises BadData for names without a match
    and, if `group_by` is given, for one group; UsageFault for what is not a regular expression.
    """
    place = chosen.catalog.place
    if group_by is None and rule.group_by is None:
        return None
    if group_by is None and not chosen.own:
        events.note(f"{place}: intervals take its samples for independent; `group_by` says which are not")
        return None
    asked = replace(rule, group_by=group_by or rule.group_by, together=rule.together if chosen.own else ())
    with at(place):
        names = groups.group_names(chosen.catalog, asked)
        found = tuple(names[index] for index in chosen.places.tolist())
        one = len(set(found)) == 1
        if group_by is not None:
            groups.note_groups(chosen.catalog, asked)
            if one:
                raise groups.too_few(set(found), asked, "the 2 of an interval")
    if one:
        events.note(f"{place}: its {chosen.name} part is one group, which gives scores no intervals by group")
    return found
