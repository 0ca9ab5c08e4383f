"""emoprune export: one ONNX file, checked to compute the same."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from emoprune.cli import options
from emoprune.cli import output as console
from emoprune.deployment.config import ExportConfig
from emoprune.errors import at
from emoprune.io import files
from emoprune.reporting.tables import FILE, table

SCHEMA = "emoprune.export/3"

EXAMPLES = """\b
Examples:
  emoprune export model.distinct.st model.onnx
  emoprune export model.st model.onnx --data faces/ --tolerance 1e-5
  emoprune export model.st model.onnx --opset 13
  emoprune export model.st model.onnx --input uint8
  emoprune export model.st model.int8.onnx --quantize int8 --data faces/
  emoprune eval model.onnx faces/"""


@options.with_settings(ExportConfig)
def command(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A checkpoint, or - for standard input.")],
    output: Annotated[str, typer.Argument(metavar="OUT.onnx", help="A file, or - for standard output.")],
    given: options.Given,
    data: Annotated[
        str | None,
        typer.Option(
            metavar="DATA",
            help="Real samples to check it on.  [default: what the model was trained on, if it is there]",
            show_default=False,
        ),
    ] = None,
    arch: options.Arch = None,
    force: options.Force = False,
    as_json: options.Json = False,
) -> None:
    """Write one ONNX file and check that it computes the same.

    The batch size is free; the outputs are logits. With --input uint8 the file takes pictures as they are, of
    any size, and gives probabilities as well. --quantize makes it smaller, and often faster, as long as it
    answers as well. Classes, preprocessing and split are in its metadata, and no path of this machine. It
    first runs in onnxruntime on real and random batches; nothing is written if any logit differs by more than
    the tolerance.
    """
    from emoprune.deployment.export import export
    from emoprune.networks import checkpoint

    found = checkpoint.read(model, arch)
    with at(files.shown(model)):
        summary = export(found, output, ExportConfig(**given.values), data=data, force=force)
    if output != files.STANDARD:
        record = {"schema": SCHEMA, "input": model, **asdict(summary)}
        words = {"bytes": FILE, "input_bytes": f"input {FILE}", "whole_bytes": f"float32 {FILE}"}
        shown = {**record, **record["quantized"]} if record["quantized"] else record
        names = [key for key in shown if key not in ("schema", "quantized")]
        rows = [(words.get(key, key.replace("_", " ")), _cell(shown[key])) for key in names]
        console.emit([record], lambda: [table("Export", ["", ""], rows)], as_json=as_json)


def _cell(value: object) -> object:
    return ", ".join(value) or None if isinstance(value, tuple | list) else value
