"""The learning rate, a function of how far a training is."""

from __future__ import annotations

import math

from emoprune.training.config import TrainConfig

RISING = 0.3
"""The fraction of the steps in which one-cycle rises (Smith & Topin 2019)."""
START, END = 1 / 25, 1e-4
"""What one-cycle starts from and ends at, as fractions of the rate."""


def rate_factor(config: TrainConfig, step: int, *, epochs: int, per_epoch: int) -> float:
    """The fraction of the learning rate at a step, counted from 0, of `epochs` with `per_epoch` steps each.

    Without a schedule it is `lr_factor` to the power of how often `lr_every` epochs have passed, divided by
    1 + `lr_decay` t after t steps; cosine and one-cycle multiply that.
    """
    factor = config.lr_factor ** (step // per_epoch // config.lr_every) / (1 + config.lr_decay * step)
    total, warm = epochs * per_epoch, config.warmup * per_epoch
    if config.schedule == "one-cycle":
        rising = RISING * total
        if step < rising:
            return factor * _between(START, 1.0, step / rising)
        return factor * _between(1.0, END, (step - rising) / (total - rising))
    if step < warm:
        # the first step already moves
        return factor * (step + 1) / (warm + 1)
    if config.schedule == "cosine":
        return factor * _between(1.0, 0.0, (step - warm) / (total - warm))
    return factor


def _between(first: float, last: float, progress: float) -> float:
    """From `first` to `last` along half a cosine."""
    return last + (first - last) * (1 + math.cos(math.pi * progress)) / 2
