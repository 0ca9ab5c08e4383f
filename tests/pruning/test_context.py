"""One network under one method, and what is left of it."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from emoprune.pruning.angles import angles_deg
from emoprune.pruning.refit import Refit
from tests.support.layers import table_pruning


def test_layers_are_re_solved_where_someone_does_it() -> None:
    seen: list[Refit] = []
    found = replace(table_pruning(), resolve=seen.append)
    plan = found.course().plan(4)
    after, merged = found.carried_out(plan), replace(found, resolve=None).carried_out(plan)
    assert len(seen) == 1
    # nothing was done to it, so the merge is what is left
    assert all(torch.equal(after.tensors[name], tensor) for name, tensor in merged.tensors.items())
    replace(found, request=replace(found.request, merge="sum")).carried_out(plan)
    assert len(seen) == 1


def test_what_is_left_is_told_by_its_angles_and_its_kernels() -> None:
    found = table_pruning("importance", centre="mean")
    plan = found.course().plan(5)
    after = found.carried_out(plan)
    angles = [angles_deg(statistics, centre="mean") for statistics in after.statistics.values()]
    least = min(float(each[i, j]) for each in angles for i in range(len(each)) for j in range(i))
    assert found.smallest_angle_deg(after) == least
    norms = [
        float(found.before.tensors[f"{removal.layer}.weight"][unit].double().norm())
        for removal in plan.removals
        for unit in removal.kept
    ]
    assert found.least_importance(plan) == pytest.approx(min(norms))
