"""emoprune prune: remove units and say what it cost before anything is written."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from emoprune.choices import Merge, Scope
from emoprune.cli import options
from emoprune.cli import output as console
from emoprune.errors import UsageFault, at
from emoprune.pruning import amounts
from emoprune.pruning.methods import METHODS

if TYPE_CHECKING:
    from emoprune.networks.types import Checkpoint

SCHEMA = "emoprune.prune/2"
DEFAULT_METHOD = "distinct"

EXAMPLES = """\b
Examples:
  emoprune prune model.st                           writes model.distinct.st
  emoprune prune model.st --angle 30 --merge sum    the published rule
  emoprune prune model.st --method reconstruct --macs 0.5 -o half.st
  emoprune prune model.st --method reconstruct --max-drop 1 --round-to 8
  emoprune prune model.st --method importance --layer conv1 --amount 0.25
  emoprune prune model.st --method magnitude --amount 0.9
  emoprune prune model.st --method reconstruct --macs 0.25 --dry-run
  emoprune prune model.st --method reconstruct --sensitivity"""

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
        # \b keeps the lines as they are
        help="\b\n"
        + "\n".join(f"{name}: {entry.meaning}" for name, entry in METHODS.items())
        + f"\n[default: {DEFAULT_METHOD}]",
        show_default=False,
    ),
]
Angle = Annotated[
    float | None,
    typer.Option(
        min=0,
        max=90,
        metavar="DEGREES",
        help="distinct: similar under it, complementary over 180 minus it; progressive: while the smallest "
        "is under it.  [default: 15]",
        show_default=False,
    ),
]
Share = Annotated[
    float | None,
    options.fraction(
        "Share of the units that goes, 0 to 1; with magnitude and random, of the weights.", "--amount"
    ),
]
Units = Annotated[
    int | None, typer.Option(min=1, metavar="N", help="Units that stay, in all chosen layers together.")
]
Macs = Annotated[float | None, options.fraction("Share of the multiply-accumulates that stays, 0 to 1.")]
Params = Annotated[float | None, options.fraction("Share of the parameters that stays, 0 to 1.")]
LossIncrease = Annotated[
    float | None,
    typer.Option(
        min=0,
        metavar="NATS",
        help="As much as goes before the mean loss on the val part (else train) has grown by more.",
    ),
]
Drop = Annotated[
    float | None,
    typer.Option(
        min=0,
        max=100,
        metavar="POINTS",
        help="As much as goes before the accuracy on the val part (else train) has dropped by more.",
    ),
]
MergeOption = Annotated[
    Merge,
    typer.Option(
        help="How survivors take over: lstsq re-solves their outgoing weights and mends batch norm, sum "
        "adds those of the removed as published."
    ),
]
ScopeOption = Annotated[
    Scope,
    typer.Option(
        help="global: a budget is spent where it costs least; layer: the same share in every layer. Of no "
        "use to angles, which are the same for all layers."
    ),
]
RoundTo = Annotated[
    int, typer.Option(min=1, metavar="N", help="Layers keep a multiple of N units, which engines like.")
]


def command(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A checkpoint, or - for standard input.")],
    output: Output = None,
    method: MethodName = DEFAULT_METHOD,
    angle: Angle = None,
    share: Share = None,
    units: Units = None,
    macs: Macs = None,
    params: Params = None,
    max_loss_increase: LossIncrease = None,
    max_drop: Drop = None,
    scope: ScopeOption = "global",
    layer: options.LayerGlob = "*",
    round_to: RoundTo = 1,
    merge: MergeOption = "lstsq",
    center: options.CenterOption = None,
    data: options.LookAt = None,
    limit: options.Limit = 2000,
    sensitivity: Annotated[
        bool,
        typer.Option(
            "--sensitivity", help="Print the error of every layer at amounts 0.1 to 0.9, write nothing."
        ),
    ] = False,
    steps: Annotated[
        bool,
        typer.Option(
            "--steps",
            help="Print loss, accuracy, smallest angle and least kernel after every unit that goes, write "
            "nothing.  [down to an amount, else to one unit a layer]",
        ),
    ] = False,
    label: Annotated[str | None, options.label("What --steps are of, for emoprune report.")] = None,
    rewind: Annotated[
        str | None,
        typer.Option(
            metavar="INIT",
            help="Set what survives back to this earlier checkpoint (train --save-init), to train it anew.",
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the certificate, write nothing.")] = False,
    seed: options.Seed = 0,
    force: options.Force = False,
    as_json: options.Json = False,
) -> None:
    """Remove units, or single weights, and estimate_errors what it costs.

    Whole units make the result physically smaller. Selection, merge and certificate need no image: they
    follow from the statistics in the checkpoint. Where a batch norm is to be mended and the training data
    still is where the checkpoint says, or with --data, all layers after the first cut are re-solved on
    images, without training.

    The certificate tells, per layer, the relative error at the next layers' input under either merge.
    """
    from emoprune.io import files
    from emoprune.networks import checkpoint
    from emoprune.networks import checkpoint as history
    from emoprune.pruning import budget, certificate, prune, prune_steps, surgery

    wanted = {
        "--angle": angle,
        "--amount": share,
        "--units": units,
        "--macs": macs,
        "--params": params,
        "--max-loss-increase": max_loss_increase,
        "--max-drop": max_drop,
    }
    amount = amounts.resolved(
        method,
        wanted,
        unwritten={"--output": output, "--rewind": rewind},
        round_to=round_to,
        scope=scope,
        ladder=sensitivity,
        steps=steps,
    )
    if label is not None and not steps:
        raise UsageFault(
            "--label says what --steps are of, and they are not asked for", "give --steps as well"
        )
    target = None if dry_run or sensitivity or steps else _target(model, output, method)
    before = checkpoint.read(model)
    earlier = checkpoint.read(rewind) if rewind else None
    if earlier is not None:
        with at(files.shown(rewind or "")):
            surgery.check_rewind(earlier, before)
    if target is not None:
        files.check_output(target, force=force)
    judged = steps or (amount is not None and amount.needs_images)
    job = prune.prepare(
        before,
        method,
        amount,
        judged=judged,
        # weights that are gone back on, and those of a ladder, would be solved for nothing
        solved=judged or not (sensitivity or rewind),
        layers=layer,
        data=data,
        limit=limit,
        place=files.shown(model),
        request={"merge": merge, "center": center, "scope": scope, "round_to": round_to, "seed": seed},
    )
    if sensitivity:
        certificate.show_ladder(job, model, as_json=as_json)
        return
    if steps or amount is None:
        prune_steps.show(job, amount, model, label=label, as_json=as_json)
        return
    with at(files.shown(model)):
        plan = budget.plan_of(job, amount)
        merged = job.merges(plan)
        # what a dry run prints is known without images, but for an accuracy
        maker = dataclasses.replace(job, resolve=None) if dry_run and not judged else job
        after = maker.carried_out(plan, merged.get(merge))
        settings = certificate.settings(job, amount, layer=layer, data=data, samples=limit, rewind=rewind)
        if earlier is not None:
            after = surgery.rewound(after, earlier, job.context, plan)
        outcome = certificate.outcome(job, plan, merged, after) | certificate.judged(job, after, amount)
    done = dataclasses.replace(
        after, history=(*before.history, history.history_entry("prune", settings, outcome))
    )
    summary = {"schema": SCHEMA, "input": model, "output": target, **settings, **outcome}
    _deliver(done, summary, target, force=force, as_json=as_json)


def _deliver(
    done: Checkpoint, summary: dict[str, Any], target: str | None, *, force: bool, as_json: bool
) -> None:
    """ErrorEstimate and checkpoint, each where it belongs."""
    from emoprune.io import files
    from emoprune.networks import checkpoint
    from emoprune.pruning import certificate
    from emoprune.reporting import pruning_tables

    certificate.warn(summary)
    # people see the certificate before anything is written; programs read of what has been done
    for_people = sys.stderr if target == files.STANDARD else sys.stdout
    as_table = for_people.isatty() and not as_json
    if as_table:
        console.show(pruning_tables.error_tables(summary), for_people)
    if target is not None:
        files.write_bytes(target, checkpoint.to_bytes(done), force=force)
    if target == files.STANDARD:
        return
    if as_table:
        console.write(f"  wrote {target}\n" if target else "  dry run: nothing written\n")
    else:
        console.emit([summary], lambda: (), as_json=True)


def _target(model: str, output: str | None, method: str) -> str:
    if output is not None:
        return output
    if model == "-":
        raise UsageFault("a checkpoint from standard input has no name to write beside", "give -o OUT")
    path = Path(model)
    return str(path.with_name(f"{path.stem}.{method}.st"))
