"""Layers of pruned networks: where units went, and the angles between them."""

from __future__ import annotations

from collections.abc import Sequence
from math import comb

from emoprune.reporting.fronts import kept, left_out
from emoprune.reporting.types import AngleChart, LayerAngles, LayerChart, Runs

LARGEST_MATRIX = 64
"""Units of a layer whose angles can be seen one by one."""
MOST_LAYERS = 8
"""Layers of a network whose angles are drawn."""
MANY_PAIRS, WIDE, NARROW = 5000, 5, 1
"""From so many pairs on, bins of one degree are smooth; of fewer, bins have five."""


def units_by_layer(runs: Runs) -> list[LayerChart]:
    """The units of each layer before and after a pruning that removed some, a figure for each pruning."""
    return [
        LayerChart(
            f"units-by-layer-{each.name}",
            each.name,
            tuple(layer.layer for layer in each.layers),
            tuple(layer.before for layer in each.layers),
            tuple(layer.after for layer in each.layers),
        )
        for each in runs.pruned
        if any(layer.after < layer.before for layer in each.layers)
    ]


def angles(runs: Runs) -> list[AngleChart]:
    """The angles between the units of each layer; of many those with the most similar and complementary."""
    found = [each for each in runs.angles if each.histogram and any(each.histogram)]
    models = list(dict.fromkeys(each.model for each in found))
    return [
        _of_layer(each, each.name if len(models) > 1 else each.layer, note)
        for model in models
        for shown, note in [_foremost([each for each in found if each.model == model])]
        for each in shown
    ]


def _foremost(found: Sequence[LayerAngles]) -> tuple[list[LayerAngles], str]:
    def usefulness(place: int) -> int:
        return found[place].similar + found[place].complementary

    note = left_out(len(found) - MOST_LAYERS, "layer", "with fewer similar and complementary units")
    return kept(found, MOST_LAYERS, usefulness), note


def _of_layer(layer: LayerAngles, name: str, note: str) -> AngleChart:
    counts = layer.histogram or ()
    width = NARROW if sum(counts) >= MANY_PAIRS else WIDE
    return AngleChart(
        f"angles-{name}",
        name,
        tuple(sum(counts[start : start + width]) for start in range(0, len(counts), width)),
        width,
        layer.below_deg or 0.0,
        layer.above_deg or 180.0,
        _matrix(layer),
        note,
    )


def _matrix(layer: LayerAngles) -> tuple[tuple[float | None, ...], ...] | None:
    """The angles of all pairs of a small layer, where the record lists them all."""
    units, counted = layer.units, sum(layer.histogram or ())
    if not 1 < units <= LARGEST_MATRIX or not len(layer.pairs) == counted <= comb(units, 2):
        return None
    if any(not 0 <= pair.i < pair.j < units for pair in layer.pairs):
        return None
    listed = {(pair.i, pair.j): pair.angle_deg for pair in layer.pairs}
    return tuple(
        tuple(0.0 if i == j else listed.get((min(i, j), max(i, j))) for j in range(units))
        for i in range(units)
    )
