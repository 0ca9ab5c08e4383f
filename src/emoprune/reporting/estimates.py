"""Means with their intervals, and what papers print, as cells of sheets and of flat rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from emoprune.reporting.records_charts import Estimate
from emoprune.reporting.types import Printed


@dataclass(frozen=True)
class Unit:
    """How values are written: their format, what they are multiplied with before, and what comes after."""

    form: str
    factor: float = 1
    sign: str = ""

    def text(self, value: float) -> str:
        """One value."""
        return f"{self.factor * value:{self.form}}{self.sign}"

    def estimate(self, found: Estimate | None) -> str | None:
        """A mean, with how far its 95% interval reaches either side: "60.0 ± 24.8%"."""
        if found is None or found.high is None:
            return None if found is None else self.text(found.mean)
        reach = found.high - found.mean
        return f"{self.factor * found.mean:{self.form}} ± {self.text(reach)}"


SHARE = Unit(".1f", 100, "%")
DECIMALS = Unit(".3f")


def bounds(key: str, found: Estimate | None) -> dict[str, object]:
    """The two ends of an interval under the names that they have in CSV."""
    return {f"{key}_low": found.low if found else None, f"{key}_high": found.high if found else None}


def flat_printed(key: str, entry: Printed | None) -> dict[str, object]:
    """A paper's number and where it stands under the names that they have in CSV."""
    return {
        f"paper_{key}": entry.value if entry else None,
        f"paper_{key}_where": entry.where if entry else None,
    }


def told_apart(names: Iterable[str]) -> list[str]:
    """The names, numbered where one comes again."""
    names = list(names)
    counts, seen = Counter(names), Counter[str]()
    apart = []
    for name in names:
        seen[name] += 1
        apart.append(f"{name} #{seen[name]}" if counts[name] > 1 else name)
    return apart
