"""What pruning is asked for, what it decides, and what it reports."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from emoprune.choices import Center, Merge, MethodName, Price, Scope
from emoprune.errors import InvalidRecord, UsageFault
from emoprune.evaluation.types import check_counts, check_label
from emoprune.networks.config import BLOCK, MEMORY
from emoprune.pruning.methods import METHODS
from emoprune.settings import check_limits, setting

if TYPE_CHECKING:
    from torch import Tensor

    from emoprune.evaluation.answers import AnswerLoss
    from emoprune.networks.graph.types import Obstacle

STEPS_SCHEMA = "emoprune.steps/1"
PRUNE_SCHEMA = "emoprune.prune/2"
ANGLES_SCHEMA = "emoprune.angles/2"

DEFAULT_ANGLE_DEG = 15.0
LARGEST_DEG = 180
LARGEST_ERROR = 0.5
"""Error at the next layer's input, relative to its spread, beyond which little of it is left."""
STRUCTURAL = ("units", "macs", "params", "latency_ms")
"""Amounts that say what stays; the others say what goes."""
TIMED = ("speedup", "latency_ms")
"""Amounts that are measured in onnxruntime. Single weights save nothing of these, nor of STRUCTURAL ones."""
LOSSES = ("max_loss_increase", "max_drop")
"""Amounts that are measured on images."""
PRICES: dict[str, Price] = {
    "macs": "macs",
    "params": "parameters",
    **dict.fromkeys(TIMED, "nanoseconds"),
    **dict.fromkeys(LOSSES, "macs"),
}
"""The unit in which savings count where layers compete for an amount; units for all others."""


# settings that pruning and its angles share
OF_LAYERS = "Only layers whose name matches, of any kind that has units to remove."
CENTER: Any = setting(
    None,
    "What activations are measured from: half (minus 0.5), range (the layer's range scaled to -0.5..0.5), "
    "mean (each unit's own), none.",
    default_text="half for sigmoid, else mean",
)
FRACTION: Any = {"metavar": "FRACTION", "low": 0, "high": 1}
SAMPLES: Any = setting(2000, "How many training images to calibrate on, at most.", metavar="N", low=2)


@dataclass(frozen=True)
class Amount:
    """How much is removed: a setting of PruneConfig and its value."""

    name: str
    value: float

    @property
    def needs_images(self) -> bool:
        """Whether only running the network can say when it is reached."""
        return self.name in LOSSES

    @property
    def is_timed(self) -> bool:
        """Whether only timing the network can say when it is reached."""
        return self.name in TIMED

    def __str__(self) -> str:
        return f"`{self.name}={self.value:g}`"


@dataclass(frozen=True, kw_only=True)
class PruneConfig:
    """What one pruning is asked for: a method, at most one amount, and how the survivors take over.

    Raises UsageFault for settings that contradict one another.
    """

    method: MethodName = setting(
        "distinct",
        # \b keeps the lines as they are, so the default needs one of its own
        "\b\n"
        + "\n".join(f"{name}: {entry.meaning}" for name, entry in METHODS.items())
        + "\n[default: distinct]",
        metavar="NAME",
        names=METHODS,
        default_text="",
    )
    angle: float | None = setting(
        None,
        "distinct: similar under it, complementary over 180 minus it; progressive: while the smallest is "
        "under it.",
        metavar="DEGREES",
        low=0,
        high=90,
        default_text="15",
    )
    amount: float | None = setting(
        None, "Fraction of the units (magnitude, random: of the weights) to remove, 0 to 1.", **FRACTION
    )
    units: int | None = setting(None, "Units to keep, in all chosen layers together.", metavar="N", low=1)
    macs: float | None = setting(None, "Fraction of the multiply-accumulates to keep, 0 to 1.", **FRACTION)
    params: float | None = setting(None, "Fraction of the parameters to keep, 0 to 1.", **FRACTION)
    speedup: float | None = setting(
        None, "How many times as fast one sample is in onnxruntime, measured here.", metavar="TIMES", low=1
    )
    latency_ms: float | None = setting(
        None,
        "Milliseconds that one sample takes in onnxruntime, measured here.",
        metavar="MS",
        low=0.001,
    )
    threads: int = setting(1, "Threads of onnxruntime for `speedup` and `latency_ms`.", metavar="N", low=1)
    max_loss_increase: float | None = setting(
        None,
        "Remove as much as possible before the mean loss on the val part (else train) grows by more.",
        metavar="NATS",
        low=0,
    )
    max_drop: float | None = setting(
        None,
        "Remove as much as possible before the accuracy on the val part (else train) drops by more.",
        metavar="POINTS",
        low=0,
        high=100,
    )
    scope: Scope = setting(
        "global",
        "global: a budget is spent where it costs least; layer: the same fraction of every layer. Not for "
        "angles, which are the same for all layers.",
    )
    layer: str | None = setting(
        None,
        OF_LAYERS,
        metavar="GLOB",
        default_text="*; for distinct and progressive the dense hidden layers, where there are any",
    )
    round_to: int | None = setting(
        None,
        "Layers keep a multiple of N channels, which engines run faster.",
        metavar="N",
        low=1,
        default_text=f"1; {BLOCK} with `speedup` and `latency_ms`",
    )
    merge: Merge = setting(
        "lstsq",
        "How the survivors take over: lstsq refits their outgoing weights and recalibrates batch norm, sum "
        "adds those of the removed units as published.",
    )
    center: Center | None = CENTER
    max_error: float | None = setting(
        None,
        "Write nothing if the predicted error of a layer is larger, or if refitted layers lose a larger part "
        "of what the answers tell.",
        metavar="ERROR",
        low=0,
        default_text="0.5; of layers any, where images measure the loss or refit them",
    )
    data: str | None = setting(
        None,
        "Calibrate on its training part, or on all of it if the model was trained on other data; drawn: "
        "refit on drawn faces; none: use no image.  [default: where a batch norm is recalibrated, the "
        "training data, or drawn if that is gone]",
        metavar="DATA|drawn|none",
    )
    samples: int = SAMPLES
    memory: float | None = MEMORY
    statistics: bool = setting(
        True,
        "Whether to keep the statistics that further pruning needs, where the original has them.",
        option="--statistics/--no-statistics",
    )
    rewind: str | None = setting(
        None,
        "Set what survives back to this earlier checkpoint (train `save_init`), to train it from there.",
        metavar="INIT",
    )
    seed: int = setting(0, "Seed of every random choice.", metavar="N", low=0, high=2**32 - 1)

    def __post_init__(self) -> None:
        check_limits(self)
        amount, entry = self.given_amount, METHODS[self.method]
        if self.threads > 1 and not (amount and amount.is_timed):
            raise UsageFault(
                "`threads` is for `speedup` and `latency_ms`", "give one of them, or leave it out"
            )
        if amount is None:
            return
        if amount.name == "angle" and not entry.by_angle:
            raise UsageFault(f"`method={self.method}` ignores angles", "give `amount`, `macs` or another")
        if entry.weights and amount.name in (*STRUCTURAL, *TIMED):
            fact = f"`method={self.method}` removes single weights, which does not lower `{amount.name}`"
            raise UsageFault(fact, "give `amount`, or a method that removes units")

    @property
    def given_amount(self) -> Amount | None:
        """The amount that is set; UsageFault for two."""
        names = dict.fromkeys(("angle", "amount", *STRUCTURAL, *TIMED, *LOSSES))
        given = [Amount(name, value) for name in names if (value := getattr(self, name)) is not None]
        if len(given) > 1:
            first, second = given[:2]
            raise UsageFault(f"`{first.name}` and `{second.name}` both set the amount", "give one of them")
        return given[0] if given else None

    @property
    def multiple(self) -> int:
        """The number that every layer keeps a multiple of channels of."""
        amount, entry = self.given_amount, METHODS[self.method]
        usual = BLOCK if amount and amount.is_timed and entry.one_by_one else 1
        return usual if self.round_to is None else self.round_to

    @property
    def required_amount(self) -> Amount:
        """The amount that is set, else the usual angle; UsageFault where the method has none of its own."""
        amount, entry = self.given_amount, METHODS[self.method]
        if amount is not None:
            return amount
        if entry.by_angle:
            return Amount("angle", DEFAULT_ANGLE_DEG)
        hint = "`amount=0.5`" if entry.weights else "`macs=0.5` for half the multiply-accumulates"
        raise UsageFault(f"`method={self.method}` needs an amount", f"give {hint}")

    def check_counts(self, amount: Amount | None) -> None:
        """Raise UsageFault where units are counted but the method does not remove them one by one."""
        entry = METHODS[self.method]
        by_angle = amount is not None and amount.name == "angle"
        if self.scope == "layer" and (by_angle or not (entry.one_by_one or entry.weights)):
            fact = "`scope=layer` divides an amount among layers, and an angle is the same for all of them"
            raise UsageFault(fact, f"leave it out, or use it with `amount` and {one_by_one()}")
        if self.multiple > 1 and (by_angle or not entry.one_by_one):
            remedy = f"use it with `macs`, `params`, `amount` or `units` and {one_by_one()}"
            raise UsageFault("`round_to` needs a method that removes units one by one", remedy)


def one_by_one() -> str:
    """The methods that remove units one by one, as a message names them."""
    *others, last = (name for name, entry in METHODS.items() if entry.one_by_one)
    return f"`method` {', '.join(others)} or {last}"


@dataclass(frozen=True, kw_only=True)
class AnglesConfig:
    """Which angles are measured, and which of them are listed."""

    layer: str = setting("*", OF_LAYERS, metavar="GLOB")
    center: Center | None = CENTER
    below: float = setting(15.0, "Similar: under this many degrees.", metavar="DEGREES", low=0, high=180)
    above: float = setting(
        165.0, "Complementary: over this many degrees.", metavar="DEGREES", low=0, high=180
    )
    everything: bool = setting(False, "Every pair, not only those.", option="--all")
    data: str | None = setting(
        None,
        "Measure the statistics again on its training part, or on all of it if the model was trained on "
        "other data.",
        metavar="DATA",
    )
    samples: int = SAMPLES
    memory: float | None = MEMORY

    def __post_init__(self) -> None:
        check_limits(self)


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
    """What was measured while units were removed one by one (schema emoprune.steps/1)."""

    model: str
    method: str
    steps: tuple[PruningStep, ...]
    label: str | None = None

    def __post_init__(self) -> None:
        check_label(self.label)
        if not self.steps:
            raise InvalidRecord("a pruning without steps", "give a pruning that takes units")
        check_counts(*(step.units for step in self.steps), of="units")

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
    largest angle are over all pairs, None where no two units have an angle. `below_deg` and `above_deg` are
    the thresholds; `histogram` counts all pairs by their angle, in bins of one degree from 0 to 180. Older
    records have none of these three.
    """

    units: int
    center: Center
    similar: int
    complementary: int
    insignificant: int
    smallest_deg: float | None
    largest_deg: float | None
    pairs: tuple[Pair, ...]
    below_deg: float | None = None
    above_deg: float | None = None
    histogram: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        if self.histogram is not None and len(self.histogram) != LARGEST_DEG:
            raise InvalidRecord(f"a histogram of {len(self.histogram)} degrees", "run emoprune angles again")
        check_counts(self.units, *(self.histogram or ()), of="a count of angles")


@dataclass(frozen=True)
class Removal:
    """The decision for one layer: which units are removed, why, and which survivor each is merged into.

    `chosen` are those that a method removed for another reason than the published rule's. `merges` maps a
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
    """A decision, not yet applied: one removal per layer, in network order, and the weights that become zero.

    `masks` (bool, True where a weight stays) have the shape of the parameter that they are named after.
    """

    removals: tuple[Removal, ...]
    masks: Mapping[str, Tensor] = field(default_factory=dict)

    @property
    def kept(self) -> int:
        """How many units stay, in all layers together."""
        return sum(len(removal.kept) for removal in self.removals)


@dataclass(frozen=True)
class ErrorEstimate:
    """What a removal is predicted to cost one layer, from statistics alone.

    The errors are relative: root of the mean squared change of what its consumers compute over its variance,
    averaged over the consumers, for everything that the plan removes from their input. None where it never
    varies. The taps of a kernel are taken as independent.
    """

    layer: str
    before: int
    after: int
    similar: int
    complementary: int
    insignificant: int
    error_sum: float | None
    error_lstsq: float | None


@dataclass(frozen=True)
class Change:
    """A count or a measure before and after pruning; None where it is not finite or there is none."""

    before: float | None
    after: float | None


@dataclass(frozen=True)
class LayerOutcome(ErrorEstimate):
    """What a pruning did to one layer."""

    center: Center
    removed: tuple[int, ...]
    merges: Mapping[int, int]
    spared: bool


@dataclass(frozen=True)
class Evaluated:
    """The part of the data, and how many images of it, that accuracy and loss were measured on."""

    part: str
    images: int


@dataclass(frozen=True)
class Speed:
    """What onnxruntime takes for one sample before and after, measured in turns on `threads` of `engine`.

    `speedup` is the median ratio of the turns, `predicted` the one that the times of single layers promised.
    """

    latency_ms: Change
    speedup: float
    predicted: float
    threads: int
    engine: str


@dataclass(frozen=True)
class PruneOutcome:
    """What a pruning did, layer by layer and to the whole network (part of schema emoprune.prune/2)."""

    units: Change
    compression_rate: float
    parameters: Change
    nonzero_parameters: Change
    macs: Change
    bytes: Change
    layers: tuple[LayerOutcome, ...]
    frozen: tuple[Obstacle, ...]
    accuracy: Change | None = None
    loss: Change | None = None
    evaluated_on: Evaluated | None = None
    speed: Speed | None = None
    answers: AnswerLoss | None = None

    def to_record(self) -> dict[str, Any]:
        """As JSON has it, without what was not measured."""
        return {key: value for key, value in asdict(self).items() if value is not None}


@dataclass(frozen=True)
class SweptLayer:
    """A layer, and its predicted error by the fraction of its units that it alone loses.

    `sensitivity_nats` is the divergence of the answers if its units stood still at their mean.
    """

    layer: str
    units: int
    sensitivity_nats: float | None
    estimates: Mapping[float, ErrorEstimate]
