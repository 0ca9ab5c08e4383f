"""95% intervals of means over runs, of paired differences and of proportions."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from functools import cache
from statistics import fmean, stdev
from typing import TypeVar

from emoprune.errors import InvalidRecord

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

CONFIDENCE = 0.95
Z_95 = 1.959963984540054


@dataclass(frozen=True)
class Estimate:
    """A mean over `n` runs and its 95% interval; that of one run, if it has any, is over its samples."""

    n: int
    mean: float
    low: float | None = None
    high: float | None = None

    def __post_init__(self) -> None:
        if self.n < 1 or (self.low is None) != (self.high is None) or (self.n > 1 and self.low is None):
            raise InvalidRecord(
                f"an interval of {self.n} runs from {self.low} to {self.high}", "take the mean of two runs"
            )


def estimate(values: Iterable[float]) -> Estimate:
    """The mean of one value per run, with Student's 95% interval; one run has no interval.

    The interval is of the mean over runs (seeds), not of one run's accuracy, and is not clipped to 0 and 1.
    """
    values = list(values)
    mean = fmean(values)
    if len(values) == 1:
        return Estimate(1, mean)
    reach = t_quantile(len(values) - 1) * stdev(values) / math.sqrt(len(values))
    return Estimate(len(values), mean, mean - reach, mean + reach)


def paired(
    first: Iterable[tuple[Hashable, float]], second: Iterable[tuple[Hashable, float]]
) -> Estimate | None:
    """The mean of second minus first over the keys (seeds) that both have; None without such keys.

    Several values of one key count as their mean.
    """
    before, after = by_key(first), by_key(second)
    differences = [fmean(after[key]) - fmean(before[key]) for key in after if key in before]
    return estimate(differences) if differences else None


def wilson_interval(successes: int, trials: int) -> tuple[float, float]:
    """The 95% score interval of a proportion (Wilson 1927): also for few trials and near 0 or 1."""
    fraction = successes / trials
    spread = Z_95**2 / trials
    middle = (fraction + spread / 2) / (1 + spread)
    half = math.sqrt(fraction * (1 - fraction) * spread + spread**2 / 4) / (1 + spread)
    # rounding must not push the interval past 0 or 1
    low = 0.0 if successes == 0 else middle - half
    high = 1.0 if successes == trials else middle + half
    return low, high


def by_key(values: Iterable[tuple[K, V]]) -> dict[K, list[V]]:
    """The values of each key, keys in order of appearance."""
    found: dict[K, list[V]] = {}
    for key, value in values:
        found.setdefault(key, []).append(value)
    return found


@cache
def t_quantile(freedom: int) -> float:
    """The q for which Student's t of so many degrees of freedom lies in -q to q with 95% probability."""
    low, high = 0.0, math.pi / 2
    while low < (middle := (low + high) / 2) < high:
        low, high = (middle, high) if _within(middle, freedom) < CONFIDENCE else (low, middle)
    return math.sqrt(freedom) * math.tan(low)


def _within(angle: float, freedom: int) -> float:
    """The probability that |t| < sqrt(freedom) tan(angle) (Abramowitz & Stegun 1964, 26.7.3 and 26.7.4)."""
    odd = freedom % 2
    square = math.cos(angle) ** 2
    term = math.cos(angle) if odd else 1.0
    terms = []
    for index in range(freedom // 2):
        terms.append(term)
        # 2/3, 4/5, ... for an odd number, 1/2, 3/4, ... for an even one
        term *= square * (2 * index + 1 + odd) / (2 * index + 2 + odd)
    total = math.sin(angle) * math.fsum(terms)
    return 2 / math.pi * (angle + total) if odd else total
