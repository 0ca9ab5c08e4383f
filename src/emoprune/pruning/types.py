"""What pruning looks at, decides and promises."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from emoprune.choices import Center
from emoprune.errors import InvalidRecord
from emoprune.evaluation.types import check_label

if TYPE_CHECKING:
    from torch import Tensor


STEPS_SCHEMA = "emoprune.steps/1"


@dataclass(frozen=True)
class PruningStep:
    """The network with so many units left; None is what was not measured."""

    units: int
    loss: float | None = None
    accuracy: float | None = None
    smallest_angle_deg: float | None = None
    least_importance: float | None = None


@dataclass(frozen=True)
class PruningCurve:
    """What happened while units went one by one (schema emoprune.steps/1)."""

    model: str
    method: str
    steps: tuple[PruningStep, ...]
    label: str | None = None

    def __post_init__(self) -> None:
        check_label(self.label)
        if not self.steps:
            raise InvalidRecord("a pruning without steps", "give a pruning that takes units")

    @property
    def name(self) -> str:
        """Its label or, without one, its model and method."""
        return self.label or f"{self.model}, {self.method}"


@dataclass(frozen=True)
class Pair:
    """Two units, i < j, and the angle between their activation vectors in degrees."""

    i: int
    j: int
    angle_deg: float


@dataclass(frozen=True)
class Survey:
    """The angles of one layer at a glance; its fields are keys of schema emoprune.angles/2.

    `similar` and `complementary` count the units that stand in at least one such pair; the smallest and
    largest angle are over all pairs, None where no two units have an angle.
    """

    units: int
    center: Center
    similar: int
    complementary: int
    insignificant: int
    smallest_deg: float | None
    largest_deg: float | None
    pairs: tuple[Pair, ...]


@dataclass(frozen=True)
class Removal:
    """The decision for one layer: which units go, why, and which survivor a merged one is added to.

    `chosen` are those that a method took for another reason than the published rule's. `merges` maps a
    removed unit to the surviving unit that takes its outgoing weights under the merge "sum"; removed units
    that are not in it are dropped.
    """

    layer: str
    units: int
    similar: tuple[int, ...] = ()
    complementary: tuple[int, ...] = ()
    insignificant: tuple[int, ...] = ()
    chosen: tuple[int, ...] = ()
    merges: Mapping[int, int] = field(default_factory=dict)
    spared: bool = False

    def __post_init__(self) -> None:
        removed = self.removed
        listed = sum(map(len, self._reasons))
        if len(removed) != listed or any(not 0 <= unit < self.units for unit in removed):
            raise InvalidRecord(f"{self.layer}: a unit removed twice or unknown", "report this")
        if len(removed) >= self.units:
            raise InvalidRecord(f"{self.layer}: no unit would stay", "remove fewer units")
        gone = set(removed)
        if not set(self.merges) <= gone or not set(self.merges.values()) <= set(self.kept):
            raise InvalidRecord(f"{self.layer}: a merge into no survivor", "report this")

    @property
    def removed(self) -> tuple[int, ...]:
        """Removed units in ascending order."""
        return tuple(sorted(set().union(*self._reasons)))

    @property
    def _reasons(self) -> tuple[tuple[int, ...], ...]:
        return self.similar, self.complementary, self.insignificant, self.chosen

    @property
    def kept(self) -> tuple[int, ...]:
        """Surviving units in ascending order."""
        gone = set(self.removed)
        return tuple(unit for unit in range(self.units) if unit not in gone)


@dataclass(frozen=True)
class Plan:
    """A decision and no deed: one removal per layer, in network order, and the weights that become zero.

    `masks` (bool, True where a weight stays) have the shape of the parameter that they are named after.
    """

    removals: tuple[Removal, ...]
    masks: Mapping[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class ErrorEstimate:
    """What a removal costs one layer, known from statistics alone before anything is written.

    The errors are relative: root of the mean squared change of what its consumers compute over that input's
    variance, the mean over the consumers, for everything that the plan takes from what they read. None where
    it never varies.
    """

    layer: str
    before: int
    after: int
    similar: int
    complementary: int
    insignificant: int
    error_sum: float | None
    error_lstsq: float | None
