"""95% intervals of means over runs, of paired differences, of medians and of proportions."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from functools import cache
from statistics import fmean, median, stdev
from typing import TypeVar

from emoprune.errors import InvalidRecord

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

CONFIDENCE = 0.95
Z_95 = 1.959963984540054

Limits = tuple[float, float]
"""The least and the largest value that a quantity can have."""
ANY: Limits = (-math.inf, math.inf)
FRACTION: Limits = (0.0, 1.0)
CORRELATION: Limits = (-1.0, 1.0)


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


def estimate(values: Iterable[float], *, limits: Limits = ANY) -> Estimate:
    """The mean of one value per run, with Student's 95% interval, cut at the limits of the values.

    One run has no interval. The interval is of the mean over runs (seeds), not of one run's accuracy. The
    mean over all seeds is within the limits, so that the cut interval contains it exactly as often as the
    whole one (Mandelkern 2002, Statistical Science 17, 149-172): of fractions around 60% in 95% of cases, of
    such around 98%, which are skewed, in about 92%. Student's interval of logits stays within 0 and 1
    without a cut, but is of another mean, does not always contain that of the runs, is undefined at 0 and 1,
    and gets worse with more runs: of ten around 98% it contains the mean in 87%.
    """
    values = list(values)
    mean = fmean(values)
    if len(values) == 1:
        return Estimate(1, mean)
    reach = t_quantile(len(values) - 1) * stdev(values) / math.sqrt(len(values))
    low, high = limits
    return Estimate(len(values), mean, max(low, mean - reach), min(high, mean + reach))


def paired(
    first: Iterable[tuple[Hashable, float]],
    second: Iterable[tuple[Hashable, float]],
    *,
    limits: Limits = ANY,
) -> Estimate | None:
    """The mean of second minus first over the keys (seeds) that both have; None without such keys.

    Several values of one key count as their mean. The limits are those of the values.
    """
    before, after = by_key(first), by_key(second)
    differences = [fmean(after[key]) - fmean(before[key]) for key in after if key in before]
    low, high = limits
    return estimate(differences, limits=(low - high, high - low)) if differences else None


def median_estimate(values: Iterable[float]) -> Estimate:
    """The median of `n` values with an interval of at least 95% for it, whatever their distribution.

    Its ends are the values between which the median lies in all but 2.5% of cases on either side, by the
    binomial distribution; those of all values where they are fewer than 6.
    """
    ordered = sorted(values)
    count = len(ordered)
    below, tail = 0, 0.5**count
    # the most values that can be left out on one side
    while (more := tail + math.comb(count, below + 1) * 0.5**count) <= (1 - CONFIDENCE) / 2:
        below, tail = below + 1, more
    return Estimate(count, median(ordered), ordered[below], ordered[count - 1 - below])


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
