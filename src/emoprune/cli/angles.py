"""emoprune angles: which hidden units have similar activations."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Literal

import typer

from emoprune.cli import options, output
from emoprune.errors import UsageFault, at
from emoprune.pruning.types import ANGLES_SCHEMA, AnglesConfig

EXAMPLES = """\b
Examples:
  emoprune angles model.st
  emoprune angles model.st --below 30 --above 150 --format csv > pairs.csv
  emoprune angles model.st --layer '*hidden1' --all --json | jq .smallest_deg"""


@options.with_settings(AnglesConfig)
def command(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A checkpoint, or - for standard input.")],
    given: options.Given,
    form: Annotated[
        Literal["table", "json", "csv"] | None,
        typer.Option("--format", help="[default: table on a terminal, JSON in a pipe]", show_default=False),
    ] = None,
    arch: options.Arch = None,
    as_json: options.Json = False,
) -> None:
    """Show the angles between hidden units, and which of them are similar.

    They come from the statistics in the checkpoint; no image is needed. The activation of a channel is its
    mean over the map.

    Counts are units that belong to at least one similar or complementary pair; insignificant units have a
    vector shorter, or vary less, than 1% of the layer's range.
    """
    from emoprune.io import files
    from emoprune.networks import checkpoint
    from emoprune.pruning.angles import survey_layers
    from emoprune.reporting import error_tables, tables

    if as_json and form not in (None, "json"):
        raise UsageFault(f"--json and --format {form} name two formats", "give one of them")
    original = checkpoint.read(model, arch)
    with at(files.shown(model)):
        surveys = survey_layers(original, AnglesConfig(**given.values))
    form = "json" if as_json else form
    if form == "csv":
        output.write(tables.to_csv(error_tables.pairs_table(surveys)))
    elif form == "table":
        output.show(error_tables.angle_tables(surveys))
    else:
        shared = {"schema": ANGLES_SCHEMA, "model": model}
        records = [{**shared, "layer": name, **asdict(survey)} for name, survey in surveys.items()]
        output.emit(records, lambda: error_tables.angle_tables(surveys), as_json=form == "json")
