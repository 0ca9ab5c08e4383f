"""Layers of pruned networks and angles between their units as tables, flat rows and records."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import fields, replace
from typing import Any

from msgspec import to_builtins

from emoprune.evaluation.confidence import by_key
from emoprune.pruning.types import ErrorEstimate
from emoprune.reporting import tables
from emoprune.reporting.error_tables import layers_table, surveys_table
from emoprune.reporting.tables import Table
from emoprune.reporting.types import LayerAngles, PruningSummary

OF_LAYER = tuple(field.name for field in fields(ErrorEstimate))
OF_ANGLES = (
    *("model", "layer", "units", "center", "similar", "complementary", "insignificant"),
    *("smallest_deg", "largest_deg"),
)


def layers(pruned: Sequence[PruningSummary]) -> Iterator[Table]:
    """A table for every pruning: what each layer loses, and the predicted error of it."""
    for each in pruned:
        yield layers_table(vars(each), each.layers, each.input)


def flat_layers(pruned: Sequence[PruningSummary]) -> Table:
    """A row for every layer of every pruning, raw values; `pruning` counts the prunings from 1."""
    rows = (
        (number, each.input, each.output, each.method, *(getattr(layer, key) for key in OF_LAYER))
        for number, each in enumerate(pruned, start=1)
        for layer in each.layers
    )
    return tables.table("layers", ("pruning", "input", "output", "method", *OF_LAYER), rows)


def layers_to_records(pruned: Sequence[PruningSummary]) -> list[dict[str, Any]]:
    """One JSON object per pruning."""
    return [to_builtins(each) for each in pruned]


def angles(found: Sequence[LayerAngles]) -> Iterator[Table]:
    """A table for every network: a row for each of its layers."""
    for model, surveyed in by_key((each.model, each) for each in found).items():
        made = surveys_table({each.layer: each for each in surveyed}, model)
        # figures count pairs
        yield replace(made, notes=("similar, compl.: units in at least one such pair",))


def flat_angles(found: Sequence[LayerAngles]) -> Table:
    """A row for every layer, raw values."""
    return tables.table("angles", OF_ANGLES, ([getattr(each, key) for key in OF_ANGLES] for each in found))


def angles_to_records(found: Sequence[LayerAngles]) -> list[dict[str, Any]]:
    """One JSON object per layer, without its pairs."""
    return [{key: getattr(each, key) for key in OF_ANGLES} for each in found]
