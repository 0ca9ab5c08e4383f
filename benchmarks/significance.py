"""How often tests of two classifiers err, and how often their 95% intervals hold the true difference.

    python -m benchmarks.significance [--runs 2000] [--resamples 1000] [--seed 0]

Each run draws which of two models is right on each image. The first table has no true difference: a test at
5% should reject in 5% of the runs. In the second, one model is 3 points better: an interval should hold this
difference in 95% of the runs. Where films have effects, the difference varies from film to film around the
true one, with a standard deviation of 10 points, or 2 where few pairs differ. Sizes of films are log-normal.

Films are ignored by McNemar's tests, the score interval, and the plain bootstrap of images. They are counted
by the bootstrap of whole films (percentiles, and BCa), by the t interval with the cluster-robust variance of
statsmodels, and by emoprune. Without films, all these take each image for one. An interval rejects where it
leaves out 0.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import fmean

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri, stdtrit

from benchmarks.common import machine, markdown, parser, progress
from emoprune.evaluation.significance.compare import Change, change_of
from emoprune.evaluation.significance.paired import LEVEL, score_interval

DIFFERENCE = -0.03
TAIL = LEVEL / 2
OURS = "emoprune"

Floats = NDArray[np.float64]
Interval = tuple[float, float]


@dataclass(frozen=True)
class Scene:
    """What is drawn: `discordant` of the images are right by one model only, films differ by `effect`."""

    name: str
    images: int
    discordant: float
    films: int = 0
    effect: float = 0.0
    spread: float = 0.8


SCENES = (
    Scene("independent, 67 images", 67, 0.25),
    Scene("independent, 650 images", 650, 0.25),
    Scene("independent, 650 images, few pairs differ", 650, 0.05),
    Scene("independent, 2,434 images", 2434, 0.10),
    Scene("650 images of 30 films without effects", 650, 0.25, films=30),
    Scene("650 images of 20 films with effects", 650, 0.25, films=20, effect=0.1),
    Scene("650 images of 30 films with effects", 650, 0.25, films=30, effect=0.1),
    Scene("650 images of 40 films with effects", 650, 0.25, films=40, effect=0.1),
    Scene("650 images of 30 films with effects, few pairs differ", 650, 0.05, films=30, effect=0.02),
    Scene("650 images of 30 films of equal size with effects", 650, 0.25, films=30, effect=0.1, spread=0.0),
)


@dataclass(frozen=True)
class Drawn:
    """One run: -1, 0 or 1 by image, the sums and sizes of its groups, and what emoprune says."""

    changes: Floats
    sums: Floats
    sizes: Floats
    found: Change


def draw(scene: Scene, difference: float, generator: np.random.Generator) -> Drawn:
    """One run of a scene, with that true difference."""
    films = np.arange(scene.images)
    means = np.full(scene.images, difference)
    if scene.films:
        weights = np.exp(scene.spread * generator.standard_normal(scene.films))
        sizes = np.maximum(2, np.round(scene.images * weights / weights.sum())).astype(int)
        films = np.repeat(np.arange(scene.films), sizes)
        # cut off alike on both sides, so that the mean stays the true one
        limit = scene.discordant - abs(difference)
        effects = np.clip(scene.effect * generator.standard_normal(scene.films), -limit, limit)
        means = difference + effects[films]
    chance = generator.random(len(films))
    gained = chance < (scene.discordant + means) / 2
    lost = ~gained & (chance < scene.discordant)
    both = ~gained & ~lost & (generator.random(len(films)) < 0.5)
    changes = gained.astype(float) - lost
    sums, counts = np.bincount(films, changes).astype(np.float64), np.bincount(films).astype(np.float64)
    groups = films if scene.films else None
    return Drawn(changes, sums, counts, change_of(lost | both, gained | both, groups=groups))


Judge = Callable[[Drawn, Mapping[str, Interval]], Mapping[str, bool]]


def bootstrap(sums: Floats, sizes: Floats, resamples: int, generator: np.random.Generator) -> Floats:
    """The means of resampled groups, sorted."""
    groups = len(sums)
    counts = generator.multinomial(groups, np.full(groups, 1 / groups), size=resamples)
    return np.sort((counts @ sums) / (counts @ sizes))


def percentiles(means: Floats) -> Interval:
    """The percentile interval of sorted means."""
    low, high = np.quantile(means, [TAIL, 1 - TAIL])
    return float(low), float(high)


def accelerated(means: Floats, sums: Floats, sizes: Floats) -> Interval:
    """The bias-corrected and accelerated interval (Efron 1987) of sorted means."""
    mean = sums.sum() / sizes.sum()
    bias = ndtri(np.clip(((means < mean).mean() + (means <= mean).mean()) / 2, 1e-4, 1 - 1e-4))
    left_out = (sums.sum() - sums) / (sizes.sum() - sizes)
    apart = left_out.mean() - left_out
    scale = 6 * (apart**2).sum() ** 1.5
    skew = (apart**3).sum() / scale if scale else 0.0
    ends = bias + ndtri([TAIL, 1 - TAIL])
    low, high = np.quantile(means, ndtr(bias + ends / (1 - skew * ends)))
    return float(low), float(high)


def robust(drawn: Drawn) -> Interval:
    """The interval of Student's t with the variance over groups that statsmodels has (CR1)."""
    groups, images = len(drawn.sums), drawn.sizes.sum()
    mean = drawn.sums.sum() / images
    apart = drawn.sums - drawn.sizes * mean
    reach = stdtrit(groups - 1, 1 - TAIL) * np.sqrt(groups / (groups - 1) * (apart**2).sum()) / images
    return float(mean - reach), float(mean + reach)


def intervals(drawn: Drawn, resamples: int, generator: np.random.Generator) -> Mapping[str, Interval]:
    """The interval of each method."""
    pairs, images = drawn.found.mcnemar, len(drawn.changes)
    counts = np.array([pairs.gained, pairs.lost, images - pairs.gained - pairs.lost])
    redrawn = generator.multinomial(images, counts / images, size=resamples)
    plain = np.sort((redrawn[:, 0] - redrawn[:, 1]) / images)
    # without films, that is all
    means = bootstrap(drawn.sums, drawn.sizes, resamples, generator) if drawn.found.groups else plain
    assert drawn.found.interval is not None
    return {
        "plain score": score_interval(pairs.gained, pairs.lost, images),
        "plain bootstrap": percentiles(plain),
        "bootstrap of films": percentiles(means),
        "BCa of films": accelerated(means, drawn.sums, drawn.sizes),
        "cluster-robust t": robust(drawn),
        OURS: drawn.found.interval,
    }


def errors(drawn: Drawn, found: Mapping[str, Interval]) -> Mapping[str, bool]:
    """Which tests say that there is a difference."""
    pairs, p = drawn.found.mcnemar, drawn.found.p
    assert p is not None
    tests = {"exact McNemar": pairs.exact_p < LEVEL, "mid-p McNemar": pairs.mid_p < LEVEL}
    return {**tests, **{name: not low <= 0 <= high for name, (low, high) in found.items()}, OURS: p < LEVEL}


def covers(_: Drawn, found: Mapping[str, Interval]) -> Mapping[str, bool]:
    """Which intervals hold the true difference."""
    return {name: low <= DIFFERENCE <= high for name, (low, high) in found.items()}


def table(judge: Judge, difference: float, args: argparse.Namespace) -> str:
    """How often `judge` says yes of each method, a row for each scene."""
    rows: list[list[str]] = []
    names: tuple[str, ...] = ()
    for number, scene in enumerate(SCENES):
        generator = np.random.default_rng([args.seed, number])
        drawn = (draw(scene, difference, generator) for _ in range(args.runs))
        judged = [judge(each, intervals(each, args.resamples, generator)) for each in drawn]
        names = tuple(judged[0])
        rows.append([scene.name, *(f"{fmean(each[name] for each in judged):.1%}" for name in names)])
        progress(scene.name)
    return markdown(["data", *names], rows)


def run() -> None:
    """Simulate and print the tables."""
    options = parser(__doc__)
    options.add_argument("--runs", type=int, default=2000, help="data sets of each kind")
    options.add_argument("--resamples", type=int, default=1000, help="of each bootstrap")
    options.add_argument("--seed", type=int, default=0, help="of all draws")
    args = options.parse_args()
    where, start = machine(), time.perf_counter()
    print("Rejected at 5% without a difference (should be 5%):\n")
    print(table(errors, 0.0, args), end="\n\n")
    print("Intervals that hold a difference of -3 points (should be 95%):\n")
    print(table(covers, DIFFERENCE, args), end="\n\n")
    print(f"{args.runs:,} runs a row, {time.perf_counter() - start:.0f} s, {where}")


if __name__ == "__main__":
    run()
