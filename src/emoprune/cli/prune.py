"""emoprune prune: remove units and say what it cost before anything is written."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from emoprune.cli import console, options
from emoprune.core.methods import METHODS
from emoprune.errors import UsageFault
from emoprune.records.choices import Merge

if TYPE_CHECKING:
    from rich.console import Group

    from emoprune.records import Checkpoint

SCHEMA = "emoprune.prune/1"
HEAVY_LOSS = 0.5
"""Relative error at the next layer's input beyond which little of it is left."""

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
        metavar="NAME",
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
    from emoprune.core import surgery
    from emoprune.core.angles import default_centre
    from emoprune.core.certificate import certify
    from emoprune.core.compensation import solve
    from emoprune.core.selection import Selection
    from emoprune.records import Plan
    from emoprune.store import checkpoints, streams

    target = None if dry_run else _target(model, output, method)
    before = checkpoints.read(model)
    found = options.matching_layers(before, layer, place=streams.shown(model))
    if target is not None:
        streams.check_output(target, force=force)
    views = [surgery.view(before, entry) for entry in found]
    selection = Selection(angle_deg=angle, merge=merge, centre=center)
    plan = Plan(tuple(METHODS[method](view, selection) for view in views))
    decided = list(zip(views, plan.removals, strict=True))
    solutions = {view.layer.name: solve(view, removal) for view, removal in decided}
    after = surgery.apply(plan, before, {name: merged[merge] for name, merged in solutions.items()})
    layers: list[dict[str, Any]] = [
        {
            **dataclasses.asdict(certify(view, removal, solutions[removal.layer])),
            "centre": center or default_centre(view.layer.activation),
            "removed": list(removal.removed),
            "merges": dict(removal.merges),
        }
        for view, removal in decided
    ]
    settings = {"method": method, "angle": angle, "merge": merge, "layer": layer}
    summary = {
        "schema": SCHEMA,
        "input": model,
        "output": target,
        **settings,
        **_change(before, after, place=streams.shown(model)),
        "layers": layers,
    }
    for removal in plan.removals:
        if removal.spared:
            console.warn(f"{removal.layer}: every unit would go; 1 stays")
    for entry in layers:
        error = entry[f"error_{merge}"]
        if error is not None and error > HEAVY_LOSS:
            console.warn(f"{entry['layer']}: what the next layer reads changes by {error:.0%} of its spread")
    # people see the certificate before anything is written; programs read of what has been done
    for_people = sys.stderr if target == streams.STANDARD else sys.stdout
    as_table = for_people.isatty() and not as_json
    if as_table:
        console.show(_certificate(summary), for_people)
    if target is not None:
        _write(target, before, after, settings, summary, force=force)
    if target == streams.STANDARD:
        return
    if as_table:
        console.write(f"  wrote {target}\n" if target else "  dry run: nothing written\n")
    else:
        console.emit([summary], lambda: (), as_json=True)


def _change(before: Checkpoint, after: Checkpoint, *, place: str) -> dict[str, Any]:
    """Units, parameters and multiply-accumulates before and after; the networks are rebuilt to count them."""
    from emoprune.core import costs, nets
    from emoprune.errors import at

    with at(place):
        old, new = (
            costs.cost(nets.restore(version.spec, version.tensors), version.spec)
            for version in (before, after)
        )
    return {
        "units": {"before": before.units, "after": after.units},
        "compression_rate": (before.units - after.units) / before.units,
        "parameters": {"before": old.parameters, "after": new.parameters},
        "macs": {"before": old.macs, "after": new.macs},
    }


def _write(
    target: str,
    before: Checkpoint,
    after: Checkpoint,
    settings: Mapping[str, Any],
    summary: Mapping[str, Any],
    *,
    force: bool,
) -> None:
    from emoprune.cli import history
    from emoprune.store import checkpoints, streams

    outcome = {key: summary[key] for key in ("units", "parameters", "macs", "layers")}
    entry = history.entry("prune", settings, outcome)
    done = dataclasses.replace(after, history=(*before.history, entry))
    streams.write_bytes(target, checkpoints.to_bytes(done), force=force)


def _target(model: str, output: str | None, method: str) -> str:
    if output is not None:
        return output
    if model == "-":
        raise UsageFault("a checkpoint from standard input has no name to write beside", "give -o OUT")
    path = Path(model)
    return str(path.with_name(f"{path.stem}.{method}.st"))


def _certificate(summary: Mapping[str, Any]) -> Iterable[Group]:
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
