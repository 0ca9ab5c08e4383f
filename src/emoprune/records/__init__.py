"""Frozen records that travel between the rooms; an illegal one cannot be made."""

from emoprune.records.data import Catalogue, Preprocess, Samples, SplitRule, Table
from emoprune.records.faces import Box, CropRow, Face
from emoprune.records.network import Checkpoint, Epoch, HiddenLayer, Spec
from emoprune.records.pruning import (
    Certificate,
    LayerView,
    Pair,
    Plan,
    Removal,
    UnitStatistics,
)
from emoprune.records.scores import ClassScore, Cost, Metrics

__all__ = [
    "Box",
    "Catalogue",
    "Certificate",
    "Checkpoint",
    "ClassScore",
    "Cost",
    "CropRow",
    "Epoch",
    "Face",
    "HiddenLayer",
    "LayerView",
    "Metrics",
    "Pair",
    "Plan",
    "Preprocess",
    "Removal",
    "Samples",
    "Spec",
    "SplitRule",
    "Table",
    "UnitStatistics",
]
