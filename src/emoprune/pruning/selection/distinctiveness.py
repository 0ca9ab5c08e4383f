"""The rules of the papers: which units are removed because of the angles between them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from emoprune.choices import Center, Merge
from emoprune.networks.types import HiddenLayer, UnitStatistics
from emoprune.pruning.angles import (
    angles_deg,
    centered_gram,
    constant_units,
    default_center,
    ordered,
    short_units,
    silent_units,
)
from emoprune.pruning.types import Removal


def distinct(
    layer: HiddenLayer,
    statistics: UnitStatistics,
    *,
    angle_deg: float,
    merge: Merge,
    center: Center | None = None,
) -> Removal:
    """The distinctiveness rule (Gedeon & Harris 1991), deterministic, at least one unit staying.

    Under `angle_deg` two units are similar, over 180 minus it complementary; `center` None is what fits the
    layer's activation. Insignificant units are removed first, then complementary pairs, the most opposed
    first: both units under the merge "sum", the one with the higher index under "lstsq", for its opposite can
    represent it. Then, of each similar pair, the most similar first, the higher index is merged into the
    lower. A unit that is removed takes no further part. Under "sum", which moves no bias, only short and
    silent units count as insignificant, as published.
    """
    center = center or default_center(layer.activation)
    angles = angles_deg(statistics, center=center)
    insignificant = short_units(statistics, center) | silent_units(statistics)
    if merge == "lstsq":
        insignificant |= constant_units(statistics)
    # the lowest index is kept even if all are insignificant
    without = torch.nonzero(insignificant).flatten().tolist()[::-1][: statistics.units - 1]
    spared = bool(insignificant.all())
    left = set(range(statistics.units)) - set(without)
    complementary = list[int]()
    for i, j, _ in ordered(angles, angles > 180 - angle_deg, descending=True):
        if len(left) == 1:
            break
        if i in left and j in left:
            both = [j, i] if merge == "sum" else [j]
            spared |= len(both) == len(left)
            gone = both[: len(left) - 1]
            complementary += gone
            left.difference_update(gone)
    merges = dict[int, int]()
    for i, j, _ in ordered(angles, angles < angle_deg):
        if len(left) == 1:
            break
        if i in left and j in left:
            left.remove(j)
            merges[j] = i
    return Removal(
        layer=layer.name,
        units=statistics.units,
        similar=tuple(merges),
        complementary=tuple(complementary),
        insignificant=tuple(without),
        merges=to_survivors(merges),
        spared=spared,
    )


@dataclass(frozen=True)
class UnitRemoval:
    """A unit that is removed, the one that it is merged into, and the angle between them."""

    unit: int
    into: int | None
    angle_deg: float


def smallest_angle_first(
    layer: HiddenLayer, statistics: UnitStatistics, *, center: Center | None = None
) -> list[UnitRemoval]:
    """One unit at a time until one is left: of the two at the smallest angle the higher index.

    This is the rule of Gedeon & Harris 1992 and luan2020, section 3.1. Units whose vectors have no length,
    and so no angle, are removed first (luan2020, section 2.1).
    """
    center = center or default_center(layer.activation)
    angles = angles_deg(statistics, center=center)
    without = torch.nonzero(centered_gram(statistics, center).diagonal() == 0).flatten().tolist()
    taken = [UnitRemoval(unit, None, 0.0) for unit in reversed(without)][: statistics.units - 1]
    gone = {step.unit for step in taken}
    for i, j, angle in ordered(angles, ~angles.isnan()):
        if len(taken) + 1 == statistics.units:
            break
        if gone.isdisjoint((i, j)):
            gone.add(j)
            taken.append(UnitRemoval(j, i, angle))
    return taken


def to_survivors(merges: Mapping[int, int]) -> dict[int, int]:
    """Every merged unit and the one at the end of its chain of merges."""
    found = {}
    for unit in merges:
        survivor = unit
        while survivor in merges:
            survivor = merges[survivor]
        found[unit] = survivor
    return found
