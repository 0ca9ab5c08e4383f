"""emoprune eval: how well a model does, and what it costs."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from emoprune.cli import console, options
from emoprune.errors import BadCheckpoint
from emoprune.records.choices import Part

if TYPE_CHECKING:
    from rich.console import Group
    from torch import Tensor

    from emoprune.cli.loading import Model

RECONSTRUCTION = "emoprune.reconstruction/1"

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

    In a pipe it prints one line of metrics (schema emoprune.metrics/1) for emoprune report. Of a network
    that reconstructs its input it measures the squared error instead.
    """
    import torch

    from emoprune.cli import loading
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
    if task == "reconstruct":
        record = _reconstruction(opened, inputs, len(indices))
        where = {"schema": RECONSTRUCTION, "model": model, "data": data, "split": part, "n": len(indices)}
        console.emit([where | record], lambda: _reconstruction_table(where | record), as_json=as_json)
        return
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


def _reconstruction(opened: Model, inputs: Iterator[Tensor], count: int) -> dict[str, Any]:
    """Mean squared error, as the network scales its input, over all outputs and of each."""
    import torch

    from emoprune.core.objectives import squared_errors

    if opened.net is None:
        raise BadCheckpoint("does not tell how it scales its input", "evaluate the checkpoint that it is of")
    errors = squared_errors(opened.net, console.tracked(inputs, "eval", count, steps=len))
    each = torch.cat(list(errors)).double().mean(0)
    return {
        "loss": float(each.mean()),
        "per_output": dict(zip(opened.card.classes, each.tolist(), strict=True)),
        **dataclasses.asdict(opened.cost),
        "bytes": opened.bytes,
        "units": opened.units,
    }


def _reconstruction_table(record: dict[str, Any]) -> Iterable[Group]:
    rows = [(key, value) for key, value in record.items() if key not in ("schema", "per_output")]
    yield console.table("Reconstruction", ["", ""], [*rows, *record["per_output"].items()], left=1)
