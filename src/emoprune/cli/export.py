"""emoprune export: one ONNX file, proven to compute the same."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from emoprune import events
from emoprune.cli import options
from emoprune.cli import output as console
from emoprune.reporting import tables

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

    from emoprune.networks.types import Checkpoint

SCHEMA = "emoprune.export/1"
REAL_SAMPLES = 64
RANDOM_BATCHES = (1, 2, 5)
MISSING_SHARE = 0.1

EXAMPLES = """\b
Examples:
  emoprune export model.distinct.st model.onnx
  emoprune export model.st model.onnx --data faces/ --tolerance 1e-5
  emoprune eval model.onnx faces/"""


def command(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A checkpoint, or - for standard input.")],
    output: Annotated[
        str, typer.Argument(metavar="OUT.onnx", help="The file to write, or - for standard output.")
    ],
    data: Annotated[
        str | None,
        typer.Option(
            metavar="DATA",
            help="Real samples for the proof.  [default: what the model was trained on, if it is there]",
            show_default=False,
        ),
    ] = None,
    tolerance: Annotated[
        float,
        typer.Option(
            min=0, max=1e6, metavar="DIFFERENCE", help="Largest difference of any logit that passes."
        ),
    ] = 1e-4,
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, metavar="N", help="For the random batches.")] = 0,
    force: options.Force = False,
    as_json: options.Json = False,
) -> None:
    """Write one ONNX file and prove that it computes the same.

    The batch size is free; classes, preprocessing and split travel in its metadata. Before it is written
    it runs in onnxruntime on real and random batches, and is refused if any logit differs by more than
    the tolerance.
    """
    import torch

    from emoprune.errors import BadCheckpoint, ToleranceExceeded, UsageFault, at
    from emoprune.io import files, onnx_files
    from emoprune.io.safetensors_files import METADATA_KEY
    from emoprune.networks import build, profiling
    from emoprune.networks import checkpoint as checkpoints

    if output != files.STANDARD and not output.endswith(".onnx"):
        raise UsageFault(f"{output} does not end in .onnx", "eval knows such files by their name")
    original = files.read_bytes(model, fault=BadCheckpoint)
    with at(files.shown(model)):
        checkpoint = checkpoints.from_bytes(original)
        net = build.restore(checkpoint.spec, checkpoint.tensors)
    files.check_output(output, force=force)
    cost = profiling.cost(net, checkpoint.spec)
    card = checkpoints.card_json(checkpoint, cost=cost, units=profiling.hidden_units(checkpoint))
    example = torch.zeros(2, *checkpoint.spec.input)
    exported = onnx_files.export(net, example, {METADATA_KEY: card})
    engine = onnx_files.Engine(exported)
    on_random = onnx_files.largest_difference(engine, net, _random_batches(checkpoint, seed))
    real = _real_batches(checkpoint, data)
    on_real = onnx_files.largest_difference(engine, net, real) if real else None
    worst = max(on_random, on_real or 0.0)
    if worst > tolerance:
        raise ToleranceExceeded(
            f"logits differ by up to {worst:.3g}, more than {tolerance:g}; nothing written",
            "give --tolerance if that is close enough",
            place=output,
        )
    files.write_bytes(output, exported, force=force)
    summary = {
        "schema": SCHEMA,
        "input": model,
        "output": output,
        "bytes": len(exported),
        "input_bytes": len(original),
        "tolerance": tolerance,
        "difference_random": on_random,
        "difference_real": on_real,
        "real_samples": sum(map(len, real)),
        "parameters": cost.parameters,
        "macs": cost.macs,
    }
    if output != files.STANDARD:
        rows = [(key.replace("_", " "), value) for key, value in summary.items() if key != "schema"]
        console.emit([summary], lambda: [tables.table("Export", ["", ""], rows)], as_json=as_json)


def _random_batches(checkpoint: Checkpoint, seed: int) -> Iterator[Tensor]:
    """Noise; where the network fills missing values, with some missing."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    for samples in RANDOM_BATCHES:
        batch = torch.randn(samples, *checkpoint.spec.input, generator=generator)
        if checkpoint.preprocess.fills:
            batch[torch.rand(batch.shape, generator=generator) < MISSING_SHARE] = torch.nan
        yield batch


def _real_batches(checkpoint: Checkpoint, data: str | None) -> list[Tensor]:
    """Up to 64 samples spread evenly over the data; none, and a note, where the data is not there."""
    import torch

    from emoprune.data.datasets import open_data
    from emoprune.data.loader import batches
    from emoprune.evaluation import model as loading
    from emoprune.evaluation.training_data import own_data

    if data is None:
        own = own_data(checkpoint, limit=REAL_SAMPLES)
        if isinstance(own, str):
            events.note(f"proven on random batches only: {own}; give --data for real ones")
            return []
        samples = own.train.samples
    else:
        samples = loading.samples(open_data(data), checkpoint.preprocess, checkpoint.spec.input)
    count = len(samples.labels)
    indices = torch.arange(0, count, max(1, count // REAL_SAMPLES))[:REAL_SAMPLES]
    return list(batches(samples, indices, checkpoint.preprocess, torch.device("cpu")))
