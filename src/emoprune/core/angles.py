"""Angles between hidden units in pattern space (Gedeon & Harris 1991)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import TypedDict

import torch
from torch import Tensor

from emoprune.core.statistics import covariance, layer_range
from emoprune.records import Pair, UnitStatistics
from emoprune.records.choices import Centre

INSIGNIFICANT_SHARE = 0.01
"""A vector shorter, or a unit varying less, than this share of the layer's range says nothing."""

ANGLE_DECIMALS = 6
"""What float64 sums resolve, in degrees: angles that differ by less are ties."""


def default_centre(activation: str) -> Centre:
    """What spans -0.5 to 0.5: minus 0.5 for sigmoid units, the layer's observed range for all others."""
    return "half" if activation == "sigmoid" else "range"


def centred_gram(statistics: UnitStatistics, centre: Centre) -> Tensor:
    """Inner products of the centred activation vectors, (units, units), from the sums alone.

    Every centring is an affine view a * h + d of the activations: half: h - 0.5; range: the layer's
    observed range scaled to 0..1, then minus 0.5; mean: minus each unit's own mean; none: as they are.
    """
    ones = torch.ones_like(statistics.total)
    scale = 1.0
    shift = torch.zeros_like(ones)
    if centre == "half":
        shift = -0.5 * ones
    elif centre == "range":
        span = layer_range(statistics)
        scale = 1 / span if span > 0 else 0.0
        shift = ones * (-float(statistics.low.min()) * scale - 0.5)
    elif centre == "mean":
        return covariance(statistics) * statistics.count
    crossed = scale * torch.outer(statistics.total, shift)
    gram = scale**2 * statistics.gram + crossed + crossed.T + statistics.count * torch.outer(shift, shift)
    gram.diagonal().clamp_(min=0)
    return gram


def angles_deg(statistics: UnitStatistics, *, centre: Centre) -> Tensor:
    """Angles in degrees, (units, units), 0..180; NaN for a vector without length, 0 on the diagonal."""
    gram = centred_gram(statistics, centre)
    length = gram.diagonal().sqrt()
    length = torch.where(length > 0, length, torch.nan)
    cosine = (gram / torch.outer(length, length)).clamp(-1, 1)
    # the half-angle form keeps its digits where arccos loses them
    angles = torch.rad2deg(2 * torch.atan2((1 - cosine).sqrt(), (1 + cosine).sqrt()))
    angles.fill_diagonal_(0)
    return angles.round(decimals=ANGLE_DECIMALS)


def ordered(angles: Tensor, wanted: Tensor, *, descending: bool = False) -> Iterator[tuple[int, int, float]]:
    """i, j and angle of the pairs i < j that the (units, units) mask `wanted` has, by angle.

    Ties come in order of their indices. A layer of thousands of units has millions of pairs, hence bare
    numbers; `pairs` has them as records.
    """
    first, second = torch.nonzero(torch.triu(wanted, diagonal=1), as_tuple=True)
    values = angles[first, second]
    order = torch.argsort(values, stable=True, descending=descending)
    return zip(first[order].tolist(), second[order].tolist(), values[order].tolist(), strict=True)


def pairs(angles: Tensor, *, below_deg: float = 180.0, above_deg: float = 180.0) -> list[Pair]:
    """The pairs with an angle strictly under `below_deg` or over `above_deg`, smallest angle first.

    Ties come in order of their indices; pairs without an angle are left out.
    """
    return [Pair(*entry) for entry in ordered(angles, (angles < below_deg) | (angles > above_deg))]


def short_units(statistics: UnitStatistics, centre: Centre) -> set[int]:
    """Units whose centred vector's root mean square is under 1% of the layer's range."""
    span = layer_range(statistics)
    unit_span = 1.0 if centre == "range" else span
    rms = (centred_gram(statistics, centre).diagonal() / statistics.count).sqrt()
    return _indices(rms <= INSIGNIFICANT_SHARE * unit_span)


def constant_units(statistics: UnitStatistics) -> set[int]:
    """Units whose standard deviation over the patterns is under 1% of the layer's range."""
    deviation = covariance(statistics).diagonal().sqrt()
    still = statistics.low == statistics.high
    return _indices(still | (deviation <= INSIGNIFICANT_SHARE * layer_range(statistics)))


def silent_units(statistics: UnitStatistics) -> set[int]:
    """Units that are zero on every pattern."""
    return _indices((statistics.low == 0) & (statistics.high == 0))


def insignificant_units(statistics: UnitStatistics, centre: Centre) -> set[int]:
    """Units whose vector is short or that hardly vary: they tell no pattern from another."""
    return short_units(statistics, centre) | constant_units(statistics)


def _indices(mask: Tensor) -> set[int]:
    return {int(unit) for unit in torch.nonzero(mask).flatten()}


class Survey(TypedDict):
    """The angles of one layer at a glance; the keys of schema emoprune.angles/1."""

    units: int
    centre: Centre
    similar: int
    complementary: int
    insignificant: int
    smallest_deg: float | None
    largest_deg: float | None
    pairs: list[PairRecord]


class PairRecord(TypedDict):
    """A pair of units, i < j."""

    i: int
    j: int
    angle_deg: float


def survey(
    statistics: UnitStatistics,
    *,
    centre: Centre | None,
    activation: str,
    below_deg: float,
    above_deg: float,
    everything: bool,
) -> Survey:
    """Counts of units in similar or complementary pairs, and the pairs, or with `everything` all pairs.

    The smallest and largest angle are over all pairs; None where no two units have an angle.
    """
    resolved = centre or default_centre(activation)
    angles = angles_deg(statistics, centre=resolved)
    notable = pairs(angles, below_deg=below_deg, above_deg=above_deg)
    upper = angles[torch.triu(torch.ones_like(angles, dtype=torch.bool), diagonal=1)]
    measured = upper[~upper.isnan()]
    listed = pairs(angles, below_deg=math.inf) if everything else notable
    return Survey(
        units=statistics.units,
        centre=resolved,
        similar=_units_in(pair for pair in notable if pair.angle_deg < below_deg),
        complementary=_units_in(pair for pair in notable if pair.angle_deg > above_deg),
        insignificant=len(insignificant_units(statistics, resolved)),
        smallest_deg=float(measured.min()) if len(measured) else None,
        largest_deg=float(measured.max()) if len(measured) else None,
        pairs=[PairRecord(i=pair.i, j=pair.j, angle_deg=pair.angle_deg) for pair in listed],
    )


def _units_in(chosen: Iterable[Pair]) -> int:
    return len({unit for pair in chosen for unit in (pair.i, pair.j)})
