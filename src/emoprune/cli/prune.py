"""emoprune prune: remove units and say what it cost before anything is written."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from emoprune.cli import console, options
from emoprune.core.methods import METHODS
from emoprune.errors import UsageFault
from emoprune.records.choices import Merge

if TYPE_CHECKING:
    from rich.table import Table

SCHEMA = "emoprune.prune/1"

EXAMPLES = """\b
Examples:
  emoprune prune model.st                      writes model.distinct.st
  emoprune prune model.st --angle 30 -o small.st
  emoprune prune model.st --merge sum          the published rule
  emoprune prune model.st --angle 30 --dry-run what it would cost, nothing written"""


Output = Annotated[
    str | None,
    typer.Option(
        "-o",
        "--output",
        metavar="OUT",
        help="[default: beside the input, MODEL.METHOD.st]",
        show_default=False,
    ),
]
MethodName = Annotated[
    str,
    typer.Option(
        metavar="|".join(METHODS),
        callback=options.one_of(METHODS),
        autocompletion=options.completing(METHODS),
        help="; ".join(f"{name}: {entry.meaning}" for name, entry in METHODS.items()) + ".",
    ),
]
Angle = Annotated[
    float,
    typer.Option(min=0, max=90, metavar="DEGREES", help="Similar under it, complementary over 180 minus it."),
]
MergeOption = Annotated[
    Merge,
    typer.Option(
        help="How survivors take over: lstsq re-solves their outgoing weights, sum adds those of the "
        "removed as published."
    ),
]


def command(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A checkpoint, or - for standard input.")],
    output: Output = None,
    method: MethodName = "distinct",
    angle: Angle = 15.0,
    merge: MergeOption = "lstsq",
    layer: options.LayerGlob = "*",
    center: options.CentreOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the certificate, write nothing.")] = False,
    force: options.Force = False,
    as_json: options.Json = False,
) -> None:
    """Remove hidden units and certify what it costs.

    The result is physically smaller; no image is needed.
    The certificate tells, per layer, the relative error at the next layer's input under either merge.
    """
    from emoprune.cli import history, loading
    from emoprune.core import costs, nets, surgery
    from emoprune.core.certificate import certify
    from emoprune.core.compensation import solve
    from emoprune.core.selection import Selection
    from emoprune.errors import at
    from emoprune.records import Plan
    from emoprune.store import checkpoints, streams

    target = None if dry_run else _target(model, output, method)
    if target is not None:
        streams.check_output(target, force=force)
    before = checkpoints.read(model)
    views = [surgery.view(before, found) for found in options.matching_layers(before, layer, place=model)]
    selection = Selection(angle_deg=angle, merge=merge, centre=center)
    plan = Plan(method, tuple(METHODS[method](view, selection) for view in views))
    decided = list(zip(views, plan.removals, strict=True))
    solutions = {view.layer.name: solve(view, removal) for view, removal in decided}
    certificates = [certify(view, removal, solutions[removal.layer]) for view, removal in decided]
    after = surgery.apply(plan, before, {layer: merged[merge] for layer, merged in solutions.items()})
    with at(model):
        costs_before, costs_after = (
            costs.cost(nets.restore(version.spec, version.tensors), version.spec)
            for version in (before, after)
        )
    units_before, units_after = loading.hidden_units(before), loading.hidden_units(after)
    parameters = {"method": method, "angle": angle, "merge": merge, "layer": layer, "center": center}
    summary = {
        "schema": SCHEMA,
        "input": model,
        "output": target,
        **parameters,
        "units": {"before": units_before, "after": units_after},
        "compression_rate": (units_before - units_after) / units_before,
        "parameters": {"before": costs_before.parameters, "after": costs_after.parameters},
        "macs": {"before": costs_before.macs, "after": costs_after.macs},
        "layers": [dataclasses.asdict(certificate) for certificate in certificates],
    }
    for removal in plan.removals:
        if removal.spared:
            console.warn(f"{removal.layer}: every unit would go; 1 stays")
    if target is not None:
        metrics = {key: summary[key] for key in ("units", "parameters", "macs", "layers")}
        entry = history.entry("prune", parameters, metrics)
        done = dataclasses.replace(after, history=(*before.history, entry))
        streams.write_bytes(target, checkpoints.to_bytes(done), force=force)
    if target != streams.STANDARD:
        console.emit([summary], lambda: _tables(summary), as_json=as_json)


def _target(model: str, output: str | None, method: str) -> str:
    if output is not None:
        return output
    if model == "-":
        raise UsageFault("a checkpoint from standard input has no name to write beside", "give -o OUT")
    path = Path(model)
    return str(path.with_name(f"{path.stem}.{method}.st"))


def _tables(summary: dict[str, Any]) -> Iterable[Table | str]:
    keys = ("similar", "complementary", "insignificant", "error_sum", "error_lstsq")
    yield console.table(
        f"Certificate ({summary['method']}, {summary['angle']:g} degrees, {summary['merge']})",
        ["layer", "units", "similar", "compl.", "insign.", "error: sum", "lstsq"],
        (
            [entry["layer"], f"{entry['before']:,} > {entry['after']:,}", *(entry[key] for key in keys)]
            for entry in summary["layers"]
        ),
    )
    yield console.table(
        "",
        ["", "before", "after", "change"],
        (
            [name, counts["before"], counts["after"], f"{counts['after'] / counts['before'] - 1:+.1%}"]
            for name in ("units", "parameters", "macs")
            for counts in [summary[name]]
        ),
    )
    yield f"  wrote {summary['output']}" if summary["output"] else "  dry run: nothing written"
