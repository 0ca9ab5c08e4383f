from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emoprune.errors import InvalidRecord
from emoprune.pruning.types import Removal


def illegal_removals() -> dict[str, Callable[[], Removal]]:
    return {
        "twice": lambda: Removal("a", 4, similar=(1,), insignificant=(1,)),
        "twice alike": lambda: Removal("a", 4, similar=(1, 1)),
        "unknown": lambda: Removal("a", 4, complementary=(4,)),
        "negative": lambda: Removal("a", 4, complementary=(-1,)),
        "all": lambda: Removal("a", 2, complementary=(0, 1)),
        "none there": lambda: Removal("a", 0),
        "merge of a kept unit": lambda: Removal("a", 4, similar=(1,), merges={2: 3}),
        "merge into a removed unit": lambda: Removal("a", 4, similar=(1, 2), merges={1: 2}),
        "merge into itself": lambda: Removal("a", 4, similar=(1,), merges={1: 1}),
        "merge into an unknown unit": lambda: Removal("a", 4, similar=(1,), merges={1: 9}),
    }


@pytest.mark.parametrize("name", illegal_removals())
def test_removal_refuses_illegal_values(name: str) -> None:
    with pytest.raises(InvalidRecord):
        illegal_removals()[name]()


@given(
    st.integers(2, 12).flatmap(
        lambda n: st.tuples(st.just(n), st.sets(st.integers(0, n - 1), max_size=n - 1))
    )
)
@settings(max_examples=60, deadline=None)
def test_removal_keeps_the_units_that_it_does_not_remove(case: tuple[int, set[int]]) -> None:
    units, gone = case
    listed = sorted(gone, reverse=True)
    third = len(listed) // 3
    removal = Removal(
        "a", units, tuple(listed[:third]), tuple(listed[third : 2 * third]), tuple(listed[2 * third :])
    )
    assert removal.removed == tuple(sorted(gone))
    assert sorted(removal.removed + removal.kept) == list(range(units))
    assert list(removal.kept) == sorted(removal.kept)
