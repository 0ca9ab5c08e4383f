"""emoprune eval: how well a model does, and what it costs."""

from __future__ import annotations

import dataclasses
from typing import Annotated

import typer

from emoprune.cli import console, options
from emoprune.records.choices import Part

EXAMPLES = """\b
Examples:
  emoprune eval model.st faces/ | emoprune report
  emoprune eval model.onnx faces/ --split test
  emoprune eval model.st other-faces/ --split all > other.json"""


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
    device: options.Device = "auto",
    as_json: options.Json = False,
) -> None:
    """Measure how well a model does and what it costs.

    In a pipe it prints one line of metrics (schema emoprune.metrics/1) for emoprune report.
    """
    import torch

    from emoprune.cli import loading
    from emoprune.cli.report import tables
    from emoprune.core import costs
    from emoprune.core.fitting import batches
    from emoprune.core.scoring import score
    from emoprune.records import Metrics
    from emoprune.store import metrics
    from emoprune.store.datasets import open_data

    chosen = options.device(device)
    opened = loading.open_model(model, chosen)
    found = open_data(data)
    labels = loading.labels_for(found, opened.card.classes)
    part, indices = loading.part_indices(found, opened.card.split, split)
    samples = loading.samples(found, opened.card.preprocess, opened.card.spec.input)
    inputs = batches(samples, indices, opened.card.preprocess, chosen)
    logits = torch.cat(list(console.tracked(opened.logits(inputs), "eval", len(indices), steps=len)))

    def timed() -> float:
        one = next(batches(samples, indices[:1], opened.card.preprocess, chosen))
        return costs.latency_ms(lambda: list(opened.logits(iter([one]))))

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
    )
    console.emit([metrics.to_record(result)], lambda: tables([result]), as_json=as_json)
