"""Frozen records that travel between the rooms; an illegal one cannot be made."""

from emoprune.records.charts import BarChart, Estimate, HeatChart, Line, LineChart, Panel, Point
from emoprune.records.data import Catalogue, Preprocess, Samples, SplitRule, Table
from emoprune.records.faces import Box, CropRow, CropSettings, Face
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
from emoprune.records.runs import LearningCurve, PruningCourse, PruningStep, Runs
from emoprune.records.scores import ClassScore, Cost, Metrics, Printed
from emoprune.records.search import Space, Trial

__all__ = [
    "BarChart",
    "Box",
    "Card",
    "Catalogue",
    "Certificate",
    "Checkpoint",
    "ClassScore",
    "Cost",
    "CropRow",
    "CropSettings",
    "Epoch",
    "Estimate",
    "Face",
    "HeatChart",
    "HiddenLayer",
    "HistoryEntry",
    "LearningCurve",
    "Line",
    "LineChart",
    "Metrics",
    "Moments",
    "Pair",
    "Panel",
    "Plan",
    "Point",
    "Preprocess",
    "Printed",
    "PruningCourse",
    "PruningStep",
    "Removal",
    "Runs",
    "Samples",
    "Space",
    "Spec",
    "SplitRule",
    "Survey",
    "Table",
    "Trial",
    "UnitStatistics",
]
