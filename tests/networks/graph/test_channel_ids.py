"""Channel ids: what is tied to what, and what that keeps."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emoprune.networks.graph.channel_ids import SILENT, Pool

COUNT = 8
PAIRS = st.lists(st.tuples(st.integers(0, COUNT - 1), st.integers(0, COUNT - 1)), max_size=12)


def test_fresh_ids_are_in_order_and_never_repeat() -> None:
    pool = Pool()
    assert pool.fresh(3).tolist() == [0, 1, 2]
    assert pool.fresh(0).tolist() == []
    assert pool.fresh(2).tolist() == [3, 4]


def test_roots_of_untied_ids_are_themselves() -> None:
    pool = Pool()
    assert pool.roots(pool.fresh(3)).tolist() == [0, 1, 2]


def test_tie_makes_the_older_id_the_root() -> None:
    pool = Pool()
    first, second = pool.fresh(2), pool.fresh(2)
    pool.tie(second, first)
    assert pool.roots(np.concatenate([first, second])).tolist() == [0, 1, 0, 1]


def test_tie_all_ties_a_whole_group() -> None:
    pool = Pool()
    pool.tie_all(pool.fresh(4)[1:])
    assert pool.roots(np.arange(4)).tolist() == [0, 1, 1, 1]


@given(PAIRS)
def test_ties_are_transitive(pairs: list[tuple[int, int]]) -> None:
    pool = Pool()
    pool.fresh(COUNT)
    groups = [{channel} for channel in range(COUNT)]
    for left, right in pairs:
        pool.tie(np.array([left]), np.array([right]))
        together = next(group for group in groups if left in group) | next(
            group for group in groups if right in group
        )
        groups = [group for group in groups if not group & together] + [together]
    wanted = {channel: min(group) for group in groups for channel in group}
    assert {channel: pool.root(channel) for channel in range(COUNT)} == wanted


@given(PAIRS, st.integers(0, COUNT - 1), st.integers(0, 12))
def test_freeze_covers_ids_tied_before_or_after(pairs: list[tuple[int, int]], frozen: int, when: int) -> None:
    pool = Pool()
    pool.fresh(COUNT)
    for left, right in pairs[:when]:
        pool.tie(np.array([left]), np.array([right]))
    pool.freeze(np.array([frozen]), "view")
    for left, right in pairs[when:]:
        pool.tie(np.array([left]), np.array([right]))
    assert pool.obstacles() == {pool.root(frozen): "view"}


@pytest.mark.parametrize("reasons", [(SILENT, "view"), ("view", SILENT)])
def test_obstacles_prefer_an_operation_to_silence(reasons: tuple[str, str]) -> None:
    pool = Pool()
    first, second = pool.fresh(1), pool.fresh(1)
    pool.freeze(first, reasons[0])
    pool.freeze(second, reasons[1])
    pool.tie(first, second)
    assert pool.obstacles() == {0: "view"}


def test_obstacles_keep_the_first_operation() -> None:
    pool = Pool()
    ids = pool.fresh(1)
    pool.freeze(ids, "view")
    pool.freeze(ids, "chunk")
    assert pool.obstacles() == {0: "view"}
