"""Reproducible train, val and test parts of a data set."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from emoprune import events
from emoprune.choices import PARTS
from emoprune.data import groups, near_duplicates, split_files
from emoprune.data.config import SplitConfig
from emoprune.data.datasets import Data
from emoprune.data.folds import folds
from emoprune.data.formats.parts import Parts, declared_parts
from emoprune.data.types import FILE, FOLDERS, HOW_TO_SPLIT, SHARES, WHOLE, Catalog, SplitRule
from emoprune.errors import BadData, UsageFault, at

DEFAULT_SPLIT = "80/20"


def partition(catalog: Catalog, rule: SplitRule) -> Parts:
    """Indices of each part, in catalog order; the same data and rule give the same parts.

    Without groups, classes are stratified. With groups, whole ones are dealt so that each part comes close
    to its size and class fractions. A fold of what is not test is val, and the others are train. Raises
    BadData if a part would lack a class, InvalidRecord for a rule that names missing samples.
    """
    parts = _parts(catalog, rule)
    if rule.fold is not None:
        pool = sorted(index for part, indices in parts.items() if part != "test" for index in indices)
        val = folds(catalog, pool, rule)[rule.fold[0] - 1]
        train = tuple(sorted(set(pool) - set(val)))
        parts = {"train": train, "val": val, **{name: parts[name] for name in ("test",) if name in parts}}
    for part, indices in parts.items():
        lacking = set(catalog.labels) - {catalog.labels[i] for i in indices}
        if lacking:
            more = f" nor of {events.counted(len(lacking) - 1, 'other')}" if len(lacking) > 1 else ""
            fact = f"its {part} part has no sample of class {catalog.classes[min(lacking)]}{more}"
            change = "`split_file`" if rule.shares == FILE else "`split`, `group_by` or `seed`"
            raise BadData(fact, f"add samples of it, or change {change}")
    return parts


def _parts(catalog: Catalog, rule: SplitRule) -> Parts:
    """The parts before any folds."""
    if rule.shares == WHOLE:
        return {"train": tuple(range(len(catalog.names)))}
    if rule.shares == FOLDERS:
        parts = declared_parts(catalog.names)
        if parts is None:
            fact = "is not split into train/, val/ and test/ folders"
            raise BadData(fact, "use the data it was trained on")
        return parts
    grouped = rule.group_by is not None or rule.together
    if rule.assigned is not None:
        parts = split_files.unpacked(rule.assigned, len(catalog.names))
        if grouped:
            _check_groups(catalog, parts, rule)
        return parts
    sizes = part_sizes(rule.shares, len(catalog.names))
    return _grouped(catalog, sizes, rule) if grouped else _stratified(catalog, sizes, rule.seed)


def _check_groups(catalog: Catalog, parts: Parts, rule: SplitRule) -> None:
    """Raise BadData for a group on both sides of a split that was given."""
    part_of = {index: part for part, indices in parts.items() for index in indices}
    apart = list[tuple[str, int, int]]()
    for group, indices in groups.members(catalog, rule).items():
        others = [index for index in indices if part_of[index] != part_of[indices[0]]]
        if others:
            apart.append((group, indices[0], others[0]))
    if apart:
        group, first, other = apart[0]
        one, two = (f"{catalog.names[index]} in {part_of[index]}" for index in (first, other))
        named = f"group {group}" if rule.group_by is not None else "a group of near-duplicates"
        fact = f"{named} is on both sides of `split_file`, with {one} and {two}"
        if len(apart) > 1:
            fact += f" (the first of {len(apart):,} such groups)"
        remedy = "correct the file, or leave out `group_by` and `split_by`"
        raise BadData(fact, remedy)


def parse_shares(shares: str) -> list[int]:
    """The numbers of "80/20", "75/10/15", "80/20/0" or "346/329"; UsageFault for anything else."""
    if shares in PARTS:
        why = ", which is kept for eval" if shares == "test" else ""
        fact = f"`split={shares}` names the {shares} part{why}, and not how to split"
        raise UsageFault(fact, f"{HOW_TO_SPLIT}; one part of data is given as faces/:train")
    if not re.fullmatch(SHARES, shares):
        raise UsageFault(f"`split={shares}` is not a split", HOW_TO_SPLIT)
    return [int(number) for number in shares.split("/")]


def part_sizes(shares: str, samples: int) -> dict[str, int]:
    """Samples per part for "80/20" (percent) or "346/329" (counts); train takes what rounding leaves.

    A third number of 0 means no test part.
    """
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
    made = {name: size for name, size, number in zip(names, sizes, numbers, strict=True) if number}
    if min(made.values()) < 1:
        raise BadData(f"has {samples} samples, too few for `split={shares}`", "add samples")
    return made


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
                lonely = int(np.flatnonzero(counts == 1)[0])
                held = events.counted(catalog.labels.count(lonely), "sample")
                fact = f"class {catalog.classes[lonely]} has {held}, too few for {len(sizes)} parts"
                raise BadData(fact, "add samples to it, or remove it")
            if min(size, len(rest) - size) < len(set(catalog.labels)):
                fact = f"its {part} part of {size} cannot hold all {len(catalog.classes)} classes"
                raise BadData(fact, "add samples or change `split`")
            rest, chosen = train_test_split(rest, test_size=size, stratify=labels[rest], random_state=seed)
        parts[part] = tuple(sorted(int(i) for i in chosen))
    return {part: parts[part] for part in sizes}


def _grouped(catalog: Catalog, sizes: Mapping[str, int], rule: SplitRule) -> Parts:
    members = groups.members(catalog, rule)
    if len(members) < len(sizes):
        raise groups.too_few(members, rule, f"the {len(sizes)} parts")
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


def check_not_test(data: Data) -> None:
    """Raise UsageFault for what was opened as a test part: nothing but an evaluation may read it."""
    if data.part is not None and data.part.name == "test":
        whole = data.part.whole.place
        raise UsageFault("is the test part, which is kept for eval", f"give {whole}:train, or another part")


def split_rule(data: Data, asked: SplitConfig, seed: int, *, in_folds: bool = False) -> SplitRule:
    """The rule that a request asks for; UsageFault if the data already comes in parts, or is a test part.

    `in_folds` allows groups in data that comes in parts: those of its folds.
    """
    catalog = data.catalog
    declared = None if asked.split_file else declared_parts(catalog.names)
    with at(catalog.place):
        check_not_test(data)
        if len(set(catalog.labels)) < 2:
            raise BadData(f"holds one class only ({', '.join(catalog.classes)})", "give at least two")
        if asked.split and asked.split_file:
            raise UsageFault("`split` and `split_file` both say how to split", "leave one of them out")
        if declared and (asked.split or (not in_folds and (asked.group_by or asked.split_by))):
            remedy = (
                "leave out `split`, `group_by` and `split_by`, or give one of its parts as the data: "
                f"{catalog.place}:{next(iter(declared))}"
            )
            raise UsageFault(f"is already split into {', '.join(declared)}", remedy)
        if declared and "train" not in declared:
            raise BadData(f"has {', '.join(declared)} but no train", "add it, or give one part as the data")
    if asked.split:
        parse_shares(asked.split)
    file = asked.split_file
    assigned = split_files.packed(split_files.read(file, catalog)) if file else None
    shares = FILE if file else FOLDERS if declared else asked.split or DEFAULT_SPLIT
    together = near_duplicates.kept_together(data) if asked.split_by else ()
    return SplitRule(shares, seed, asked.group_by, catalog.fingerprint, together, assigned)


def fold_rules(source: SplitRule | Data, k: int, *, seed: int = 0) -> tuple[SplitRule, ...]:
    """Rules by which each of `k` folds is the val part once, and the others are train.

    A test part stays one, and folds are of the rest: that of a rule, or the data's own, or the one that the
    split of the data asks for. Other data have none, and all of them are in folds. Folds are stratified, and
    keep groups and near-duplicates together. Raises UsageFault for fewer than two folds, BadData for more
    than the data can fill.
    """
    if k < 2:
        raise UsageFault(f"`folds={k}` leaves nothing to train on", "give 2 or more")
    if isinstance(source, SplitRule):
        return tuple(replace(source, fold=(number, k)) for number in range(1, k + 1))
    rule = split_rule(source, source.split, seed, in_folds=True)
    if rule.shares not in (FOLDERS, FILE) and not source.split.split:
        rule = replace(rule, shares=WHOLE, fold=(1, k))
    made = fold_rules(rule, k)
    with at(source.catalog.place):
        partition(source.catalog, made[0])
    return made


def note_split(data: Data, rule: SplitRule, parts: Parts) -> None:
    """Note a random split, and warn of near-duplicates that it separates."""
    given = rule.shares in (FOLDERS, FILE)
    if not given and rule.group_by is None:
        events.note("random split; where photos share a film or a person, keep them together with `group_by`")
    groups.note_groups(data.catalog, rule)
    if rule.shares == FILE:
        _warn_of_test_samples(data.catalog, parts)
    if not rule.together:
        # parts that came as folders are the user's to change
        remedy = "keep one side of each" if given else "keep them together with `split_by=duplicates`"
        near_duplicates.warn_of_separated(data, parts, remedy=remedy)


def _warn_of_test_samples(catalog: Catalog, parts: Parts) -> None:
    """Warn of samples that came in a test part, and that a split file has in another."""
    came = (declared_parts(catalog.names) or {}).get("test", ())
    moved = sorted(set(came) - set(parts.get("test", ())))
    if moved:
        fact = f"`split_file` has {events.counted(len(moved), 'sample')} of its test part in another"
        events.warn(f"{catalog.place}: {fact}, {catalog.names[moved[0]]} the first")
