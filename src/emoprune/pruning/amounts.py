"""How much prune is asked to take: at most one of its amount options, and what each asks of a method."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from emoprune.choices import Price, Scope
from emoprune.errors import UsageFault
from emoprune.pruning.methods import METHODS

DROPS = ("--max-loss-increase", "--max-drop")
PRICES: dict[str, Price] = {"--macs": "macs", "--params": "parameters"}


@dataclass(frozen=True)
class Amount:
    """One option and its value."""

    option: str
    value: float

    @property
    def name(self) -> str:
        """The option as a key."""
        return self.option.lstrip("-").replace("-", "_")

    @property
    def price(self) -> Price:
        """What a saving is measured in where layers compete for the budget."""
        if self.option in DROPS:
            return "macs"
        return PRICES.get(self.option, "units")

    @property
    def needs_images(self) -> bool:
        """Whether the network has to be run to know when it is reached."""
        return self.option in DROPS

    def __str__(self) -> str:
        return f"{self.option} {self.value:g}"


DEFAULT_ANGLE_DEG = 15.0
STRUCTURAL = ("--units", "--macs", "--params")


def resolved(
    method: str,
    options: Mapping[str, float | None],
    *,
    unwritten: Mapping[str, str | None],
    round_to: int,
    scope: Scope,
    ladder: bool,
    steps: bool,
) -> Amount | None:
    """The amount; None with a `ladder` of all amounts, or with `steps` that go all the way.

    `unwritten` are the options that matter to what is written, which is nothing with these two.
    Raises UsageFault for options that contradict one another or the method.
    """
    if ladder:
        none_with_ladder({**options, **unwritten})
    if steps:
        check_steps(method, {"--angle": options["--angle"], **unwritten}, ladder=ladder)
    amount = None if ladder else chosen(method, options, needed=not steps)
    check_units(method, amount, round_to=round_to, scope=scope, ladder=ladder)
    return amount


def chosen(method: str, options: Mapping[str, float | None], *, needed: bool = True) -> Amount | None:
    """The amount that the options ask for, or the usual angle; None where there is none and none is `needed`.

    UsageFault for two, for one that makes no sense, or for none that is needed.
    """
    entry = METHODS[method]
    given = [Amount(option, value) for option, value in options.items() if value is not None]
    if len(given) > 1:
        raise UsageFault(
            f"{given[0].option} and {given[1].option} both say how much goes", "give one of them"
        )
    if not given and not needed:
        return None
    if not given:
        if entry.within is not None:
            return Amount("--angle", DEFAULT_ANGLE_DEG)
        hint = "--amount 0.5" if entry.weights else "--macs 0.5 for half the multiply-accumulates"
        raise UsageFault(f"--method {method} needs to know how much", f"give {hint}, or see --help")
    (amount,) = given
    if not math.isfinite(amount.value):
        raise UsageFault(f"{amount} is no amount", "give a number")
    if amount.option == "--angle" and entry.within is None:
        raise UsageFault(f"--method {method} looks at no angles", "give --amount, --macs or another")
    if entry.weights and amount.option in STRUCTURAL:
        raise UsageFault(
            f"--method {method} takes single weights, which saves none of what {amount.option} counts",
            "give --amount, or a method that takes units",
        )
    return amount


def none_with_ladder(options: Mapping[str, float | str | None]) -> None:
    """Raise UsageFault where --sensitivity meets an amount, or an option for what it would not write."""
    given = [option for option, value in options.items() if value is not None]
    if given:
        raise UsageFault(
            f"--sensitivity goes through all amounts and writes nothing, and {given[0]} is given",
            "leave it out",
        )


def check_steps(method: str, options: Mapping[str, float | str | None], *, ladder: bool) -> None:
    """Raise UsageFault where --steps meets a method or options that know no steps."""
    if not METHODS[method].one_by_one:
        raise UsageFault(
            f"--steps needs units that go one by one, which --method {method} does not do",
            f"use --method {_one_by_one()}",
        )
    given = {option: value is not None for option, value in options.items()}
    for option, is_given in {**given, "--sensitivity": ladder}.items():
        if is_given:
            fact = f"--steps goes down unit by unit and writes nothing, and {option} is given"
            raise UsageFault(fact, "leave it out")


def check_units(method: str, amount: Amount | None, *, round_to: int, scope: Scope, ladder: bool) -> None:
    """Raise UsageFault where units are counted of a method that does not take them one by one."""
    entry = METHODS[method]
    if ladder and entry.weights:
        raise UsageFault(
            f"--sensitivity counts units, and --method {method} takes single weights",
            "give a method that takes units",
        )
    by_angle = amount is not None and amount.option == "--angle"
    if scope == "layer" and (by_angle or not (entry.one_by_one or entry.weights)):
        raise UsageFault(
            "--scope layer shares out what goes, and an angle is the same for all layers",
            f"leave it out, or use it with --amount of --method {_one_by_one()}",
        )
    if round_to > 1 and (by_angle or not entry.one_by_one):
        raise UsageFault(
            "--round-to needs units that go one by one",
            f"use it with --macs, --params, --amount or --units of --method {_one_by_one()}",
        )


def _one_by_one() -> str:
    *others, last = (name for name, entry in METHODS.items() if entry.one_by_one)
    return f"{', '.join(others)} or {last}"
