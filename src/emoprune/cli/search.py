"""emoprune search: many trainings, for the options that do best on the val part."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Annotated

import typer

from emoprune.choices import Sampler
from emoprune.cli import options
from emoprune.cli import train_options as training
from emoprune.search.config import DEFAULT_SPLIT, EPOCHS, USUAL_TRIALS, Asked, fixable, searchable
from emoprune.training.presets import PRESETS

EXAMPLES = """\b
Examples:
  emoprune search faces/ --space lr=log:1e-4:1e-1 --space hidden=20,50,100
  emoprune search faces/ --preset jain2020-conv2 --set epochs=10 \\
    --space lr=log:1e-4:1e-1 --trials 50 -o trials.json --keep-best best.st
  emoprune search SFEW.xlsx --preset jain2020-ff --sampler grid \\
    --space lr=log:1e-3:1e-1:3 --space layers=int:1:3 --space hidden=20,50
  emoprune search fer2013.csv --preset wright2019-ff \\
    --sampler coarse-to-fine --trials 40 --space lr=log:1e-4:1e-1 \\
    --space momentum=0.5:0.9 --space batch_size=10,32,100
  emoprune report trials.json --by-label --figures figures/

\b
Spaces:
  NAME=log:LOW:HIGH  even in the logarithm   NAME=LOW:HIGH      even
  NAME=int:LOW:HIGH  whole numbers           NAME=A,B,C         these values
  NAME=...:HIGH:N    for --sampler grid: N values of the range, ends included
  hidden=20,50+20 is one layer of 20, or two of 50 and 20; layers=int:1:3 with
  hidden=20,50 is one to three layers of either. augment=none,flip+rotate:10

\b
Several processes with the same command and --storage share the trials. After
an interruption the same command goes on; what was running is run again."""


def _completing(names: Iterable[str]) -> Callable[[str], list[str]]:
    return options.completing([f"{name}=" for name in names])


Spaces = Annotated[
    list[str],
    typer.Option(
        "--space",
        metavar="NAME=VALUES",
        autocompletion=_completing(searchable()),
        help="What varies, and how, as below; repeat it. Names are options of train: lr, batch_size, hidden, "
        "dropout, optimizer and others, and layers.",
    ),
]
Preset = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        callback=options.one_of(PRESETS),
        autocompletion=options.completing(PRESETS),
        help="Defaults of all other options of train, as a paper has them: see train --help.",
    ),
]
Fixed = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="NAME=VALUE",
        autocompletion=_completing(fixable()),
        help="An option of train that is the same in all trials, as epochs=5; may be repeated.",
        show_default=False,
    ),
]
Trials = Annotated[
    int | None,
    typer.Option(
        min=1,
        metavar="N",
        help=f"How many in all, by all processes, failed ones too.  [default: {USUAL_TRIALS}; all of a grid]",
        show_default=False,
    ),
]
SamplerOption = Annotated[
    Sampler,
    typer.Option(
        help="grid: all combinations, in order. coarse-to-fine: half of the trials for a few epochs, even in "
        "the logarithm, the others longer, around the best of those."
    ),
]
CoarseEpochs = Annotated[
    int | None,
    typer.Option(min=1, metavar="N", help=f"Of the first half.  [default: {EPOCHS[0]}]", show_default=False),
]
FineEpochs = Annotated[
    int | None,
    typer.Option(min=1, metavar="N", help=f"Of the second half.  [default: {EPOCHS[1]}]", show_default=False),
]
Split = Annotated[
    str | None,
    typer.Option(
        metavar="75/10/15",
        help="Train/val/test, in percent or counts; trials are compared on val, and test is not measured. "
        f"[default: the data's own folders, else the preset's with a val part, else {DEFAULT_SPLIT}]",
        show_default=False,
    ),
]
Storage = Annotated[
    str, typer.Option(metavar="FILE", help="The search's memory, Optuna's journal; beside it FILE.lock.")
]
Log = Annotated[
    str | None,
    typer.Option(
        "-o",
        "--output",
        metavar="FILE",
        help="Also keep the lines of all trials here, added to what is there.",
        show_default=False,
    ),
]
KeepBest = Annotated[
    str | None,
    typer.Option(
        metavar="MODEL", help="Keep the checkpoint of the best trial, replaced by better.", show_default=False
    ),
]
Label = Annotated[
    str | None,
    options.label("What the trials are called in report.  [default: the preset, else the architecture]"),
]


def command(
    data: training.Data,
    spaces: Spaces,
    preset: Preset = None,
    fixed: Fixed = None,
    sampler: SamplerOption = "random",
    trials: Trials = None,
    coarse_epochs: CoarseEpochs = None,
    fine_epochs: FineEpochs = None,
    split: Split = None,
    group_by: options.GroupBy = None,
    split_by: options.SplitByOption = None,
    storage: Storage = "search.journal",
    output: Log = None,
    keep_best: KeepBest = None,
    label: Label = None,
    seed: options.Seed = 0,
    device: options.Device = "auto",
    force: options.Force = False,
    as_json: options.Json = False,
) -> None:
    """Search the options of train that do best on the val part.

    Every trial is a training with the defaults of train or of a preset, what --set fixes, and values of its
    own; in a pipe it prints a line of metrics (schema emoprune.metrics/1) for emoprune report. At the end
    stands the train command of the best one.
    """
    from emoprune.data.datasets import open_data
    from emoprune.io import devices
    from emoprune.search import search as search_run
    from emoprune.search import search_setup
    from emoprune.search.search import Outputs

    asked = Asked(
        data=data,
        spaces=tuple(spaces),
        preset=preset,
        fixed=tuple(fixed or ()),
        sampler=sampler,
        trials=trials,
        coarse_epochs=coarse_epochs,
        fine_epochs=fine_epochs,
        split=split,
        group_by=group_by,
        split_by=split_by,
        label=label,
        seed=seed,
        device=device,
    )
    devices.device(device)
    search = search_setup.set_up(asked, open_data(data))
    outputs = Outputs(storage, lines=output, best=keep_best, force=force)
    outputs.check()
    search_run.run(search, outputs, as_json=as_json)
