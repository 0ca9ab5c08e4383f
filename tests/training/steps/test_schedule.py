"""The learning rate at every step."""

from __future__ import annotations

import math

import pytest
import torch

from emoprune.choices import Schedule
from emoprune.training.config import TrainConfig
from emoprune.training.steps.schedule import rate_factor


@pytest.mark.parametrize(
    ("factor", "every", "decay", "step", "rate"),
    [
        (1.0, 1, 0.0, 97, 1.0),
        (0.9, 1, 0.0, 9, 1.0),
        (0.9, 1, 0.0, 10, 0.9),
        (0.9, 1, 0.0, 35, 0.729),
        (0.5, 3, 0.0, 29, 1.0),
        (0.5, 3, 0.0, 30, 0.5),
        (0.5, 3, 0.0, 60, 0.25),
        (1.0, 1, 0.1, 10, 0.5),
        (0.5, 1, 0.25, 24, 0.25 / 7),
        (0.0, 1, 0.0, 9, 1.0),
        (0.0, 1, 0.0, 10, 0.0),
    ],
)
def test_rate_factor_is_the_one_computed_by_hand(
    factor: float, every: int, decay: float, step: int, rate: float
) -> None:
    config = TrainConfig(lr_factor=factor, lr_every=every, lr_decay=decay)
    assert rate_factor(config, step, epochs=10, per_epoch=10) == pytest.approx(rate)


def test_rate_factor_of_one_cycle_is_that_of_torch() -> None:
    """Torch puts its last step at the very end, where the rate is at its lowest."""
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=1.0)
    theirs = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=1.0, total_steps=101, final_div_factor=1e4 / 25, cycle_momentum=False
    )
    config = TrainConfig(schedule="one-cycle")
    for step in range(100):
        # its rising part ends a step early
        wanted = optimizer.param_groups[0]["lr"]
        assert rate_factor(config, step, epochs=10, per_epoch=10) == pytest.approx(wanted, abs=0.05)
        optimizer.step()
        theirs.step()


def test_rate_factor_of_cosine_is_that_of_torch() -> None:
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=1.0)
    theirs = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 60)
    config = TrainConfig(schedule="cosine")
    for step in range(60):
        wanted = optimizer.param_groups[0]["lr"]
        assert rate_factor(config, step, epochs=6, per_epoch=10) == pytest.approx(wanted)
        optimizer.step()
        theirs.step()


@pytest.mark.parametrize("schedule", ["constant", "cosine"])
def test_rate_factor_warms_up_evenly_and_moves_from_the_first_step_on(schedule: Schedule) -> None:
    config = TrainConfig(schedule=schedule, warmup=2)
    rates = [rate_factor(config, step, epochs=5, per_epoch=10) for step in range(50)]
    assert rates[:20] == pytest.approx([(step + 1) / 21 for step in range(20)])
    assert rates[20] == 1
    assert all(0 < rate <= 1 and math.isfinite(rate) for rate in rates)


def test_rate_factor_of_a_warm_up_as_long_as_the_training_never_divides_by_zero() -> None:
    config = TrainConfig(schedule="cosine", warmup=3)
    assert all(0 < rate_factor(config, step, epochs=3, per_epoch=4) < 1 for step in range(12))
