"""Reproducible train, val and test parts of a data set."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np

from emoprune import events
from emoprune.choices import PARTS, SplitBy
from emoprune.data import near_duplicates
from emoprune.data.datasets import Data
from emoprune.data.formats.parts import part_of
from emoprune.data.types import FOLDERS, HOW_TO_SPLIT, SHARES, Catalog, SplitRule
from emoprune.errors import BadData, InvalidRecord, UsageFault, at
from emoprune.io import patterns

DEFAULT_SPLIT = "80/20"
Parts = Mapping[str, tuple[int, ...]]


def declared_parts(names: Sequence[str]) -> Parts | None:
    """Indices by part where every name begins with a folder such as train/, val/ or test/, else None."""
    tops = [part_of(name.split("/", 1)[0]) if "/" in name else None for name in names]
    if not tops or None in tops:
        return None
    return {part: tuple(i for i, top in enumerate(tops) if top == part) for part in PARTS if part in tops}


def partition(catalog: Catalog, rule: SplitRule) -> Parts:
    """Indices of each part, in catalog order; the same data and rule give the same parts.

    Without groups, classes are stratified. With groups, whole ones are dealt so that each part comes close
    to its size and class fractions. Raises BadData if a part would lack a class, InvalidRecord for a rule
    that names missing samples.
    """
    if rule.shares == FOLDERS:
        parts = declared_parts(catalog.names)
        if parts is None:
            fact = "is not split into train/, val/ and test/ folders"
            raise BadData(fact, "use the data it was trained on")
    else:
        sizes = part_sizes(rule.shares, len(catalog.names))
        grouped = rule.group_by is not None or rule.together
        parts = _grouped(catalog, sizes, rule) if grouped else _stratified(catalog, sizes, rule.seed)
    for part, indices in parts.items():
        lacking = set(catalog.labels) - {catalog.labels[i] for i in indices}
        if lacking:
            fact = f"its {part} part has no sample of class {catalog.classes[min(lacking)]}"
            raise BadData(fact, "add samples of it, or change `split`, `group_by` or `seed`")
    return parts


def parse_shares(shares: str) -> list[int]:
    """The numbers of "80/20", "75/10/15" or "346/329"; UsageFault for anything else."""
    if not re.fullmatch(SHARES, shares):
        raise UsageFault(f"`split={shares}` is not a split", HOW_TO_SPLIT)
    return [int(number) for number in shares.split("/")]


def part_sizes(shares: str, samples: int) -> dict[str, int]:
    """Samples per part for "80/20" (percent) or "346/329" (counts); train takes what rounding leaves."""
    numbers = parse_shares(shares)
    names = PARTS if len(numbers) == 3 else ("train", "test")
    if sum(numbers) == 100:
        sizes = [round(samples * number / 100) for number in numbers]
        sizes[0] = samples - sum(sizes[1:])
    elif sum(numbers) == samples:
        sizes = numbers
    else:
        fact = f"has {samples} samples, and `split={shares}` adds up to {sum(numbers)}"
        raise BadData(fact, f"give percentages, or counts that add up to {samples}")
    if min(sizes) < 1:
        raise BadData(f"has {samples} samples, too few for `split={shares}`", "add samples")
    return dict(zip(names, sizes, strict=True))


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
    found = []
    for name, group in zip(names, matches, strict=True):
        if group is None:
            raise BadData(f"{name} does not match `group_by={pattern}`", "widen the pattern")
        found.append(group)
    return found


def _groups_of(catalog: Catalog, rule: SplitRule) -> list[str]:
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


def _stratified(catalog: Catalog, sizes: dict[str, int], seed: int) -> Parts:
    # takes a second to import, and only random splits need it
    from sklearn.model_selection import train_test_split

    labels = np.array(catalog.labels)
    rest = np.arange(len(labels))
    parts = {}
    # the last part first: a test part does not move when a validation part is split off the training part
    for part, size in reversed(sizes.items()):
        if len(rest) == size:
            chosen, rest = rest, rest[:0]
        else:
            counts = np.bincount(labels[rest], minlength=len(catalog.classes))
            if 1 in counts:
                lonely = catalog.classes[int(np.flatnonzero(counts == 1)[0])]
                raise BadData(f"class {lonely} has too few samples for every part", "add samples to it")
            if min(size, len(rest) - size) < len(set(catalog.labels)):
                fact = f"its {part} part of {size} cannot hold all {len(catalog.classes)} classes"
                raise BadData(fact, "add samples or change `split`")
            rest, chosen = train_test_split(rest, test_size=size, stratify=labels[rest], random_state=seed)
        parts[part] = tuple(sorted(int(i) for i in chosen))
    return {part: parts[part] for part in sizes}


def _grouped(catalog: Catalog, sizes: Mapping[str, int], rule: SplitRule) -> Parts:
    members: dict[str, list[int]] = defaultdict(list)
    for index, group in enumerate(_groups_of(catalog, rule)):
        members[group].append(index)
    if len(members) < len(sizes):
        by, remedy = ("group_by", "choose another pattern") if rule.group_by else ("split_by", "add samples")
        raise BadData(f"groups made by `{by}`: {len(members)}, fewer than the {len(sizes)} parts", remedy)
    classes = len(catalog.classes)
    wanted = np.bincount(catalog.labels, minlength=classes) / len(catalog.labels)
    missing = {part: size * wanted for part, size in sizes.items()}
    parts: dict[str, list[int]] = {part: [] for part in sizes}
    names = sorted(members)
    for position in np.random.default_rng(rule.seed).permutation(len(names)):
        indices = members[names[position]]
        counts = np.bincount([catalog.labels[i] for i in indices], minlength=classes)
        # the part whose shortfall, relative to its size, shrinks most
        gains = {
            part: (np.square(lack).sum() - np.square(lack - counts).sum()) / sizes[part]
            for part, lack in missing.items()
        }
        part = max(gains, key=gains.__getitem__)
        parts[part] += indices
        missing[part] = missing[part] - counts
    return {part: tuple(sorted(indices)) for part, indices in parts.items()}


def split_rule(
    data: Data, split: str | None, group_by: str | None, split_by: SplitBy | None, seed: int
) -> SplitRule:
    """The rule that a request asks for; UsageFault if the data already comes in parts."""
    catalog = data.catalog
    declared = declared_parts(catalog.names)
    with at(catalog.place):
        if len(set(catalog.labels)) < 2:
            raise BadData(f"holds one class only ({', '.join(catalog.classes)})", "give at least two")
        if declared and (split or group_by or split_by):
            remedy = (
                "leave out `split`, `group_by` and `split_by`, or give one of its parts as the data "
                "(of FER-2013's CSV, its rows without Usage)"
            )
            raise UsageFault(f"is already split into {', '.join(declared)}", remedy)
        if declared and "train" not in declared:
            raise BadData(f"has {', '.join(declared)} but no train", "add it, or give one part as the data")
    if split:
        parse_shares(split)
    shares = FOLDERS if declared else split or DEFAULT_SPLIT
    together = near_duplicates.kept_together(data) if split_by else ()
    return SplitRule(shares, seed, group_by, catalog.fingerprint, together)


def note_split(data: Data, rule: SplitRule, parts: Parts) -> None:
    """Note a random split, and warn of near-duplicates that it separates."""
    folders = rule.shares == FOLDERS
    if not folders and rule.group_by is None:
        events.note("random split; where photos share a film or a person, keep them together with `group_by`")
    if not rule.together:
        # parts that came as folders are the user's to change
        remedy = "keep one side of each" if folders else "keep them together with `split_by=duplicates`"
        near_duplicates.warn_of_separated(data, parts, remedy=remedy)
