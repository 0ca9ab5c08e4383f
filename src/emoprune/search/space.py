"""What a search tries: spaces of values as users write them, and trials."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from emoprune.choices import SpaceKind
from emoprune.errors import InvalidRecord, UsageFault
from emoprune.io.json_records import EXACT
from emoprune.io.key_values import number_or_text
from emoprune.settings import nearest

Value = int | float | str


@dataclass(frozen=True)
class Space:
    """The values that one setting may take: `choices`, or all from `low` to `high`, both included.

    `whole` ranges hold integers only; those of kind "log" are even in the logarithm. `steps` is how many
    values a grid takes of a range, if that is known.
    """

    name: str
    kind: SpaceKind
    low: float = 0.0
    high: float = 0.0
    whole: bool = False
    steps: int | None = None
    choices: tuple[Value, ...] = ()

    def __post_init__(self) -> None:
        if self.kind == "choice":
            if not self.choices or len(set(self.choices)) < len(self.choices):
                raise InvalidRecord(f"no choices of {self.name}, or one of them twice", "give each once")
            return
        if not all(math.isfinite(end) and abs(end) < EXACT for end in (self.low, self.high)):
            raise InvalidRecord(f"a range of {self.name} without an end", "give two numbers")
        if self.low > self.high:
            fact = f"a range of {self.name} that ends before it begins"
            raise InvalidRecord(fact, "give the lower end first")
        if self.kind == "log" and self.low <= 0:
            raise InvalidRecord(f"a log range of {self.name} from {self.low:g}", "begin above 0")
        if self.whole and (self.low % 1 or self.high % 1):
            raise InvalidRecord(f"a range of {self.name} between fractions", "give whole numbers")
        if self.steps is not None and self.steps < 2:
            raise InvalidRecord(f"a grid of {self.steps} over a range of {self.name}", "give 2 steps or more")

    @property
    def spelled(self) -> str:
        """How it is written after `NAME=`; equal spaces are written alike."""
        if self.kind == "choice":
            return ",".join(map(str, self.choices))
        kinds = {"log": "log:", "linear": "int:" if self.whole else ""}
        ends = [str(int(end)) if self.whole else repr(end) for end in (self.low, self.high)]
        return kinds[self.kind] + ":".join([*ends, *([str(self.steps)] if self.steps else [])])


@dataclass(frozen=True)
class Trial:
    """One training of a search that has ended, `number` counted from 0; `values` by setting.

    `line` is its evaluation as JSON, `fingerprint` that of its checkpoint. All but number and values are None
    if it failed.
    """

    number: int
    values: Mapping[str, Value]
    accuracy: float | None = None
    line: str | None = None
    fingerprint: str | None = None

    def __post_init__(self) -> None:
        half = (self.accuracy is None) != (self.line is None)
        if half or self.number < 0 or not 0 <= (self.accuracy or 0) <= 1:
            raise InvalidRecord(f"trial {self.number} contradicts itself", "start another search")

    @property
    def rank(self) -> tuple[float, int]:
        """Smaller is better: the higher accuracy, of equals the earlier; failures last."""
        return (math.inf if self.accuracy is None else -self.accuracy, self.number)


EXAMPLES: dict[type, str] = {float: "log:1e-4:1e-1", int: "20,50,100", str: "sgd,adam"}
LARGEST_GRID = 1_000_000
NARROWED = 1 / 3
"""The fraction of a range that the fine trials of a search keep."""


def parse_space(text: str, types: Mapping[str, type]) -> Space:
    """The space in `NAME=log:LOW:HIGH`, `NAME=LOW:HIGH`, `NAME=int:LOW:HIGH` or `NAME=A,B,C`.

    `types` says of every name that can be searched whether its values are int, float or str. Ranges are of
    numbers, whole ones for an int. A third number is how many steps a grid takes. Raises UsageFault for
    anything else.
    """
    name, given, spelled = text.partition("=")
    check_name("space", name, types)
    kind = types[name]
    if not given or not spelled:
        raise UsageFault(f"`space={text}` has no values", f"write {name}={EXAMPLES[kind]}")
    try:
        if kind is str or ":" not in spelled:
            choices = tuple(_choice(text, part, kind) for part in spelled.split(","))
            return Space(name, "choice", choices=choices)
        return _range(text, name, spelled, kind)
    except InvalidRecord as error:
        raise UsageFault(f"`space={text}`: {error.fact}", error.remedy) from error


def check_name(argument: str, name: str, known: Mapping[str, object]) -> None:
    """Raise UsageFault for a name that is not `known`."""
    if name not in known:
        raise UsageFault(f"`{argument}={name}`: unknown", nearest(name, known))


def _range(text: str, name: str, spelled: str, kind: type) -> Space:
    prefix, _, rest = spelled.partition(":")
    if prefix not in ("log", "int"):
        prefix, rest = "", spelled
    ends = rest.split(":")
    if len(ends) not in (2, 3):
        remedy = f"write {name}={prefix or 'log'}:LOW:HIGH, or LOW:HIGH"
        raise UsageFault(f"`space={text}` is not a range", remedy)
    low, high = (_number(text, end) for end in ends[:2])
    if low == high:
        raise UsageFault(f"`space={text}` is a single value", f"write `fixed={name}={ends[0]}`")
    steps = ends[2] if len(ends) == 3 else None
    if steps is not None and not steps.isdecimal():
        raise UsageFault(f"`space={text}`: {steps!r} is not a number of steps", "give a whole number")
    scale: SpaceKind = "log" if prefix == "log" else "linear"
    return Space(name, scale, low, high, kind is int or prefix == "int", int(steps[:18]) if steps else None)


def _number(text: str, part: str) -> float:
    value = number_or_text(part)
    if isinstance(value, str):
        raise UsageFault(f"`space={text}`: {part!r} is not a number", "write LOW:HIGH, as 1e-4:1e-1")
    return float(value)


def _choice(text: str, part: str, kind: type) -> Value:
    if not part:
        raise UsageFault(f"`space={text}` has an empty choice", "leave out the comma")
    if kind is float:
        return _number(text, part)
    value = number_or_text(part)
    return part if isinstance(value, float) else value


def points(space: Space) -> Sequence[Any]:
    """The values that a grid takes: all choices, all whole numbers, or `steps` even ones, ends included.

    Raises UsageFault for a continuous range without steps.
    """
    if space.kind == "choice":
        return space.choices
    if space.steps is None:
        if space.whole and space.kind == "linear":
            return range(int(space.low), int(space.high) + 1)
        fact = f"`space={space.name}={space.spelled}` does not say how many values a grid takes of it"
        raise UsageFault(fact, f"write {space.name}={space.spelled}:STEPS, or choices joined by commas")
    last = min(space.steps, LARGEST_GRID) - 1
    found = [space.low, *(_between(space, index / last) for index in range(1, last)), space.high]
    return list(dict.fromkeys(map(round, found) if space.whole else found))


def _between(space: Space, fraction: float) -> float:
    if space.kind == "log":
        return math.exp(math.log(space.low) * (1 - fraction) + math.log(space.high) * fraction)
    return space.low + (space.high - space.low) * fraction


def grid_size(spaces: Sequence[Space]) -> int:
    """How many combinations a grid has; UsageFault for too many."""
    size = math.prod(len(points(space)) for space in spaces)
    if size > LARGEST_GRID:
        raise UsageFault(f"a grid of {size:,} combinations", "give fewer values, or `sampler=random`")
    return size


def grid_point(spaces: Sequence[Space], number: int) -> tuple[Space, ...]:
    """Combination `number`, from 0 to `grid_size` - 1, as spaces of one choice; the last varies fastest."""
    found: tuple[Space, ...] = ()
    for space in reversed(spaces):
        values = points(space)
        number, index = divmod(number, len(values))
        found = (Space(space.name, "choice", choices=(values[index],)), *found)
    return found


def on_log_scale(space: Space) -> Space:
    """The same range, even in the logarithm where it lies above 0 (wright2019, section 5.1)."""
    return replace(space, kind="log") if space.kind == "linear" and space.low > 0 else space


def narrowed(spaces: Sequence[Space], coarse: Sequence[Trial]) -> tuple[Space, ...]:
    """What the fine trials draw from: the neighborhood of the best coarse one.

    A range shrinks to a third of itself around the best value, on its own scale and within its ends. Choices
    shrink to those of the best quarter of the trials, at least two. wright2019, section 5.1: "we start the
    search from coarse ranges, and narrow the range based on the best results"; the third and the quarter are
    ours. Raises UsageFault if all trials failed.
    """
    ranked = sorted((trial for trial in coarse if trial.accuracy is not None), key=lambda trial: trial.rank)
    if not ranked:
        raise UsageFault("every coarse trial failed, so no range can be narrowed", "change the spaces")
    best = ranked[: max(2, math.ceil(len(ranked) / 4))]
    return tuple(_around(space, [trial.values[space.name] for trial in best]) for space in spaces)


def _around(space: Space, values: Sequence[Value]) -> Space:
    """The space, narrowed around the first of the values or, of choices, to the values."""
    if space.kind == "choice":
        return replace(space, choices=tuple(choice for choice in space.choices if choice in values))
    best = float(values[0])
    if space.kind == "log":
        factor = (space.high / space.low) ** (NARROWED / 2)
        low, high = best / factor, best * factor
    else:
        reach = (space.high - space.low) * NARROWED / 2
        low, high = best - reach, best + reach
    if space.whole:
        low, high = math.ceil(low), math.floor(high)
    return replace(space, low=max(low, space.low), high=min(high, space.high))
