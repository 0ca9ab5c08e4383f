"""The certificate of emoprune prune: what a plan costs, as keys, as tables, as a ladder of amounts."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from emoprune.cli import console
from emoprune.core import costs, nets
from emoprune.core.angles import default_centre
from emoprune.core.certificate import certify
from emoprune.core.methods import METHODS
from emoprune.records import Checkpoint, Plan
from emoprune.records.choices import Centre, Merge

if TYPE_CHECKING:
    from rich.console import Group
    from torch import Tensor

    from emoprune.cli.prune_job import Job

LADDER_SCHEMA = "emoprune.sensitivity/1"
LADDER = tuple(tenths / 10 for tenths in range(1, 10))
HEAVY_LOSS = 0.5
"""Relative error at the next layer's input beyond which little of it is left."""


def outcome(
    job: Job,
    plan: Plan,
    merged: Mapping[Merge, Mapping[str, Tensor]],
    after: Checkpoint,
    *,
    centre: Centre | None,
) -> dict[str, Any]:
    """What the plan does, layer by layer and to the whole network (schema emoprune.prune/1)."""
    old, new = job.cost, costs.cost(nets.restore(after.spec, after.tensors), after.spec)
    activation = {layer.name: layer.activation for layer in job.subject.graph.layers}
    units = sum(removal.units for removal in plan.removals)
    left = sum(len(removal.kept) for removal in plan.removals)
    layers = [
        {
            **dataclasses.asdict(entry),
            "centre": centre or default_centre(activation[removal.layer]),
            "removed": list(removal.removed),
            "merges": dict(removal.merges),
            "spared": removal.spared,
        }
        for entry, removal in zip(certify(job.subject, plan, merged), plan.removals, strict=True)
    ]
    return {
        "units": {"before": units, "after": left},
        "compression_rate": (units - left) / units if units else 0.0,
        "parameters": {"before": old.parameters, "after": new.parameters},
        "nonzero_parameters": {"before": old.nonzero_parameters, "after": new.nonzero_parameters},
        "macs": {"before": old.macs, "after": new.macs},
        "bytes": {"before": _bytes(job.before), "after": _bytes(after)},
        "layers": layers,
        "frozen": [dataclasses.asdict(obstacle) for obstacle in job.subject.graph.obstacles],
    }


def _bytes(checkpoint: Checkpoint) -> int:
    """What the network's own tensors take in a file, statistics and masks left out."""
    return sum(tensor.nbytes for tensor in checkpoint.tensors.values())


def warn(summary: Mapping[str, Any]) -> None:
    """Say on stderr what a user should not overlook."""
    heavy = []
    merge = "sum" if METHODS[summary["method"]].weights else summary["merge"]
    for entry in summary["layers"]:
        if entry["spared"]:
            console.warn(f"{entry['layer']}: every unit would go; 1 stays")
        error = entry[f"error_{merge}"]
        if error is not None and error > HEAVY_LOSS:
            heavy.append((error, entry["layer"]))
    if summary["units"]["before"] == summary["units"]["after"] and not METHODS[summary["method"]].weights:
        console.note("no unit goes at this amount")
    for error, layer in heavy[:1]:
        others = f" (and so in {len(heavy) - 1} more layers)" if len(heavy) > 1 else ""
        console.warn(f"{layer}: what the next layer reads changes by {error:.0%} of its spread{others}")
    if METHODS[summary["method"]].weights:
        zeros = 1 - summary["nonzero_parameters"]["after"] / summary["parameters"]["after"]
        silent = summary["units"]["before"] - summary["units"]["after"]
        console.note(
            f"{zeros:.1%} of the parameters are zero, which a dense engine multiplies by all the same; "
            f"really gone are the {silent:,} units that fell silent"
        )


def tables(summary: Mapping[str, Any]) -> Iterable[Group | str]:
    """The certificate as people read it."""
    ((name, value),) = summary["amount"].items()
    by_angle = METHODS[summary["method"]].within is not None
    reasons = ("similar", "complementary", "insignificant") if by_angle else ()
    headings = ("similar", "compl.", "insign.") if by_angle else ()
    keys = (*reasons, "error_sum", "error_lstsq")
    yield console.table(
        f"Certificate ({summary['method']}, {name.replace('_', ' ')} {value:g}, {summary['merge']})",
        ["layer", "units", *headings, "error: sum", "lstsq"],
        (
            [entry["layer"], f"{entry['before']:,} > {entry['after']:,}", *(entry[key] for key in keys)]
            for entry in summary["layers"]
        ),
    )
    yield console.table(
        "",
        ["", "before", "after", "change"],
        (
            [name.replace("_", " "), counts["before"], counts["after"], _change(counts)]
            for name in ("units", "parameters", "nonzero_parameters", "macs", "bytes")
            for counts in [summary[name]]
            if name != "nonzero_parameters" or counts != summary["parameters"]
        ),
    )
    if summary["frozen"]:
        channels = sum(obstacle["channels"] for obstacle in summary["frozen"])
        operations = sorted({obstacle["operation"] for obstacle in summary["frozen"]})
        yield f"  {channels:,} channels stay whole because of {', '.join(operations)}"


def _change(counts: Mapping[str, int]) -> str:
    return f"{counts['after'] / counts['before'] - 1:+.1%}" if counts["before"] else "-"


def show_ladder(job: Job, model: str, *, as_json: bool) -> None:
    """Print the error of each layer alone at a ladder of amounts."""
    records = [
        {"schema": LADDER_SCHEMA, "model": model, "method": job.method, **step}
        for layer in console.tracked(job.subject.layers, "sensitivity", len(job.subject.layers))
        for step in job.ladder(layer, LADDER)
    ]
    console.emit(records, lambda: _ladder_tables(job, records), as_json=as_json)


def _ladder_tables(job: Job, records: list[dict[str, Any]]) -> Iterable[Group]:
    for merge in ("lstsq", "sum"):
        yield console.table(
            f"Error at the next layer by share of units removed ({job.method}, {merge})",
            ["layer", "units", *(f"{amount:g}" for amount in LADDER)],
            (
                [layer.name, rows[0]["before"], *(row[f"error_{merge}"] for row in rows)]
                for layer in job.subject.layers
                for rows in [[record for record in records if record["layer"] == layer.name]]
            ),
        )
