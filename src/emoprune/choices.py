"""What users may choose from, where the choice is closed."""

from __future__ import annotations

from typing import Literal

ExportInput = Literal["float32", "uint8"]
Quantize = Literal["none", "int8", "fp16"]
Activation = Literal["sigmoid", "relu", "tanh"]
Center = Literal["half", "range", "mean", "none"]
Merge = Literal["sum", "lstsq"]
MethodName = Literal[
    "distinct", "progressive", "reconstruct", "importance", "random-units", "magnitude", "random"
]
Optimizer = Literal["adam", "sgd", "adamw"]
Schedule = Literal["constant", "cosine", "one-cycle"]
NumberFormat = Literal["fp32", "bf16", "fp16"]
Precision = Literal["auto", NumberFormat]
Balance = Literal["none", "loss", "sampler"]
Keep = Literal["best", "last"]
KeepBy = Literal["accuracy", "balanced-accuracy", "macro-f1", "loss"]
Freeze = Literal["backbone", "none"]
Select = Literal["largest", "confident", "center", "all"]
Faces = Literal["all", "largest"]
OnMissing = Literal["skip", "whole", "fail"]
Pad = Literal["reflect", "constant", "clip"]
Align = Literal["none", "eyes"]
Part = Literal["train", "val", "test", "all"]
Scale = Literal["minmax", "standard", "none"]
SplitBy = Literal["duplicates"]
DeviceName = Literal["auto", "cpu", "cuda"]
Kind = Literal["image", "table"]
Task = Literal["classify", "reconstruct"]
Source = Literal["ours", "torchvision", "facenet", "timm", "code"]
Scope = Literal["global", "layer"]
Ranking = Literal["uniform", "global"]
Sampler = Literal["grid", "random", "coarse-to-fine"]
SpaceKind = Literal["linear", "log", "choice"]
Price = Literal["macs", "parameters", "nanoseconds", "units"]
Section = Literal[
    "summary",
    "classes",
    "confusion",
    "predictions",
    "verdicts",
    "payers",
    "flipped",
    "steps",
    "layers",
    "angles",
    "curves",
]
DocumentForm = Literal["html", "tex", "markdown", "csv", "json"]
Measured = Literal["accuracy", "macro F1", "units", "parameters", "non-zero", "MACs"]
ClassMeasure = Literal["precision", "recall", "F1"]
UnitMeasure = Literal["smallest angle", "least importance"]
StepMeasure = Literal["loss", "accuracy", UnitMeasure]

PARTS = ("train", "val", "test")
"""Parts of a data set, in the order in which commands name them."""
