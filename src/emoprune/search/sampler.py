"""Which spaces the trials of a search are drawn from."""

from __future__ import annotations

from collections.abc import Sequence

from emoprune.choices import Sampler
from emoprune.search.space import Space, Trial, grid_point, narrowed


def coarse_trials(total: int) -> int:
    """How many of `total` trials are in the first round of a search from coarse to fine: half of them."""
    return (total + 1) // 2


def proposed(
    sampler: Sampler, spaces: Sequence[Space], number: int, total: int, ended: Sequence[Trial]
) -> Sequence[Space] | None:
    """What trial `number` of `total` draws from; None while it waits for trials of the first round.

    Fine trials draw from the spaces as narrowed by the coarse ones among those that `ended`.
    """
    if sampler == "grid":
        return grid_point(spaces, number)
    first = coarse_trials(total)
    if sampler == "random" or number < first:
        return spaces
    coarse = [trial for trial in ended if trial.number < first]
    return narrowed(spaces, coarse) if len(coarse) == first else None
