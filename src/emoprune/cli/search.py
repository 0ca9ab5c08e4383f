"""emoprune search: many trainings, for the options that do best on the val part."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from emoprune import events
from emoprune.cli import options, train
from emoprune.cli import output as console
from emoprune.reporting import tables
from emoprune.search.config import SearchConfig
from emoprune.training.config import SETTINGS

if TYPE_CHECKING:
    from emoprune.evaluation.types import Metrics
    from emoprune.search.search import SearchResult

SHOWN = 10
"""Trials in the final table."""

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
an interruption the same command continues; running trials are run again."""


Storage = Annotated[
    str,
    typer.Option(
        metavar="FILE",
        help="Its memory: Optuna's journal, or a database as sqlite:///FILE; FILE.mutex is its lock.",
    ),
]
Log = Annotated[
    str | None,
    typer.Option(
        "-o",
        "--output",
        metavar="FILE",
        help="Also append the lines of all trials to this file.",
        show_default=False,
    ),
]
KeepBest = Annotated[
    str | None,
    typer.Option(
        metavar="MODEL",
        help="Keep the checkpoint of the best trial; a better one replaces it.",
        show_default=False,
    ),
]
Label = Annotated[
    str | None,
    options.label("What the trials are called in report.  [default: the preset, else the architecture]"),
]


@options.with_settings(SearchConfig)
def command(
    data: train.Data,
    given: options.Given,
    storage: Storage = "search.journal",
    output: Log = None,
    keep_best: KeepBest = None,
    label: Label = None,
    force: options.Force = False,
    as_json: options.Json = False,
) -> None:
    """Search the options of train that do best on the val part.

    Every trial is a training with the defaults of train or of a preset, what --set fixes, and values of its
    own; in a pipe it prints a line of metrics (schema emoprune.metrics/1) for emoprune report. The last line
    is the train command of the best one.
    """
    from emoprune.data.datasets import open_data
    from emoprune.reporting import records_io
    from emoprune.search.outputs import Outputs
    from emoprune.search.search import search

    def show(metrics: Metrics) -> None:
        console.emit([records_io.to_record(metrics)], lambda: (), as_json=as_json)

    config = SearchConfig(**given.values, label=label)
    outputs = Outputs(storage, lines=output, best=keep_best, force=force)
    found = search(open_data(data), config, outputs, on_trial=show)
    console.emit([], lambda: _table(found), as_json=as_json)
    best, count = found.ranked[0], events.counted(len(found.ranked), "trial")
    events.note(f"best of {count}: {best.accuracy:.1%} of the val part, trial {best.number}; to train it:")
    console.paste(_train_command(data, found))


def _train_command(data: str, found: SearchResult) -> list[str]:
    """The command line that trains the best trial."""
    preset = ["--preset", found.best.preset] if found.best.preset else []
    names = [name for name in SETTINGS if name in found.best.given]
    return ["emoprune", "train", data, "model.st", *preset, *train.words(found.best, names)]


def _table(found: SearchResult) -> Iterator[tables.Table]:
    names = list(found.ranked[0].values)
    rows = [
        [str(trial.number), f"{trial.accuracy:.1%}", *map(trial.values.get, names)]
        for trial in found.ranked[:SHOWN]
        if trial.accuracy is not None
    ]
    yield tables.table(f"Best of {len(found.ranked)} trials", ["trial", "val accuracy", *names], rows)
