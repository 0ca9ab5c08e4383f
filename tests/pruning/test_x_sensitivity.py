"""What each layer alone can bear to lose."""

from __future__ import annotations

from dataclasses import replace

from emoprune.pruning.error_estimate import certify, ladder
from tests.support.layers import table_pruning


def test_every_share_of_a_layer_costs_what_a_plan_of_that_layer_alone_does() -> None:
    found = table_pruning()
    first, second = found.subject.layers
    rungs = dict(ladder(found, second, (0.5, 1.0)))
    # all of the units cannot go
    assert list(rungs) == [0.5]
    assert (rungs[0.5].layer, rungs[0.5].before, rungs[0.5].after) == (second.name, 6, 3)
    alone = replace(found, subject=replace(found.subject, layers=(second,)))
    plan = alone.course().plan(3)
    assert (rungs[0.5],) == certify(found.subject, plan, found.merges(plan))
    assert first.name not in {removal.layer for removal in plan.removals}
