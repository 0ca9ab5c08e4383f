"""emoprune eval: how well a model does, and what it costs."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from typing import Annotated

import typer

from emoprune.cli import console, options
from emoprune.errors import InvalidRecord, UsageFault
from emoprune.records.choices import Part
from emoprune.records.scores import check_label, check_settings

EXAMPLES = """\b
Examples:
  emoprune eval model.st faces/ | emoprune report
  emoprune eval model.onnx faces/ --split test
  emoprune eval model.st other-faces/ --split all > other.json

\b
One of several runs, for emoprune report --by-label and --figures:
  emoprune eval model.st faces/ --label "whole, random split" \\
    --set hidden=200 --set seed=3 >> runs.json"""


def command(
    model: Annotated[
        str,
        typer.Argument(metavar="MODEL", help="A checkpoint (.st, or - for standard input) or .onnx file."),
    ],
    data: Annotated[
        str, typer.Argument(metavar="DATA", help="Faces or a feature table: whatever train takes.")
    ],
    split: Annotated[
        Part | None,
        typer.Option(
            help="Which part, by the model's own rule.  [default: test, else val]", show_default=False
        ),
    ] = None,
    latency: Annotated[
        bool, typer.Option("--latency", help="Also time one sample: the median of 50 runs, on this machine.")
    ] = False,
    label: Annotated[
        str | None,
        typer.Option(
            metavar="TEXT",
            help="What the run is called, kept in its metrics; report gathers equal labels.",
            show_default=False,
        ),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="What the run was made with, kept in its metrics, such as hidden=200 or seed=3; may be "
            "repeated.",
            show_default=False,
        ),
    ] = None,
    device: options.Device = "auto",
    as_json: options.Json = False,
) -> None:
    """Measure how well a model does and what it costs.

    In a pipe it prints one line of metrics (schema emoprune.metrics/1) for emoprune report. Of a network
    that reconstructs its input it measures the squared error instead.
    """
    noted = _noted(label, settings or ())
    import torch

    from emoprune.cli import loading, reconstruction
    from emoprune.cli.report import tables
    from emoprune.core import costs
    from emoprune.core.fitting import batches
    from emoprune.core.objectives import task_of
    from emoprune.core.scoring import score
    from emoprune.records import Metrics
    from emoprune.store import metrics
    from emoprune.store.datasets import open_data

    chosen = options.device(device)
    opened = loading.open_model(model, chosen)
    found = open_data(data)
    task = task_of(opened.card.spec.arch)
    labels = loading.labels_for(found, opened.card.classes, task)
    part, indices = loading.part_indices(found, opened.card.split, split)
    samples = loading.samples(found, opened.card.preprocess, opened.card.spec.input, labels)
    inputs = batches(samples, indices, opened.card.preprocess, chosen)

    def timed() -> float:
        one = next(batches(samples, indices[:1], opened.card.preprocess, chosen))
        return costs.latency_ms(lambda: list(opened.logits(iter([one]))))

    if task == "reconstruct":
        errors = reconstruction.measure(model, opened, inputs, len(indices))
        record = {"schema": reconstruction.SCHEMA, "model": model, "data": data, "split": part, **errors}
        record["latency_ms"] = timed() if latency else None
        console.emit([record], lambda: reconstruction.tables(record), as_json=as_json)
        return
    logits = torch.cat(list(console.tracked(opened.logits(inputs), "eval", len(indices), steps=len)))

    result = Metrics(
        model=model,
        model_fingerprint=opened.fingerprint,
        data=data,
        data_fingerprint=found.catalogue.fingerprint,
        split=part,
        **score(logits, labels[indices], opened.card.classes),
        **dataclasses.asdict(opened.cost),
        bytes=opened.bytes,
        units=opened.units,
        latency_ms=timed() if latency else None,
        label=label,
        settings=noted,
    )
    console.emit([metrics.to_record(result)], lambda: tables([result]), as_json=as_json)


def _noted(label: str | None, settings: Sequence[str]) -> dict[str, int | float | str]:
    """The settings by key; UsageFault for a label or a setting that metrics cannot have."""
    found: dict[str, int | float | str] = {}
    for text in settings:
        key, given, value = text.partition("=")
        if not given:
            raise UsageFault(f"--set {text} has no value", "give KEY=VALUE")
        if key in found:
            raise UsageFault(f"--set {key} is given twice", "give it once")
        found[key] = _value(value)
    try:
        check_label(label)
        check_settings(found)
    except InvalidRecord as error:
        raise UsageFault(error.fact, error.remedy) from error
    return found


def _value(text: str) -> int | float | str:
    """A number where the text is one in decimal notation, else the text."""
    if re.fullmatch(r"[+-]?[0-9]{1,18}", text):
        return int(text)
    if re.fullmatch(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?", text):
        return float(text)
    return text
