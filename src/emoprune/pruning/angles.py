"""Angles between hidden units in pattern space (Gedeon & Harris 1991)."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from emoprune.choices import Center
from emoprune.evaluation.training_data import NO_DATA, matching_layers, note_stale_statistics, remeasured
from emoprune.networks.statistics.activation_statistics import layer_range
from emoprune.networks.types import Checkpoint, UnitStatistics
from emoprune.pruning.methods import MASKING
from emoprune.pruning.types import LARGEST_DEG, AnglesConfig, Pair, Survey

INSIGNIFICANT_SHARE = 0.01
"""A unit is insignificant if it is shorter, or varies less, than this fraction of its layer's range."""

ROWS = 32
"""Of a matrix of angles that are computed at once: few enough to stay in a processor's cache."""

ANGLE_DECIMALS = 5
"""Decimals of a degree that float64 sums resolve, even near 0 and 180: closer angles are ties."""


def default_center(activation: str) -> Center:
    """Half for sigmoid units, as published; for all others their own mean.

    Then similar units are those that an affine function makes of one another, whatever their scale. The range
    of a whole layer does not fit ReLU units: most of them are far from its middle, in the same direction.
    """
    return "half" if activation == "sigmoid" else "mean"


def centered_gram(statistics: UnitStatistics, center: Center) -> Tensor:
    """Inner products of the centered activation vectors, (units, units), from the moments alone.

    Every centering is an affine view a * h + d of the activations: half: h - 0.5; range: the layer's
    observed range scaled to 0..1, then minus 0.5; mean: minus each unit's own mean; none: as they are. With
    the mean m of the view, the products over n patterns are n (a^2 C + m m').
    """
    scale, mean = 1.0, statistics.mean
    if center == "half":
        mean = mean - 0.5
    elif center == "range":
        span = layer_range(statistics)
        scale = 1 / span if span > 0 else 0.0
        mean = (mean - statistics.low.min()) * scale - 0.5
    elif center == "mean":
        mean = torch.zeros_like(mean)
    # in place: a layer of thousands of units has a matrix of hundreds of megabytes
    gram = (statistics.covariance * scale).mul_(scale * statistics.count)
    return gram.addr_(mean, mean, alpha=statistics.count)


def angles_deg(statistics: UnitStatistics, *, center: Center) -> Tensor:
    """Angles in degrees, (units, units), 0..180; NaN for a vector without length, 0 on the diagonal."""
    gram = centered_gram(statistics, center)
    length = gram.diagonal().sqrt()
    length = torch.where(length > 0, length, torch.nan)
    for start in range(0, len(gram), ROWS):
        stop = start + ROWS
        rows = gram[start:stop, start:].div_(length[start:stop, None] * length[start:])
        rows.clamp_(-1, 1).acos_().rad2deg_().round_(decimals=ANGLE_DECIMALS)
        gram[stop:, start:stop] = rows[:, ROWS:].T
    return gram.fill_diagonal_(0)


def ordered(angles: Tensor, wanted: Tensor, *, descending: bool = False) -> Iterator[tuple[int, int, float]]:
    """i, j and angle of the pairs i < j that the (units, units) mask `wanted` has, by angle.

    Ties come in order of their indices. These are bare numbers, for a layer of thousands of units has
    millions of pairs.
    """
    first, second = torch.nonzero(torch.triu(wanted, diagonal=1), as_tuple=True)
    values = angles[first, second]
    order = torch.argsort(values, stable=True, descending=descending)
    return zip(first[order].tolist(), second[order].tolist(), values[order].tolist(), strict=True)


def short_units(statistics: UnitStatistics, center: Center) -> Tensor:
    """Mask of the units whose centered vector's root mean square is under 1% of the layer's range."""
    span = layer_range(statistics)
    unit_span = 1.0 if center == "range" else span
    rms = (centered_gram(statistics, center).diagonal() / statistics.count).sqrt()
    return rms <= INSIGNIFICANT_SHARE * unit_span


def constant_units(statistics: UnitStatistics) -> Tensor:
    """Mask of the units whose standard deviation over the patterns is under 1% of the layer's range."""
    deviation = statistics.covariance.diagonal().sqrt()
    still = statistics.low == statistics.high
    return still | (deviation <= INSIGNIFICANT_SHARE * layer_range(statistics))


def silent_units(statistics: UnitStatistics) -> Tensor:
    """Mask of the units that are zero on every pattern."""
    return (statistics.low == 0) & (statistics.high == 0)


def smallest_angle_deg(statistics: UnitStatistics, *, center: Center | None, activation: str) -> float | None:
    """The smallest angle between any two units; None where no two have one."""
    measured = _between_two(angles_deg(statistics, center=center or default_center(activation)))
    return float(measured.min()) if len(measured) else None


def _between_two(angles: Tensor) -> Tensor:
    others = ~torch.eye(len(angles), dtype=torch.bool)
    return angles[others & ~angles.isnan()]


def survey(statistics: UnitStatistics, *, activation: str, config: AnglesConfig | None = None) -> Survey:
    """A layer's angles at a glance; lists the similar and complementary pairs, or all that have an angle."""
    config = config or AnglesConfig()
    center = config.center or default_center(activation)
    angles = angles_deg(statistics, center=center)
    others = ~torch.eye(statistics.units, dtype=torch.bool)
    similar, complementary = (angles < config.below) & others, (angles > config.above) & others
    measured = _between_two(angles)
    listed = ~angles.isnan() if config.everything else similar | complementary
    return Survey(
        units=statistics.units,
        center=center,
        similar=int(similar.any(1).sum()),
        complementary=int(complementary.any(1).sum()),
        # those that do not distinguish patterns
        insignificant=int((short_units(statistics, center) | constant_units(statistics)).sum()),
        smallest_deg=float(measured.min()) if len(measured) else None,
        largest_deg=float(measured.max()) if len(measured) else None,
        pairs=tuple(Pair(*entry) for entry in ordered(angles, listed)),
        below_deg=config.below,
        above_deg=config.above,
        histogram=_histogram(measured),
    )


def _histogram(measured: Tensor) -> tuple[int, ...]:
    """Pairs by degrees, 180 with those under it; both angles of a pair are measured."""
    return tuple(int(count) // 2 for count in torch.histc(measured, LARGEST_DEG, 0, LARGEST_DEG).tolist())


def survey_layers(checkpoint: Checkpoint, config: AnglesConfig) -> dict[str, Survey]:
    """The angles of every chosen layer, by its name in network order.

    They come from the statistics in the checkpoint, or from those of the data that the config names. Raises
    BadCheckpoint where no measured layer is chosen.
    """
    if config.data in (None, NO_DATA):
        note_stale_statistics(checkpoint, masking=MASKING)
    else:
        checkpoint = remeasured(
            checkpoint, config.data or "", limit=config.samples, layer=config.layer, memory=config.memory
        )
    layers = matching_layers(checkpoint, config.layer)
    return {
        layer.name: survey(checkpoint.statistics[layer.name], activation=layer.activation, config=config)
        for layer in layers
    }
