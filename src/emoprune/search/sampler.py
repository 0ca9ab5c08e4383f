"""SAMPLERS: which spaces the trials of a search are drawn from."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from emoprune.choices import Sampler
from emoprune.search.space import Space, Trial, grid_point, narrowed

Propose = Callable[[Sequence[Space], int, int, Sequence[Trial]], Sequence[Space] | None]
"""(spaces, a trial's number, how many trials in all, those that ended) -> what the trial draws from."""


def coarse_trials(total: int) -> int:
    """How many of `total` trials are in the first round of a search from coarse to fine: half of them."""
    return (total + 1) // 2


def _grid(spaces: Sequence[Space], number: int, total: int, ended: Sequence[Trial]) -> Sequence[Space]:
    return grid_point(spaces, number)


def _random(spaces: Sequence[Space], number: int, total: int, ended: Sequence[Trial]) -> Sequence[Space]:
    return spaces


def _coarse_to_fine(
    spaces: Sequence[Space], number: int, total: int, ended: Sequence[Trial]
) -> Sequence[Space] | None:
    """The whole ranges, then narrowed ones; None while trials of the first round still run."""
    first = coarse_trials(total)
    if number < first:
        return spaces
    coarse = [trial for trial in ended if trial.number < first]
    return narrowed(spaces, coarse) if len(coarse) == first else None


SAMPLERS: dict[Sampler, Propose] = {"grid": _grid, "random": _random, "coarse-to-fine": _coarse_to_fine}
