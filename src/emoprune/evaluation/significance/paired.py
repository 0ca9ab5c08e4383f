"""Tests and intervals of a paired difference of proportions, for independent images and for groups of them.

Images of one group (faces of one film, photos of one person) are not independent: a network that fails on
one fails on many. Tests for independent images then find differences that other films do not have.
`benchmarks/significance.py` shows how often.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import bdtr, ndtr, ndtri, stdtr, stdtrit

LEVEL = 0.05
POWER = 0.8
NEAR = 1e-9
LEAST = 0.5
"""Images of one group are not less alike than others: a design effect far below 1 is chance."""
FEWEST = 5
"""McNemar's test cannot reject with fewer pairs: of 4 alike the mid-p is 0.0625."""

Values = NDArray[np.float64]


@dataclass(frozen=True)
class McNemar:
    """McNemar's two-sided tests of the pairs that only one of two models has right.

    `gained` pairs have only the second model right, `lost` pairs only the first. `exact_p` is binomial, and
    rejects less often than it may. `mid_p` counts the observed outcome half, and keeps its level better
    (Fagerland, Lydersen & Laake 2013).
    """

    gained: int
    lost: int
    exact_p: float
    mid_p: float


@dataclass(frozen=True)
class View:
    """How far to trust `images` images: as many as `images / design_effect` independent ones.

    `freedom` is that of Student's t, infinite where images are independent.
    """

    design_effect: float = 1.0
    freedom: float = math.inf

    def quantile(self, probability: float) -> float:
        """The quantile of Student's t."""
        infinite = math.isinf(self.freedom)
        return float(ndtri(probability) if infinite else stdtrit(self.freedom, probability))

    def two_sided(self, statistic: float) -> float:
        """The probability of a t as far from 0 as `statistic`."""
        infinite = math.isinf(self.freedom)
        below = -abs(statistic)
        return float(2 * (ndtr(below) if infinite else stdtr(self.freedom, below)))


INDEPENDENT = View()


def mcnemar(gained: int, lost: int) -> McNemar:
    """McNemar's exact test and its mid-p version (McNemar 1947); 1 where no pair differs."""
    pairs, fewer = gained + lost, min(gained, lost)
    if not pairs:
        return McNemar(0, 0, 1.0, 1.0)
    twice = 2 * float(bdtr(fewer, pairs, 0.5))
    # of equal counts both tails hold the observed outcome, so the exact one exceeds 1
    observed = float(bdtr(fewer, pairs, 0.5) - (bdtr(fewer - 1, pairs, 0.5) if fewer else 0.0))
    return McNemar(gained, lost, min(1.0, twice), twice - observed)


def score_interval(
    gained: float, lost: float, images: float, *, view: View = INDEPENDENT
) -> tuple[float, float]:
    """The 95% score interval of (gained - lost) / images (Tango 1998), between -1 and 1.

    It is what a score test does not reject, and has a width where nothing differs: of 3 images without a
    difference it reaches from -0.56 to 0.56. A design effect divides the counts (Rao & Scott 1992).
    """
    more, fewer, size = (count / view.design_effect for count in (gained, lost, images))
    quantile = view.quantile(1 - LEVEL / 2)
    return _lower_limit(more, fewer, size, quantile), -_lower_limit(fewer, more, size, quantile)


def _lower_limit(gained: float, lost: float, images: float, quantile: float) -> float:
    if gained - lost + images <= 0:
        return -1.0

    def excess(difference: float) -> float:
        """How far the score statistic at a difference is over the quantile, times its standard error."""
        # the likeliest fraction of lost pairs if this is the difference
        linear = (2 * images - gained + lost) * difference - gained - lost
        constant = -lost * difference * (1 - difference)
        root = math.sqrt(max(0.0, linear**2 - 8 * images * constant))
        variance = images * ((root - linear) / (2 * images) + difference * (1 - difference))
        return gained - lost - images * difference - quantile * math.sqrt(max(0.0, variance))

    # at the difference itself the variance may be 0, which looks like a limit
    return float(brentq(excess, -1.0, (gained - lost) / images - NEAR, xtol=1e-13))


def clustered_view(values: Values, groups: NDArray[np.intp]) -> View | None:
    """How far to trust the mean of (images,) values of two or more groups numbered from 0.

    The design effect compares two variances of the mean: of a jackknife that leaves out whole groups, and of
    independent images. The degrees of freedom are Satterthwaite's (after Bell & McCaffrey 2002), which are
    few where one group holds many of the images. For groups of equal size, this is what regression with
    cluster-robust errors has. None where all values are equal.
    """
    images, sizes = len(values), np.bincount(groups)
    independent = values.var() / images
    if not independent:
        return None
    apart = np.bincount(groups, values - values.mean()) / (1 - sizes / images)
    jackknife = (1 - 1 / len(sizes)) * (apart**2).sum() / images**2
    return View(max(LEAST, float(jackknife / independent)), _freedom(sizes))


def whole_groups_view(groups: NDArray[np.intp]) -> View:
    """As if all images of a group told the same (Kish 1965): the most cautious view."""
    sizes = np.bincount(groups)
    return View(float((sizes**2).sum() / len(groups)), _freedom(sizes))


def _freedom(sizes: NDArray[np.intp]) -> float:
    """The degrees of freedom of the jackknife's variance if images are independent."""
    fractions = sizes / sizes.sum()
    # what groups add to it has the covariance diag(sizes) - sizes sizes' / images
    weights = fractions / (1 - fractions) ** 2
    own, shared = weights * (1 - fractions), weights * fractions
    return float(own.sum() ** 2 / ((own**2).sum() + shared.sum() ** 2 - (shared**2).sum()))


def smallest_difference(pairs: float, images: int, *, view: View = INDEPENDENT) -> float:
    """The difference that so many images show with 80% power at 5%, two-sided; infinite where they show none.

    `pairs` of the images differ (Connor 1987). A difference larger than this fraction makes all its pairs.
    """
    size, rate = images / view.design_effect, pairs / images
    level, power = view.quantile(1 - LEVEL / 2), view.quantile(POWER)
    if size <= level**2 or size < FEWEST:
        return math.inf
    # d sqrt(size) = level sqrt(rate) + power sqrt(rate - d^2), squared
    half = level * math.sqrt(size * rate)
    square = size + power**2
    found = (half + math.sqrt(half**2 - square * (level**2 - power**2) * rate)) / square
    if found < rate:
        return found
    # the same with d in place of the rate, in u = sqrt(1 - d)
    half = level * power
    u = (math.sqrt(half**2 + square * (size - level**2)) - half) / square
    return 1 - u**2
