"""Near-duplicates in a data set: groups to keep together in a split, and those that a split separates."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from emoprune import events
from emoprune.data.datasets import Data, Faces
from emoprune.data.formats.image_folders import Folder
from emoprune.data.types import Table
from emoprune.errors import UsageFault
from emoprune.faces.manifest import read_hashes
from emoprune.io.pictures.images import quiet
from emoprune.io.pictures.perceptual_hash import hamming, near_duplicates, perceptual_hashes

Groups = tuple[tuple[int, ...], ...]


def kept_together(data: Data) -> Groups:
    """Indices of pictures that are near-duplicates of one another, with a note of how many.

    Hashes come from crops.csv; missing ones are computed. Raises UsageFault for a feature table.
    """
    if isinstance(data, Table):
        fact = f"`split_by=duplicates` compares pictures, and {data.catalog.place} is a feature table"
        raise UsageFault(fact, "keep rows together by their names, with `group_by`")
    hashes = _known_hashes(data)
    lacking = [index for index in range(len(data.catalog.names)) if index not in hashes]
    tracked = events.tracked(lacking, "looking for near-duplicates", len(lacking))
    with quiet():
        hashes |= zip(lacking, perceptual_hashes(map(data.gray, tracked)), strict=True)
    groups = near_duplicates([hashes[index] for index in range(len(hashes))])
    events.note(f"near-duplicates among {len(hashes):,} pictures: {_counted(groups)}")
    return groups


def warn_of_separated(data: Data, parts: Mapping[str, tuple[int, ...]], *, remedy: str) -> None:
    """Warn of near-duplicates in different parts, among pictures with a hash in crops.csv."""
    if isinstance(data, Table):
        return
    hashes = _known_hashes(data)
    part_of = {index: part for part, indices in parts.items() for index in indices}
    known = sorted(hashes)
    groups = (tuple(known[i] for i in group) for group in near_duplicates([hashes[i] for i in known]))
    separated = tuple(group for group in groups if len({part_of[index] for index in group}) > 1)
    if not separated:
        return
    # the most alike pair: two that only others connect would not convince
    pairs = ((one, other) for one, *rest in separated for other in rest if part_of[other] != part_of[one])
    closest = min(pairs, key=lambda pair: hamming(hashes[pair[0]], hashes[pair[1]]))
    first, second = (f"{data.catalog.names[index]} ({part_of[index]})" for index in closest)
    example = f"such as {first} and {second}"
    events.warn(f"near-duplicates on both sides of the split: {_counted(separated)}, {example}; {remedy}")


def _known_hashes(faces: Faces) -> dict[int, str]:
    """Hashes from crops.csv, by the index of the picture."""
    if not isinstance(faces, Folder):
        return {}
    whole, part = (faces.part.whole, faces.part) if faces.part else (faces.catalog, None)
    names = [whole.names[index] for index in part.indices] if part else whole.names
    by_name = read_hashes(Path(whole.place))
    return {index: by_name[name] for index, name in enumerate(names) if name in by_name}


def _counted(groups: Groups) -> str:
    if not groups:
        return "none"
    sizes = [len(group) for group in groups]
    found = f"{events.counted(len(sizes), 'group')} of {sum(sizes):,} pictures"
    return f"{found}, the largest of {max(sizes):,}" if len(sizes) > 1 else found
