"""Which values the trials of a search are drawn from."""

from __future__ import annotations

import pytest

from emoprune.search.sampler import coarse_trials, proposed
from emoprune.search.space import Space, Trial

LR = Space("lr", "log", 1e-4, 1.0)


def ended(number: int, lr: float, accuracy: float | None) -> Trial:
    return Trial(number, {"lr": lr}, accuracy, None if accuracy is None else "{}")


def test_random_draws_from_the_whole_spaces() -> None:
    assert proposed("random", (LR,), 7, 20, ()) == (LR,)


def test_grid_gives_each_trial_its_own_point() -> None:
    sizes = Space("hidden", "choice", choices=(10, 20))
    found = [proposed("grid", (sizes,), number, 2, ()) for number in range(2)]
    assert [[space.choices for space in point or ()] for point in found] == [[(10,)], [(20,)]]


@pytest.mark.parametrize("total", [4, 5, 20, 21])
def test_coarse_trials_are_half_of_all(total: int) -> None:
    assert 0 <= 2 * coarse_trials(total) - total <= 1


def test_coarse_to_fine_waits_for_every_coarse_trial() -> None:
    assert proposed("coarse-to-fine", (LR,), 1, 4, ()) == (LR,)
    assert proposed("coarse-to-fine", (LR,), 2, 4, [ended(1, 0.1, 0.5)]) is None
    both = [ended(0, 0.01, None), ended(1, 0.1, 0.5)]
    (narrow,) = proposed("coarse-to-fine", (LR,), 2, 4, both) or ()
    assert LR.low < narrow.low < 0.1 < narrow.high < LR.high


def test_coarse_to_fine_narrows_by_coarse_trials_alone() -> None:
    coarse = [ended(0, 0.01, 0.2), ended(1, 0.1, 0.5)]
    later = [*coarse, ended(2, 0.05, 0.9)]
    assert (
        proposed("coarse-to-fine", (LR,), 3, 4, coarse)
        == proposed("coarse-to-fine", (LR,), 3, 4, later)
        != (LR,)
    )
