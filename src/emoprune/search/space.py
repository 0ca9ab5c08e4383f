"""What a search for hyper-parameters tries, and what it has tried."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from emoprune.choices import SpaceKind
from emoprune.errors import InvalidRecord
from emoprune.evaluation.types import LARGEST

Value = int | float | str


@dataclass(frozen=True)
class Space:
    """The values that one option may take: `choices`, or all from `low` to `high`, both included.

    `whole` ranges hold integers only; those of kind "log" are even in the logarithm. `steps` is how many
    values a grid takes of a range, None where that was not said.
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
                raise InvalidRecord(
                    f"choices of {self.name} that are none, or twice the same", "give each once"
                )
            return
        if not all(math.isfinite(end) and abs(end) < LARGEST for end in (self.low, self.high)):
            raise InvalidRecord(f"a range of {self.name} without an end", "give two numbers")
        if self.low > self.high:
            raise InvalidRecord(
                f"a range of {self.name} that ends before it begins", "give the lower end first"
            )
        if self.kind == "log" and self.low <= 0:
            raise InvalidRecord(f"a log range of {self.name} from {self.low:g}", "begin above 0")
        if self.whole and (self.low % 1 or self.high % 1):
            raise InvalidRecord(f"a range of {self.name} between fractions", "give whole numbers")
        if self.steps is not None and self.steps < 2:
            raise InvalidRecord(f"a grid of {self.steps} over a range of {self.name}", "give 2 steps or more")

    @property
    def spelled(self) -> str:
        """How it is written after `NAME=`; the same for the same values."""
        if self.kind == "choice":
            return ",".join(map(str, self.choices))
        kinds = {"log": "log:", "linear": "int:" if self.whole else ""}
        ends = [str(int(end)) if self.whole else repr(end) for end in (self.low, self.high)]
        return kinds[self.kind] + ":".join([*ends, *([str(self.steps)] if self.steps else [])])


@dataclass(frozen=True)
class Trial:
    """One training of a search that has ended, `number` counted from 0; `values` by option.

    `line` is its evaluation as JSON and `fingerprint` that of its checkpoint; where it failed they and
    `accuracy` are None.
    """

    number: int
    values: Mapping[str, Value]
    accuracy: float | None = None
    line: str | None = None
    fingerprint: str | None = None

    def __post_init__(self) -> None:
        if (self.accuracy is None) != (self.line is None):
            raise InvalidRecord(f"trial {self.number} with half an evaluation", "start another search")

    @property
    def rank(self) -> tuple[float, int]:
        """Smaller is better: the higher accuracy, of equals the earlier; failures last."""
        return (math.inf if self.accuracy is None else -self.accuracy, self.number)
