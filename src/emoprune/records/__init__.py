"""Frozen records that travel between the rooms; an illegal one cannot be made."""

from emoprune.records.data import Catalogue, Preprocess, Samples, SplitRule, Table
from emoprune.records.faces import Box, CropRow, Face
from emoprune.records.network import Card, Checkpoint, Epoch, HiddenLayer, HistoryEntry, Spec
from emoprune.records.pruning import (
    Certificate,
    Moments,
    Pair,
    Plan,
    Removal,
    Survey,
    UnitStatistics,
)
from emoprune.records.scores import ClassScore, Cost, Metrics

__all__ = [
    "Box",
    "Card",
    "Catalogue",
    "Certificate",
    "Checkpoint",
    "ClassScore",
    "Cost",
    "CropRow",
    "Epoch",
    "Face",
    "HiddenLayer",
    "HistoryEntry",
    "Metrics",
    "Moments",
    "Pair",
    "Plan",
    "Preprocess",
    "Removal",
    "Samples",
    "Spec",
    "SplitRule",
    "Survey",
    "Table",
    "UnitStatistics",
]
