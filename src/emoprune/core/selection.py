"""Selection methods: what a layer's statistics and weights say about which of its units go."""

from __future__ import annotations

from dataclasses import dataclass, field

from emoprune.core.angles import (
    angles_deg,
    constant_units,
    default_centre,
    ordered,
    short_units,
    silent_units,
)
from emoprune.records import LayerView, Removal
from emoprune.records.choices import Centre, Merge


@dataclass(frozen=True)
class Selection:
    """What the user asked for; a method reads what concerns it.

    `angle_deg`: under it two units are similar, over 180 minus it complementary. `centre` None: what fits
    the layer's activation.
    """

    angle_deg: float = 15.0
    merge: Merge = "lstsq"
    centre: Centre | None = None


def distinct(view: LayerView, selection: Selection) -> Removal:
    """The distinctiveness rule (Gedeon & Harris 1991), deterministic, at least one unit staying.

    Insignificant units go first. Then complementary pairs, the most opposed first: both go under the merge
    "sum"; under "lstsq" the higher index alone, for its opposite can speak for it. Then of each similar
    pair, the most similar first, the higher index, merged into the lower. A unit already removed takes no
    further part. Under "sum", which moves no bias, of the insignificant units only short and silent ones
    go, as published.
    """
    statistics = view.statistics
    centre = selection.centre or default_centre(view.layer.activation)
    angles = angles_deg(statistics, centre=centre)
    insignificant = short_units(statistics, centre) | silent_units(statistics)
    if selection.merge == "lstsq":
        insignificant |= constant_units(statistics)
    draft = _Draft(units=statistics.units)
    for unit in sorted(insignificant, reverse=True):  # should all go, the lowest index stays
        draft.drop(unit, draft.insignificant)
    opposed = angles > 180 - selection.angle_deg
    for i, j, _ in ordered(angles, opposed, descending=True):
        if draft.has(i, j):
            draft.drop(j, draft.complementary)
            if selection.merge == "sum":
                draft.drop(i, draft.complementary)
    for i, j, _ in ordered(angles, angles < selection.angle_deg):
        if draft.has(i, j):
            draft.drop(j, draft.similar)
            draft.merges[j] = i
    return draft.removal(view.layer.name)


@dataclass
class _Draft:
    """A removal in the making."""

    units: int
    similar: list[int] = field(default_factory=list)
    complementary: list[int] = field(default_factory=list)
    insignificant: list[int] = field(default_factory=list)
    merges: dict[int, int] = field(default_factory=dict)
    gone: set[int] = field(default_factory=set)
    spared: bool = False

    def has(self, *units: int) -> bool:
        return self.gone.isdisjoint(units)

    def drop(self, unit: int, reason: list[int]) -> None:
        if len(self.gone) + 1 == self.units:
            self.spared = True
            return
        self.gone.add(unit)
        reason.append(unit)

    def removal(self, layer: str) -> Removal:
        return Removal(
            layer=layer,
            units=self.units,
            similar=tuple(self.similar),
            complementary=tuple(self.complementary),
            insignificant=tuple(self.insignificant),
            merges={unit: self._survivor(unit) for unit in self.merges},
            spared=self.spared,
        )

    def _survivor(self, unit: int) -> int:
        while unit in self.merges:
            unit = self.merges[unit]
        return unit
