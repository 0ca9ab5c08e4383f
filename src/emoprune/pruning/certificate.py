"""The certificate of emoprune prune: what a plan costs, as keys, as tables, as a ladder of amounts."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from emoprune import events
from emoprune.choices import Merge
from emoprune.cli import output
from emoprune.networks import build, profiling
from emoprune.networks.types import Checkpoint
from emoprune.pruning.angles import default_center
from emoprune.pruning.error_estimate import estimate_errors, ladder
from emoprune.pruning.methods import METHODS
from emoprune.pruning.types import Plan
from emoprune.reporting import tables

if TYPE_CHECKING:
    from torch import Tensor

    from emoprune.pruning.amounts import Amount
    from emoprune.pruning.prune_job import Job

LADDER_SCHEMA = "emoprune.sensitivity/1"
LADDER = tuple(tenths / 10 for tenths in range(1, 10))
HEAVY_LOSS = 0.5
"""Relative error at the next layer's input beyond which little of it is left."""


def outcome(
    job: Job,
    plan: Plan,
    merged: Mapping[Merge, Mapping[str, Tensor]],
    after: Checkpoint,
) -> dict[str, Any]:
    """What the plan does, layer by layer and to the whole network (schema emoprune.prune/2)."""
    old, new = job.cost, profiling.cost(build.restore(after.spec, after.tensors), after.spec)
    activation = {layer.name: layer.activation for layer in job.context.graph.layers}
    units = sum(removal.units for removal in plan.removals)
    left = sum(len(removal.kept) for removal in plan.removals)
    layers = [
        {
            **dataclasses.asdict(entry),
            "center": job.request.center or default_center(activation[removal.layer]),
            "removed": list(removal.removed),
            "merges": dict(removal.merges),
            "spared": removal.spared,
        }
        for entry, removal in zip(estimate_errors(job.context, plan, merged), plan.removals, strict=True)
    ]
    return {
        "units": {"before": units, "after": left},
        "compression_rate": (units - left) / units if units else 0.0,
        "parameters": {"before": old.parameters, "after": new.parameters},
        "nonzero_parameters": {"before": old.nonzero_parameters, "after": new.nonzero_parameters},
        "macs": {"before": old.macs, "after": new.macs},
        "bytes": {"before": _bytes(job.before), "after": _bytes(after)},
        "layers": layers,
        "frozen": [dataclasses.asdict(obstacle) for obstacle in job.context.graph.obstacles],
    }


def settings(
    job: Job, amount: Amount, *, layer: str, data: str | None, samples: int, rewind: str | None
) -> dict[str, Any]:
    """What a pruning was done with, as its history keeps it (schema emoprune.prune/2)."""
    request = job.request
    return {
        "method": job.method,
        "merge": None if METHODS[job.method].weights else request.merge,
        "amount": {amount.name: amount.value},
        **({"angle": amount.value} if amount.name == "angle" else {}),
        "scope": request.scope,
        "layer": layer,
        "round_to": request.round_to,
        "seed": request.seed,
        "center": request.center,
        "data": data,
        "samples": samples,
        "rewind": rewind,
        "images": _looked_at(job, amount),
        "resolved_on": job.resolved_on,
    }


def _looked_at(job: Job, amount: Amount) -> int:
    """How many images statistics, the re-solving of layers and the judge look at, each counted once."""
    if job.images is None:
        return 0
    trained = max(job.measured, job.resolved_on)
    if not amount.needs_images:
        return trained
    judges = len(job.images.judges)
    return max(trained, judges) if job.images.val is None else trained + judges


def judged(job: Job, after: Checkpoint, amount: Amount) -> dict[str, Any]:
    """Accuracy and loss before and after, and the part that they are of; nothing if nobody asked."""
    if job.images is None or not amount.needs_images:
        return {}
    (loss, accuracy), (now_loss, now) = job.judgment, job.judge(after)
    return {
        "accuracy": {"before": accuracy, "after": now},
        "loss": {
            "before": loss if math.isfinite(loss) else None,
            "after": now_loss if math.isfinite(now_loss) else None,
        },
        "judged_on": {
            "part": "train" if job.images.val is None else "val",
            "images": len(job.images.judges),
        },
    }


def _bytes(checkpoint: Checkpoint) -> int:
    """What the network's own tensors take in a file, statistics and masks left out."""
    return sum(tensor.nbytes for tensor in checkpoint.tensors.values())


def warn(summary: Mapping[str, Any]) -> None:
    """Say on stderr what a user should not overlook."""
    masks = METHODS[summary["method"]].weights
    error = "error_sum" if masks else f"error_{summary['merge']}"
    gone = summary["units"]["before"] - summary["units"]["after"]
    spared = [entry["layer"] for entry in summary["layers"] if entry["spared"]]
    heavy = [entry for entry in summary["layers"] if (entry[error] or 0) > HEAVY_LOSS]
    for layer in spared[:1]:
        events.warn(f"{layer}: every unit would go; 1 stays{_and_so_in(len(spared) - 1)}")
    if not gone and not masks:
        events.note("no unit goes at this amount")
    for entry in heavy[:1]:
        events.warn(
            f"{entry['layer']}: what the next layer reads changes by {entry[error]:.0%} of its spread"
            f"{_and_so_in(len(heavy) - 1)}"
        )
    if masks:
        zeros = 1 - summary["nonzero_parameters"]["after"] / summary["parameters"]["after"]
        silent = f"the {events.counted(gone, 'unit')} that fell silent"
        really = f"; really gone {'is' if gone == 1 else 'are'} {silent}" if gone else ""
        events.note(
            f"{zeros:.1%} of the parameters are zero, which a dense engine multiplies by all the same{really}"
        )


def _and_so_in(others: int) -> str:
    return f" (and so in {others:,} more {'layer' if others == 1 else 'layers'})" if others else ""


def show_ladder(job: Job, model: str, *, as_json: bool) -> None:
    """Print the error of each layer alone at a ladder of amounts."""
    records = [
        {
            "schema": LADDER_SCHEMA,
            "model": model,
            "method": job.method,
            "amount": share,
            **dataclasses.asdict(found),
        }
        for layer in events.tracked(job.context.layers, "sensitivity", len(job.context.layers))
        for share, found in ladder(job, layer, LADDER)
    ]
    whole = sorted({layer.name for layer in job.context.layers} - {record["layer"] for record in records})
    if whole:
        layers = events.counted(len(whole), "layer")
        events.note(f"{layers} can lose none of these shares, {whole[0]} one of them")
    output.emit(records, lambda: [_ladder_table(job, records)], as_json=as_json)


def _ladder_table(job: Job, records: list[dict[str, Any]]) -> tables.Table:
    merge = job.request.merge
    errors = {(record["layer"], record["amount"]): record[f"error_{merge}"] for record in records}
    return tables.table(
        f"Error at the next layer by share of units removed ({job.method}, {merge})",
        ["layer", "units", *(f"{amount:g}".lstrip("0") for amount in LADDER)],
        (
            [
                layer.name,
                job.context.statistics[layer.name].units,
                # a share that is out of reach has none
                *(_short(errors.get((layer.name, amount))) for amount in LADDER),
            ]
            for layer in job.context.layers
        ),
    )


def _short(error: float | None) -> str:
    """An error in three characters, so that nine fit beside the name of a layer."""
    if error is None or error == 0:
        return tables.cell(error)
    digits = 2 if error < 0.995 else 1 if error < 9.95 else 0
    return f"{error:.{digits}f}".removeprefix("0")
