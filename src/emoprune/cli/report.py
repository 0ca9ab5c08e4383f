"""emoprune report: evaluations side by side, steps of prunings and learning curves."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from emoprune import events
from emoprune.choices import Section
from emoprune.cli import options, output
from emoprune.errors import UsageFault
from emoprune.reporting import tables
from emoprune.reporting.charts import FIGURES

if TYPE_CHECKING:
    from emoprune.reporting.sections import View
    from emoprune.reporting.types import Runs

EXAMPLES = """\b
Examples:
  emoprune eval model.st faces/ | emoprune report
  emoprune report before.json after.json --format markdown > report.md
  emoprune report runs/*.json --section summary --format csv > runs.csv

\b
Labels and figures: tell every run what it is, then gather them.
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
Steps of prunings and learning curves have sections of their own, alone or
beside evaluations; by label they are means over runs with 95% intervals.
  for seed in 0 1 2; do
    emoprune train faces/ m.st --force --seed $seed --label whole \\
      --curve $seed.json
    emoprune prune m.st --method progressive --steps --data faces/ \\
      --merge sum --label sum >> steps.json
  done
  emoprune report steps.json [0-2].json --by-label

\b
A paper's numbers: measures are accuracy, macro F1, units, parameters,
non-zero, MACs, or precision, recall, F1 with the name of a class; of a step,
whose label ends in its number of units: loss, accuracy, smallest angle (in
degrees), least importance.
  label,measure,value,where
  whole,accuracy,34.5%,Table 4
  whole,precision happy,0.41,Table 5
  "sum, 9 units",loss,1.62,Figure 3

\b
Figures (all that the records make, each as .svg, .png and .csv):
  accuracy-by-KEY        accuracy over a number KEY (eval --set KEY=N) that
                         varies within a label, one line per label; and a line
                         each for what else was tried at one KEY and seed
  compression-by-hidden  1 - units / hidden over the setting hidden
  before-after           accuracy before and after pruning: labels ending in
                         ", before" and ", after", or a setting pruned of 0
                         and of more; where one label alone has pruned=0, it
                         is what the others are compared with
  confusion              a heatmap per label, its runs added up; none where
                         they differ in more than the setting seed
  curves                 accuracy per epoch, of lines of emoprune.training/1
  steps                  loss and smallest angle while units go, of lines of
                         emoprune.steps/1"""


def command(
    files: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="FILES",
            help="What emoprune eval, prune --steps and train --curve made; - or none: standard input.",
        ),
    ] = None,
    form: Annotated[
        Literal["table", "markdown", "csv", "json"] | None,
        typer.Option("--format", help="[default: table on a terminal, JSON in a pipe]", show_default=False),
    ] = None,
    section: Annotated[
        Section | None,
        typer.Option(
            help="Only this part.  [default: all there are; in CSV the first]",
            show_default=False,
        ),
    ] = None,
    by_label: Annotated[
        bool,
        typer.Option(
            "--by-label",
            help="One row per label (eval --label): means over its runs with Student's 95% interval, and the "
            "difference from the first label in runs of the same setting seed.",
        ),
    ] = False,
    paper: Annotated[
        str | None,
        typer.Option(
            metavar="FILE.csv",
            help="With --by-label: numbers that a paper prints, to stand beside ours; columns "
            "label,measure,value,where.",
            show_default=False,
        ),
    ] = None,
    figures: Annotated[
        str | None,
        typer.Option(
            metavar="DIR",
            help="Draw figures into this folder; error bars and bands are 95% intervals over runs.",
            show_default=False,
        ),
    ] = None,
    figure: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            autocompletion=options.completing(FIGURES),
            help="With --figures: only this one; may be repeated.",
            show_default=False,
        ),
    ] = None,
    force: options.Force = False,
    as_json: options.Json = False,
) -> None:
    """Compare evaluations, prunings and trainings, and draw them.

    Accuracy with its 95% interval, size and cost, each with its change against the first; then
    precision, recall and F1 per class, and confusion matrices; then what was measured while units
    went, and what trainings came to.
    """
    _check_options(by_label=by_label, paper=paper, figures=figures, figure=figure)
    found = _read(files)
    view = _view(found, by_label=by_label, paper=paper)
    for text in view.warnings:
        events.warn(text)
    view.chosen(section)
    if figures is not None:
        from emoprune.reporting.figures import drawing

        drawing.draw(found, figures, figure or (), force=force)
    _print(view, section, "json" if as_json else form)


def _check_options(
    *, by_label: bool, paper: str | None, figures: str | None, figure: Sequence[str] | None
) -> None:
    if paper is not None and not by_label:
        raise UsageFault("--paper has numbers of labels", "give --by-label as well")
    if figure and figures is None:
        raise UsageFault("--figure says which, and not where to", "give --figures DIR as well")


def _read(files: Sequence[str] | None) -> Runs:
    from emoprune.io import files as streams
    from emoprune.reporting import records_io
    from emoprune.reporting.types import Runs

    if not files and sys.stdin.isatty():
        raise UsageFault(
            "no files, and nothing is piped in", "give files of metrics, or pipe emoprune eval into it"
        )
    found = Runs()
    for file in files or ["-"]:
        text = streams.read_bytes(file).decode("utf-8", "replace")
        found += records_io.parse(text, place=streams.shown(file))
    return found


def _view(found: Runs, *, by_label: bool, paper: str | None) -> View:
    from emoprune.reporting import paper_values, sections

    if by_label:
        return sections.by_label(found, paper_values.read(paper) if paper is not None else ())
    return sections.one_by_one(found)


def _print(view: View, section: Section | None, form: str | None) -> None:
    chosen = view.chosen(section)
    made = [sheet for part in chosen for sheet in part.sheets()]
    if form == "markdown":
        output.write("\n".join(map(tables.to_markdown, made)))
    elif form == "csv":
        output.write(tables.to_csv(chosen[0].flat()))
    elif form == "table":
        output.show(made)
    else:
        output.emit([view.to_record()], lambda: made, as_json=form == "json")
