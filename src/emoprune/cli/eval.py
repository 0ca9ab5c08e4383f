"""emoprune eval: how well a model does, and what it costs."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from emoprune.choices import Part
from emoprune.cli import options, output
from emoprune.errors import InvalidRecord, UsageFault
from emoprune.evaluation.types import RECONSTRUCTION_SCHEMA, check_settings
from emoprune.io.files import STANDARD
from emoprune.io.key_values import keyed, number_or_text
from emoprune.reporting.tables import FILE, table

EXAMPLES = """\b
Examples:
  emoprune eval model.st faces/ | emoprune report
  emoprune eval model.onnx faces/ --split test
  emoprune eval model.st other-faces/ --split all > other.json
  emoprune eval model.st frames/ --group-by '^[^_]+' --predictions p.csv

\b
One of several runs, for emoprune report --by-label and --figures:
  emoprune eval model.st faces/ --label "whole, random split" \\
    --set hidden=200 --set seed=3 >> runs.json"""


def command(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="A checkpoint (.st, - for standard input) or .onnx file.")
    ],
    data: Annotated[
        str,
        typer.Argument(metavar="DATA", help="Faces or a feature table, as train takes; DATA:val is a part."),
    ],
    split: Annotated[
        Part | None,
        typer.Option(help="Which part of the model's split.  [default: test, else val]", show_default=False),
    ] = None,
    latency: Annotated[
        bool,
        typer.Option("--latency", help="Also time batches of 1 and of 32: p50, p90, p99 of up to 200 runs."),
    ] = False,
    group_by: Annotated[
        str | None,
        typer.Option(
            metavar="REGEX",
            help="Intervals are over groups: files whose names' match is the same are of one film or person, "
            "'^[^_]+' for film_0001.jpg.  [default: that of the model's split]",
            show_default=False,
        ),
    ] = None,
    predictions: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Also write a CSV with a row per sample: label, answer, the probability of each class. "
            "With - nothing else is on standard output.",
        ),
    ] = None,
    label: Annotated[
        str | None, options.label("Name of the run, kept in its metrics; report gathers equal labels.")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="What the run was made with, such as hidden=200, kept in its metrics; may be repeated.",
            show_default=False,
        ),
    ] = None,
    arch: options.Arch = None,
    device: options.Device = "auto",
    force: options.Force = False,
    as_json: options.Json = False,
) -> None:
    """Measure how well a model does and what it costs.

    In a pipe it prints one line of metrics (schema emoprune.metrics/1) for emoprune report. Of a network
    that reconstructs its input it measures the squared error instead.
    """
    noted = {key: number_or_text(value) for key, value in keyed("--set", settings or (), empty=True).items()}
    try:
        check_settings(noted)
    except InvalidRecord as error:
        raise UsageFault(error.fact, error.remedy) from error
    from emoprune.data.datasets import open_data
    from emoprune.evaluation.evaluate import evaluate
    from emoprune.evaluation.model import load
    from emoprune.evaluation.types import Metrics
    from emoprune.io import devices
    from emoprune.reporting import records_io, summary_tables
    from emoprune.reporting.sections import report
    from emoprune.reporting.types import Runs

    loaded = load(model, devices.device(device), arch)
    result = evaluate(
        loaded,
        open_data(data),
        part=split,
        latency=latency,
        group_by=group_by,
        predictions=predictions,
        force=force,
        label=label,
        settings=noted,
        data_name=data,
    )
    if predictions == STANDARD:
        return
    if isinstance(result, Metrics):
        record, tables = records_io.to_record(result), report(Runs((result,))).tables()
    else:
        fields = asdict(result)
        record = {"schema": RECONSTRUCTION_SCHEMA, **fields}
        parts = fields.pop("per_output").items()
        del fields["latency"]
        rows = [(FILE if key == "bytes" else key, value) for key, value in fields.items()]
        timed = summary_tables.latency_rows([result])
        tables = [table("Reconstruction", ["", ""], [*rows, *timed, *parts])]
    output.emit([record], lambda: tables, as_json=as_json)
