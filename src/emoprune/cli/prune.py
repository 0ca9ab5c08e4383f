"""emoprune prune: remove units, and say what it costs before anything is written."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from emoprune.cli import options, output
from emoprune.errors import UsageFault, at
from emoprune.pruning.types import PRUNE_SCHEMA, STEPS_SCHEMA, PruneConfig

if TYPE_CHECKING:
    from emoprune.networks.types import Checkpoint
    from emoprune.pruning.prune import PrunePlan

SENSITIVITY_SCHEMA = "emoprune.sensitivity/1"

EXAMPLES = """\b
Examples:
  emoprune prune model.st                           writes model.distinct.st
  emoprune prune model.st --angle 30 --merge sum    the published rule
  emoprune prune model.st --method reconstruct --macs 0.5 -o half.st
  emoprune prune model.st --method reconstruct --max-drop 1 --round-to 8
  emoprune prune model.st --method reconstruct --speedup 2
  emoprune prune model.st --method importance --layer conv1 --amount 0.25
  emoprune prune model.st --method magnitude --amount 0.5
  emoprune prune model.st --method reconstruct --macs 0.25 --dry-run
  emoprune prune model.st --method reconstruct --sensitivity"""


@options.with_settings(PruneConfig)
def command(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A checkpoint, or - for standard input.")],
    given: options.Given,
    target: Annotated[
        str | None,
        typer.Option(
            "-o",
            "--output",
            metavar="OUT",
            help="[default: MODEL.METHOD.st beside MODEL]",
            show_default=False,
        ),
    ] = None,
    sensitivity: Annotated[
        bool,
        typer.Option(
            "--sensitivity",
            help="Print each layer's sensitivity and its predicted error at amounts 0.1 to 0.9, write "
            "nothing.",
        ),
    ] = False,
    steps: Annotated[
        bool,
        typer.Option(
            "--steps",
            help="Print loss, accuracy, smallest angle and least kernel after every unit that is removed, "
            "write nothing.  [down to an amount, else to one unit a layer]",
        ),
    ] = False,
    label: Annotated[str | None, options.label("Label of --steps for emoprune report.")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the predicted error, write nothing.")
    ] = False,
    arch: options.Arch = None,
    keep_paths: options.KeepPaths = False,
    force: options.Force = False,
    as_json: options.Json = False,
) -> None:
    """Remove units, or single weights, and predict what it costs.

    Whole units make the result physically smaller. Selection, merge and predicted error need no image: they
    follow from the statistics in the checkpoint. With --data, or where a batch norm has to be recalibrated,
    all layers after the first cut are also refitted, without training: on that data, on the training data if
    it still is where it was, seen from here or from the checkpoint, or else on drawn faces.

    The predicted error is, per layer, the relative error at the next layers' input under either merge.
    """
    from emoprune.io import files
    from emoprune.networks import checkpoint
    from emoprune.networks.types import Checkpoint
    from emoprune.pruning import prune, sweeps
    from emoprune.reporting import error_tables

    _check_modes({"output": target, "rewind": given.values["rewind"]}, sensitivity=sensitivity, steps=steps)
    if label is not None and not steps:
        raise UsageFault("--label names what --steps prints, which is not given", "give --steps as well")
    config = PruneConfig(**given.values)
    if not (sensitivity or steps):
        config.check_counts(config.required_amount)
        target = None if dry_run else target or _beside(model, config.method)
    original = checkpoint.read(model, arch)
    if target is not None:
        files.check_output(target, force=force)
    with at(files.shown(model)):
        if sensitivity:
            found = sweeps.sensitivity_sweep(original, config)
            shared = {"schema": SENSITIVITY_SCHEMA, "model": model, "method": config.method}
            records = [
                {
                    **shared,
                    "sensitivity_nats": each.sensitivity_nats,
                    "amount": amount,
                    **asdict(estimate),
                }
                for each in found
                for amount, estimate in each.estimates.items()
            ]
            swept = partial(error_tables.sensitivity_tables, method=config.method, merge=config.merge)
            output.emit(records, lambda: swept(found, sweeps.AMOUNTS), as_json=as_json)
        elif steps:
            curve = sweeps.pruning_curve(original, config, model=model, label=label)
            record = {"schema": STEPS_SCHEMA, **asdict(curve)}
            output.emit(
                [record], lambda: [error_tables.curve_table(curve, merge=config.merge)], as_json=as_json
            )
        else:
            saved = partial(Checkpoint.save, force=force, keep_paths=keep_paths)
            _prune(original, prune.plan(original, config), model, target, saved, as_json=as_json)


def _check_modes(unwritten: Mapping[str, str | None], *, sensitivity: bool, steps: bool) -> None:
    """Raise UsageFault for options about a file that --sensitivity and --steps do not write."""
    modes = [name for name, wanted in (("--steps", steps), ("--sensitivity", sensitivity)) if wanted]
    written = [f"`{name}`" for name, value in unwritten.items() if value is not None]
    if modes and (written or len(modes) > 1):
        fact = f"{modes[0]} writes nothing, and {[*written, *modes[1:]][0]} is given"
        raise UsageFault(fact, "leave it out")


def _beside(model: str, method: str) -> str:
    if model == "-":
        raise UsageFault("a checkpoint from standard input has no name to write beside", "give -o OUT")
    path = Path(model)
    return str(path.with_name(f"{path.stem}.{method}.st"))


def _prune(
    original: Checkpoint,
    planned: PrunePlan,
    model: str,
    target: str | None,
    saved: Callable[[Checkpoint, str], None],
    *,
    as_json: bool,
) -> None:
    """Show what a plan costs and, with a target, write what it makes; each goes where it belongs."""
    from emoprune.io import files
    from emoprune.pruning import prune
    from emoprune.pruning.error_estimate import report_warnings
    from emoprune.reporting.error_tables import error_tables

    done = prune.prune(original, planned) if target is not None else None
    outcome = done.outcome if done else planned.outcome()
    if not done:
        report_warnings(planned.run.config, outcome)
    # people see the predicted error before anything is written; programs read what has been done
    for_people = sys.stderr if target == files.STANDARD else sys.stdout
    as_table = for_people.isatty() and not as_json
    if as_table:
        output.show(error_tables(planned.settings, outcome), for_people)
    if done and target is not None:
        saved(done.checkpoint, target)
    if target == files.STANDARD:
        return
    if as_table:
        output.write(f"  wrote {target}\n" if target else "  dry run: nothing written\n")
    else:
        record = {"schema": PRUNE_SCHEMA, "input": model, "output": target, **planned.settings}
        output.emit([{**record, **outcome.to_record()}], lambda: (), as_json=True)
