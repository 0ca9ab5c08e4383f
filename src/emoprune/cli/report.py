"""emoprune report: evaluations side by side, prunings, angles and learning curves."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Literal, get_args

import typer

from emoprune import events
from emoprune.choices import Section
from emoprune.cli import options, output
from emoprune.errors import UsageFault
from emoprune.io.files import STANDARD
from emoprune.reporting import tables
from emoprune.reporting.charts import FIGURES
from emoprune.reporting.types import ReportConfig

EXAMPLES = """\b
Examples:
  emoprune eval model.st faces/ | emoprune report
  emoprune report before.json after.json --format markdown > report.md
  emoprune report runs/*.json --section summary --format csv > runs.csv

\b
Labels and figures: label every run, then report them by label.
  for seed in 0 1 2; do for hidden in 50 100 200; do
    emoprune train faces/ m.st --force --seed $seed --hidden $hidden
    emoprune eval m.st faces/ --label whole \\
      --set hidden=$hidden --set seed=$seed >> runs.json
  done; done
  emoprune report runs.json --by-label
  emoprune report runs.json --by-label --paper table4.csv
  emoprune report runs.json --figures figures/
  emoprune report runs.json --figures figures/ --figure confusion

\b
Is the difference chance? Predictions are compared with those of a baseline.
  for model in big small; do
    emoprune eval $model.st faces/ --predictions $model.csv > $model.json
  done
  emoprune report --baseline big.csv small.csv --margin 2
  emoprune report --baseline big.csv *.csv --section flipped --format csv

\b
Steps of prunings and learning curves have sections of their own, with or
without evaluations; by label they are means over runs with 95% intervals.
  for seed in 0 1 2; do
    emoprune train faces/ m.st --force --seed $seed --label whole \\
      --curve $seed.json
    emoprune prune m.st --method progressive --steps --data faces/ \\
      --merge sum --label sum >> steps.json
  done
  emoprune report steps.json [0-2].json --by-label

\b
A paper's numbers: measures are accuracy, macro F1, units, parameters,
non-zero, MACs, or precision, recall, F1 with the name of a class. The label
of a step ends in its number of units; its measures are loss, accuracy,
smallest angle (in degrees) and least importance.
  label,measure,value,where
  whole,accuracy,34.5%,Table 4
  whole,precision happy,0.41,Table 5
  "sum, 9 units",loss,1.62,Figure 3

\b
What pruning cost: figures of a sweep, of prune and of angles.
  emoprune sweep model.st faces/ --latency
  emoprune prune model.st --method reconstruct --macs 0.5 --json > half.json
  emoprune angles model.st --all --json > angles.json
  emoprune report model.sweep.jsonl half.json angles.json --figures figures/

\b
Figures (all that the records make, each as .svg, .png and .csv):
  accuracy-against-COST  accuracy over macs, parameters, bytes or latency, one
                         line per label; filled: none is smaller and better
  loss-of-accuracy       points lost against the whole network, over the
                         setting predicted_error, which sweep writes
  accuracy-by-KEY        accuracy over a number KEY (eval --set KEY=N) that
                         varies within a label, one line per label; one more
                         line for each other setting tried at one KEY and seed
  compression-by-hidden  1 - units / hidden over the setting hidden
  before-after           accuracy before and after pruning: labels that end in
                         ", before" and ", after", or a setting pruned of 0
                         and of more; where only one label has pruned=0, it
                         is the baseline of the others
  confusion              a heatmap per label, its runs added up; none where
                         they differ in more than the setting seed
  confusion-change       the first network, each other one on the same samples
                         and what changed, side by side
  recall-by-class        bars per class of at most 6 networks
  reliability            accuracy over confidence, of at most 3 networks
  units-by-layer         units kept and removed, a figure per line of prune
  angles                 pairs of units by their angle, a figure per layer;
                         all angles of up to 64 units where angles has --all
  curves                 accuracy per epoch, from lines of emoprune.training/1
  steps                  loss and smallest angle over the units left, from
                         lines of emoprune.steps/1"""


@options.with_settings(ReportConfig)
def command(
    files: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="FILES",
            help="What emoprune eval, eval --predictions, sweep, prune, prune --steps, angles and "
            "train --curve made, or folders of it; - or none: standard input.",
        ),
    ] = None,
    *,
    form: Annotated[
        Literal["table", "markdown", "csv", "json"] | None,
        typer.Option("--format", help="[default: table on a terminal, JSON in a pipe]"),
    ] = None,
    section: Annotated[
        Section | None,
        typer.Option(
            metavar="NAME",
            help=f"Only this section: {', '.join(get_args(Section))}.  "
            "[default: all that have something; in CSV the first]",
        ),
    ] = None,
    given: options.Given,
    figures: Annotated[
        str | None,
        typer.Option(
            metavar="DIR",
            help="Draw figures into this folder; error bars and bands are 95% intervals over runs or, of one "
            "run, over its samples.",
        ),
    ] = None,
    figure: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            autocompletion=options.completing(FIGURES),
            help="With --figures: only this one; may be repeated.",
        ),
    ] = None,
    force: Annotated[
        bool,
        typer.Option(
            "--force",
            help="Replace figures that exist; compare predictions of other data or images, those in common.",
        ),
    ] = False,
    as_json: options.Json = False,
) -> None:
    """Compare evaluations, prunings and trainings, and draw them.

    The summary has accuracy with its 95% interval, cost and file size, each with its change against the first
    model. Precision, recall and F1 per class, confusion matrices, verdicts on predictions, steps and
    layers of prunings, angles and learning curves follow.
    """
    config = ReportConfig(**given.values)
    if figure and figures is None:
        raise UsageFault("--figure names a figure, but no folder", "give --figures DIR as well")
    if not files and sys.stdin.isatty():
        raise UsageFault(
            "no files, and nothing is piped in", "give files of metrics, or pipe emoprune eval into it"
        )
    places = files or [STANDARD]
    if [*places, config.baseline].count(STANDARD) > 1:
        raise UsageFault("standard input can be read once", "give a file instead of one -")
    from emoprune.reporting import inputs, sections

    with _uncollected():
        runs = inputs.read(places)
        made = sections.report(runs, config, force=force)
    for text in made.warnings:
        events.warn(text)
    made.chosen(section)
    if figures is not None:
        from emoprune.reporting.figures import save

        save(runs, figures, figure or (), force=force)
    form = "json" if as_json else form
    with _uncollected():
        if form == "markdown":
            output.write("\n".join(map(tables.to_markdown, made.tables(section))))
        elif form == "csv":
            output.write(tables.to_csv(made.flat(section)))
        elif form == "table":
            output.show(made.tables(section))
        else:
            output.emit([made.to_record()], lambda: made.tables(section), as_json=form == "json")


@contextmanager
def _uncollected() -> Iterator[None]:
    """Within, Python looks for no cycles: among millions of records it takes a third of the time."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
