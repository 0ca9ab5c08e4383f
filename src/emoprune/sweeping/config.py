"""What a sweep is asked for, and the combinations that this comes to."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from emoprune import events
from emoprune.choices import DeviceName, Merge, MethodName, Part, Ranking
from emoprune.errors import UsageFault
from emoprune.pruning.methods import METHODS
from emoprune.pruning.types import Amount, PruneConfig
from emoprune.settings import check_limits, like, setting
from emoprune.training.config import TrainConfig

USUAL_METHODS: tuple[MethodName, ...] = ("distinct", "importance", "reconstruct")
USUAL_BUDGETS = (0.75, 0.5, 0.25, 0.125)
USUAL_MERGES: tuple[Merge, ...] = ("lstsq",)
RANKINGS: tuple[Ranking, ...] = ("uniform", "global")
AMOUNTS = {"macs": "macs", "params": "params", "amounts": "amount", "angles": "angle"}
"""Lists of a sweep, and the setting of PruneConfig that each value stands for."""
ANY_ERROR = 1e9
"""No predicted error is too large for a sweep: that a rule destroys a network is what it shows."""

_FRACTIONS: Any = {"metavar": "LIST", "low": 0.001, "high": 1, "joined": True}


@dataclass(frozen=True, kw_only=True)
class SweepConfig:
    """Methods, merges and amounts, of which every combination is pruned, and how each is evaluated.

    Raises UsageFault for values that no combination can have, and for two kinds of amounts.
    """

    methods: tuple[MethodName, ...] = setting(
        (),
        "Methods of prune, with commas between them.",
        metavar="LIST",
        names=METHODS,
        default_text=f"{','.join(USUAL_METHODS)}; with `angles` distinct",
        joined=True,
    )
    macs: tuple[float, ...] = setting(
        (),
        "Fractions of the multiply-accumulates to keep.",
        default_text=",".join(f"{budget:g}" for budget in USUAL_BUDGETS),
        **_FRACTIONS,
    )
    params: tuple[float, ...] = setting((), "Fractions of the parameters to keep.", **_FRACTIONS)
    amounts: tuple[float, ...] = setting(
        (), "Fractions of the units (magnitude, random: of the weights) to remove.", **_FRACTIONS
    )
    angles: tuple[float, ...] = setting(
        (),
        "Angles of distinct and progressive, in degrees.",
        metavar="LIST",
        low=0,
        high=90,
        joined=True,
    )
    merge: tuple[Merge, ...] = setting(
        (),
        "How the survivors take over, sum or lstsq or both; see prune.",
        metavar="LIST",
        names=("sum", "lstsq"),
        default_text="lstsq",
        joined=True,
    )
    rivals: bool = setting(
        False,
        "Also prune to the budgets by Torch-Pruning, where it is installed: L2 norms, with the same ratio in "
        "every layer and in one ranking of all. It knows nothing of `merge`.",
        option="--rivals",
    )
    heal: int | None = setting(
        None,
        "Also train each pruned network for so many epochs, with the whole one as its teacher.",
        metavar="EPOCHS",
        low=1,
    )
    part: Part | None = setting(
        None,
        "Which part of the model's split networks are compared on.",
        default_text="val, else test",
        option="--split",
    )
    latency: bool = setting(False, "Also time the checkpoints, as eval does.")
    layer: str | None = like(
        PruneConfig, "layer", default_text="*; with `angles` the dense hidden layers, where there are any"
    )
    samples: int = like(PruneConfig, "samples")
    memory: float | None = like(PruneConfig, "memory")
    seed: int = like(PruneConfig, "seed")
    device: DeviceName = like(TrainConfig, "device")

    def __post_init__(self) -> None:
        check_limits(self)
        for name in ("methods", *AMOUNTS, "merge"):
            values = getattr(self, name)
            for value in values:
                if values.count(value) > 1:
                    raise UsageFault(f"`{name}` has {value} twice", "give each once")
        given = [name for name in AMOUNTS if getattr(self, name)]
        if len(given) > 1:
            first, second = given[:2]
            raise UsageFault(f"`{first}` and `{second}` both set the amounts", "give one of them")
        if self.rivals and self.asked[0].name != "macs":
            raise UsageFault("`rivals` prune to fractions of the multiply-accumulates", "give `macs`")
        # what a method cannot be asked for is refused now
        for combination in self._all():
            combination.prune_config(self)

    @property
    def asked(self) -> tuple[Amount, ...]:
        """The amounts, in order."""
        for name, one in AMOUNTS.items():
            if getattr(self, name):
                return tuple(Amount(one, float(value)) for value in getattr(self, name))
        return tuple(Amount("macs", value) for value in USUAL_BUDGETS)

    def _all(self) -> Iterator[Combination]:
        by_angle = self.asked[0].name == "angle"
        for method in self.methods or (USUAL_METHODS[:1] if by_angle else USUAL_METHODS):
            merges = (None,) if METHODS[method].weights else self.merge or USUAL_MERGES
            for merge in merges:
                yield from (Combination(method, merge, amount) for amount in self.asked)

    def combinations(self) -> tuple[Combination | Rival, ...]:
        """All of them, rivals last; a note says which methods ignore merges."""
        found = tuple(self._all())
        masking = dict.fromkeys(each.method for each in found if each.merge is None)
        if masking and self.merge:
            several = ", and is made once" if len(self.merge) > 1 else ""
            for method in masking:
                events.note(f"`methods={method}` has no use for `merge`{several}")
        rankings = RANKINGS if self.rivals else ()
        return (*found, *(Rival(ranking, amount) for ranking in rankings for amount in self.asked))


@dataclass(frozen=True)
class Combination:
    """One pruning of a sweep; methods that remove single weights have no merge."""

    method: MethodName
    merge: Merge | None
    amount: Amount

    @property
    def label(self) -> str:
        """What reports call it, the same for all amounts: "distinct, sum"."""
        return f"{self.method}, sum" if self.merge == "sum" else self.method

    @property
    def name(self) -> str:
        """What files call it: "distinct.sum.macs0.5"."""
        merge = ".sum" if self.merge == "sum" else ""
        return f"{self.method}{merge}.{self.amount.name}{self.amount.value:.12g}"

    def prune_config(self, config: SweepConfig) -> PruneConfig:
        """What `prune` is asked for."""
        # at the same budget methods are compared on the same layers
        layer = config.layer or (None if self.amount.name == "angle" else "*")
        amount: dict[str, Any] = {self.amount.name: self.amount.value}
        return PruneConfig(
            method=self.method,
            merge=self.merge or "lstsq",
            layer=layer,
            max_error=ANY_ERROR,
            samples=config.samples,
            memory=config.memory,
            seed=config.seed,
            **amount,
        )


@dataclass(frozen=True)
class Rival:
    """One pruning of a sweep by Torch-Pruning, with the same ratio in all layers or one ranking of all."""

    ranking: Ranking
    amount: Amount

    @property
    def label(self) -> str:
        """What reports call it."""
        return f"Torch-Pruning, {self.ranking}"

    @property
    def name(self) -> str:
        """What files call it."""
        return f"torch-pruning.{self.ranking}.{self.amount.name}{self.amount.value:.12g}"
