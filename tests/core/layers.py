"""Hidden layers made from activations, for the tests of pruning."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from emoprune.core.statistics import Accumulator
from emoprune.records import HiddenLayer, LayerView, UnitStatistics

Array = NDArray[np.float64]


def statistics_of(activations: Array) -> UnitStatistics:
    """One-pass statistics of (patterns, units) activations."""
    accumulator = Accumulator()
    accumulator.add(torch.from_numpy(activations))
    return accumulator.result("layer")


def view_of(
    activations: Array,
    weight: Array,
    bias: Array | None = None,
    *,
    activation: str = "sigmoid",
) -> LayerView:
    """A layer with these (patterns, units) activations, read by one layer of (outputs, units) weights."""
    units = activations.shape[1]
    return LayerView(
        layer=HiddenLayer("hidden", activation, ("output",)),
        statistics=statistics_of(activations),
        weight=torch.zeros(units, 3),
        bias=torch.zeros(units),
        readers={
            "output": (torch.from_numpy(weight), None if bias is None else torch.from_numpy(bias)),
        },
    )


def sigmoid_layer(seed: int, *, patterns: int = 60, units: int = 12, spread: float = 2.0) -> Array:
    """Sigmoid activations with near-copies and near-opposites among the units."""
    generator = np.random.default_rng(seed)
    sources = generator.normal(size=(patterns, max(2, units // 3))) * spread
    mixed = sources[:, generator.integers(sources.shape[1], size=units)]
    signs = generator.choice([-1.0, 1.0], size=units)
    noise = generator.normal(size=(patterns, units)) * generator.uniform(0, 1, size=units)
    return np.asarray(1 / (1 + np.exp(-(mixed * signs + noise))))
