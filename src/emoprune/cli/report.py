"""emoprune report: evaluations side by side, prunings, angles and learning curves."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Annotated, Literal, cast, get_args

import typer

from emoprune.choices import DocumentForm, Section
from emoprune.cli import options, repeating
from emoprune.cli import output as console
from emoprune.errors import UsageFault
from emoprune.io.files import STANDARD
from emoprune.reporting.charts import FIGURES
from emoprune.reporting.types import ReportConfig

EXAMPLES = """\b
Examples:
  emoprune eval model.st faces/ | emoprune report
  emoprune report before.json after.json -o report.md
  emoprune report runs/*.json --section summary -o runs.csv

\b
A page to hand on: one file of text, figures and tables, for any browser.
  emoprune sweep model.st faces/
  emoprune report model.sweep.jsonl -o report.html --title "Pruning on faces"

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
  emoprune report --baseline big.csv *.csv --section flipped -o flipped.csv

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
    paths: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="FILES",
            help="What emoprune eval, eval --predictions, sweep, prune, prune --steps, angles and "
            "train --curve made, or folders of it; - or none: standard input.",
        ),
    ] = None,
    *,
    output: Annotated[
        str | None,
        typer.Option(
            "-o",
            "--output",
            metavar="FILE",
            help="Write the report there, as its suffix says: .html (a page with figures), .tex, .md, .csv, "
            ".json.",
            show_default=False,
        ),
    ] = None,
    title: Annotated[
        str | None,
        typer.Option(metavar="TEXT", help="What stands above a page, LaTeX or Markdown.", show_default=False),
    ] = None,
    note: Annotated[
        str | None,
        typer.Option(
            metavar="TEXT",
            help="What stands below the title, as what was measured and how; empty lines part paragraphs.",
            show_default=False,
        ),
    ] = None,
    form: Annotated[
        Literal["table", DocumentForm] | None,
        typer.Option("--format", help="For standard output.  [default: table on a terminal, JSON in a pipe]"),
    ] = None,
    section: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            autocompletion=options.completing(get_args(Section)),
            callback=options.each_of(get_args(Section)),
            help=f"Only this section; may be repeated: {', '.join(get_args(Section))}.  "
            "[default: all that have something; in CSV the first, in JSON always all]",
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
            help="Replace files that exist; compare predictions of other data or images, those in common.",
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
    wanted = _form(output, form, as_json=as_json)
    if figure and figures is None:
        raise UsageFault("--figure names a figure, but no folder", "give --figures DIR as well")
    if not paths and sys.stdin.isatty():
        raise UsageFault(
            "no files, and nothing is piped in", "give files of metrics, or pipe emoprune eval into it"
        )
    places = paths or [STANDARD]
    if [*places, config.baseline].count(STANDARD) > 1:
        raise UsageFault("standard input can be read once", "give a file instead of one -")
    from emoprune.reporting import documents

    heading = documents.Heading(title, note)
    documents.check(output, wanted, heading, force=force)
    chosen = cast(tuple[Section, ...], tuple(section or ()))
    with _uncollected():
        made = documents.document(places, config, sections=chosen, heading=heading, force=force)
    if figures is not None:
        from emoprune.reporting.figures import save

        save(made.runs, figures, figure or (), force=force)
    with _uncollected():
        if wanted in get_args(DocumentForm):
            said = {name: value for name, value in given.values.items() if name in given.written}
            said |= {"section": chosen, "title": title, "note": note, "output": output}
            repeat = [*repeating.of_evaluations(made.runs.evaluations), repeating.of_report(places, said)]
            whole = replace(made, commands=tuple(repeat))
            if output is None:
                console.write(whole.text(cast(DocumentForm, wanted)))
            else:
                whole.write(output, force=force)
        elif wanted == "table":
            console.show(made.report.tables(*chosen))
        else:
            console.emit([made.report.to_record()], lambda: made.report.tables(*chosen), as_json=False)


def _form(output: str | None, form: str | None, *, as_json: bool) -> str | None:
    """The one form that options and the suffix of a file name, if they do; UsageFault for two."""
    from emoprune.reporting.documents import form_of

    named = {"--json": "json" if as_json else None, f"--format {form}": form}
    named |= {f"-o {output}": None if output is None else form_of(output)}
    found = {name: value for name, value in named.items() if value}
    if len({*found.values()}) > 1:
        first, second, *_ = found
        raise UsageFault(f"{first} and {second} name two formats", "give one of them")
    return next(iter(found.values()), None)


@contextmanager
def _uncollected() -> Iterator[None]:
    """Within, Python looks for no cycles: among millions of records it takes a third of the time."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
