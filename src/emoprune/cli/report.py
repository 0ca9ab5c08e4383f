"""emoprune report: several evaluations side by side."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

import typer

from emoprune.cli import console, options, sheets
from emoprune.core.charts import FIGURES
from emoprune.errors import BadMetrics, UsageFault
from emoprune.records.choices import Section

if TYPE_CHECKING:
    from rich.console import Group

    from emoprune.cli.comparison import Sheet
    from emoprune.records import Metrics, Runs

ALL_SECTIONS: tuple[Section, ...] = get_args(Section)

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
A paper's numbers: measures are accuracy, macro F1, units, parameters,
non-zero, MACs, or precision, recall, F1 with the name of a class.
  label,measure,value,where
  whole,accuracy,34.5%,Table 4
  whole,precision happy,0.41,Table 5

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
  confusion              a heatmap per label, its runs added up
  curves                 accuracy per epoch, of lines of emoprune.training/1
  steps                  loss and smallest angle while units go, of lines of
                         emoprune.steps/1"""


@dataclass(frozen=True)
class View:
    """The evaluations in each form: sheets for people, flat rows and a record for programs."""

    sheets: Callable[[Sequence[Section]], Sequence[Sheet]]
    flat: Callable[[Section], Sheet]
    to_record: Callable[[], dict[str, Any]]


def command(
    files: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="FILES", help="Metrics as emoprune eval prints them; - or none: standard input."
        ),
    ] = None,
    form: Annotated[
        Literal["table", "markdown", "csv", "json"] | None,
        typer.Option("--format", help="[default: table on a terminal, JSON in a pipe]", show_default=False),
    ] = None,
    section: Annotated[
        Section | None,
        typer.Option(help="Only this part.  [default: all; in CSV summary]", show_default=False),
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
    """Compare evaluations side by side, and draw them.

    Accuracy with its 95% interval, size and cost, each with its change against the first; then
    precision, recall and F1 per class, and confusion matrices.
    """
    _check_options(by_label=by_label, paper=paper, figures=figures, figure=figure)
    found = _read(files)
    drawn_alone = figures is not None and not found.evaluations and not by_label
    view = None if drawn_alone else _view(found, by_label=by_label, paper=paper)
    if figures is not None:
        from emoprune.cli import drawing

        drawing.draw(found, figures, figure or (), force=force)
    if view is not None:
        _print(view, (section,) if section else ALL_SECTIONS, "json" if as_json else form)


def _check_options(
    *, by_label: bool, paper: str | None, figures: str | None, figure: Sequence[str] | None
) -> None:
    if paper is not None and not by_label:
        raise UsageFault("--paper has numbers of labels", "give --by-label as well")
    if figure and figures is None:
        raise UsageFault("--figure says which, and not where to", "give --figures DIR as well")


def _read(files: Sequence[str] | None) -> Runs:
    from emoprune.records import Runs
    from emoprune.store import metrics, streams

    if not files and sys.stdin.isatty():
        raise UsageFault(
            "no files, and nothing is piped in", "give files of metrics, or pipe emoprune eval into it"
        )
    found = Runs()
    for file in files or ["-"]:
        text = streams.read_bytes(file).decode("utf-8", "replace")
        found += metrics.parse(text, place=streams.shown(file))
    return found


def _view(found: Runs, *, by_label: bool, paper: str | None) -> View:
    """What is to be printed, with a warning of what should not be compared."""
    from emoprune.cli import comparison, labels
    from emoprune.store import papers

    if not found.evaluations:
        raise BadMetrics("no metrics", "give what emoprune eval printed, or --figures for curves and steps")
    if not comparison.comparable(found.evaluations):
        console.warn("not all were measured on the same part of the same data")
    if not by_label:
        return _in_forms(comparison, found.evaluations)
    gathered = labels.overview(found.evaluations, papers.read(paper) if paper is not None else ())
    for entry in gathered.ours:
        if entry.differing:
            keys = " and ".join(entry.differing)
            console.warn(f"runs of label {entry.label!r} differ in {keys}; their mean is over all of these")
    return _in_forms(labels, gathered)


def _in_forms(module: Any, subject: object) -> View:
    return View(
        partial(module.sheets, subject), partial(module.flat, subject), partial(module.to_record, subject)
    )


def _print(view: View, sections: Sequence[Section], form: str | None) -> None:
    if form == "markdown":
        console.write("\n".join(map(sheets.to_markdown, view.sheets(sections))))
    elif form == "csv":
        console.write(sheets.to_csv(view.flat(sections[0])))
    elif form == "table":
        console.show(map(sheets.to_table, view.sheets(sections)))
    else:
        console.emit(
            [view.to_record()], lambda: map(sheets.to_table, view.sheets(sections)), as_json=form == "json"
        )


def tables(found: Sequence[Metrics]) -> Iterator[Group]:
    """All sections as tables for the terminal."""
    from emoprune.cli import comparison

    return map(sheets.to_table, comparison.sheets(found, ALL_SECTIONS))
