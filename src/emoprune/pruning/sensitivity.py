"""What each layer alone can bear to lose."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial

from emoprune.networks.types import HiddenLayer
from emoprune.pruning.budget import Amount
from emoprune.pruning.core_budget import first_step, is_met
from emoprune.pruning.error_estimate import certify
from emoprune.pruning.pruning import Pruning
from emoprune.pruning.types import Certificate


def ladder(
    pruning: Pruning, layer: HiddenLayer, shares: Sequence[float]
) -> Iterator[tuple[float, Certificate]]:
    """What each share of one layer's units costs if nothing else goes; shares out of reach are left out."""
    alone = replace(pruning, subject=replace(pruning.subject, layers=(layer,)))
    course = alone.course()
    for share in shares:
        step = first_step(course, partial(is_met, alone, Amount("--amount", share)))
        if step is not None:
            plan = course.plan(step)
            (certificate,) = certify(alone.subject, plan, alone.merges(plan))
            yield share, certificate
