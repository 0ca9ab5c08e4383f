"""The records of a search for hyper-parameters."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest

from emoprune.errors import InvalidRecord
from emoprune.search.space import Space, Trial


@pytest.mark.parametrize(
    "make",
    [
        lambda: Space("lr", "choice"),
        lambda: Space("lr", "choice", choices=(1, 1)),
        lambda: Space("lr", "linear", 1, 0),
        lambda: Space("lr", "linear", 0, math.inf),
        lambda: Space("lr", "log", 0, 1),
        lambda: Space("lr", "linear", 0.5, 3, True),
        lambda: Space("lr", "linear", 0, 1, steps=1),
        lambda: Trial(0, {}, 0.5),
        lambda: Trial(0, {}, line="{}"),
    ],
)
def test_no_space_is_empty_and_no_trial_half_evaluated(make: Callable[[], object]) -> None:
    with pytest.raises(InvalidRecord):
        make()


def test_trials_rank_by_accuracy_then_age_and_failures_last() -> None:
    trials = [Trial(0, {}), Trial(1, {}, 0.5, "{}"), Trial(2, {}, 0.7, "{}"), Trial(3, {}, 0.7, "{}")]
    assert [trial.number for trial in sorted(trials, key=lambda trial: trial.rank)] == [2, 3, 1, 0]
