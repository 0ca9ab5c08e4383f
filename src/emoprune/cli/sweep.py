"""emoprune sweep: one network pruned by several methods to several sizes, a line of metrics for each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from emoprune.cli import options
from emoprune.cli import output as console
from emoprune.errors import UsageFault, at
from emoprune.reporting import tables
from emoprune.reporting.measures import ACCURACY, BASELINES
from emoprune.sweeping.config import SweepConfig

if TYPE_CHECKING:
    from collections.abc import Sequence

    from emoprune.evaluation.types import Metrics

EXAMPLES = """\b
Examples:
  emoprune sweep model.st faces/                    writes model.sweep.jsonl
  emoprune sweep model.st faces/ --methods distinct,reconstruct \\
    --macs 0.5,0.25 --merge sum,lstsq --save pruned/
  emoprune sweep model.st faces/ --angles 10,20,30 --merge sum
  emoprune sweep model.st faces/ --heal 2 --jobs 2
  emoprune sweep model.st faces/ --heal 2 --resume
  emoprune report model.sweep.jsonl --figures figures/

\b
After an interruption the same command with --resume goes on. With it, more
methods and amounts join those that are there."""


@options.with_settings(SweepConfig)
def command(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A checkpoint, or - for standard input.")],
    data: Annotated[
        str, typer.Argument(metavar="DATA", help="The data that it was trained on; DATA:val is a part.")
    ],
    given: options.Given,
    output: Annotated[
        str | None,
        typer.Option(
            "-o",
            "--output",
            metavar="FILE",
            help="For the lines.  [default: MODEL.sweep.jsonl beside MODEL]",
            show_default=False,
        ),
    ] = None,
    save: Annotated[
        str | None,
        typer.Option(metavar="DIR", help="Keep the pruned checkpoints in this folder.", show_default=False),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the lines of FILE, if there are any.")
    ] = False,
    jobs: Annotated[int, typer.Option(metavar="N", min=1, help="Processes, of one thread each.")] = 1,
    arch: options.Arch = None,
    force: options.Force = False,
    as_json: options.Json = False,
) -> None:
    """Prune a network by several methods to several sizes, and compare what is left.

    Every combination is pruned as by prune, however much it loses, and evaluated as by eval. In a pipe it
    prints a line of metrics (schema emoprune.metrics/1) for each, the whole network first. Combinations that
    cannot be met are noted.
    """
    from emoprune.data.datasets import open_data
    from emoprune.io import files
    from emoprune.networks import checkpoint
    from emoprune.reporting import records_io
    from emoprune.sweeping.sweep import Outputs, sweep

    def show(metrics: Metrics) -> None:
        console.emit([records_io.to_record(metrics)], lambda: (), as_json=as_json)

    if resume and force:
        raise UsageFault("`resume` goes on with what `force` replaces", "give one of them")
    config = SweepConfig(**given.values)
    lines = output or _beside(model)
    loaded = checkpoint.read(model, arch)
    with at(files.shown(model)):
        found = sweep(
            loaded,
            open_data(data),
            config,
            Outputs(lines, save, resume=resume, force=force),
            jobs=jobs,
            model_name=model,
            data_name=data,
            on_line=show,
        )
    console.emit([], lambda: _table(found.metrics, config.asked[0].name), as_json=as_json)


def _beside(model: str) -> str:
    if model == "-":
        raise UsageFault("a checkpoint from standard input has no name to write beside", "give -o FILE")
    path = Path(model)
    return str(path.with_name(f"{path.stem}.sweep.jsonl"))


def _table(found: Sequence[Metrics], amount: str) -> Iterator[tables.Table]:
    """What each network costs and is worth, beside the whole one."""
    whole, *pruned = found
    rows = list[dict[str, object]]()
    for each in (whole, *pruned):
        row: dict[str, object] = {
            "": each.name,
            "asked": None if each is whole else each.settings.get(amount),
            "MACs": f"{each.macs:,}",
            "parameters": f"{each.parameters:,}",
            "accuracy": tables.PERCENT.text(each.accuracy),
            "change": None if each is whole else tables.POINTS.text(each.accuracy - whole.accuracy),
        }
        if each.latency_ms is not None:
            row["ms"] = tables.DECIMALS.text(each.latency_ms)
        rows.append(row)
    made = tables.from_rows(f"{len(rows)} networks on the {whole.split} part", rows)
    baselines = BASELINES[ACCURACY.key]
    _, once = baselines.column(ACCURACY, [baselines.mean([whole])])
    yield replace(made, notes=(once,) if once else ())
