"""emoprune angles: which hidden units say the same thing."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Annotated, Any, Literal

import typer

from emoprune import events
from emoprune.cli import options, output
from emoprune.errors import UsageFault, at
from emoprune.reporting import tables
from emoprune.reporting.tables import Table

SCHEMA = "emoprune.angles/2"
SHOWN_PAIRS = 40

EXAMPLES = """\b
Examples:
  emoprune angles model.st
  emoprune angles model.st --below 30 --above 150 --format csv > pairs.csv
  emoprune angles model.st --layer '*hidden1' --all --json | jq .smallest_deg"""


def command(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A checkpoint, or - for standard input.")],
    layer: options.LayerGlob = "*",
    center: options.CenterOption = None,
    below: Annotated[
        float, typer.Option(min=0, max=180, metavar="DEGREES", help="Similar: under this many degrees.")
    ] = 15.0,
    above: Annotated[
        float, typer.Option(min=0, max=180, metavar="DEGREES", help="Complementary: over this many degrees.")
    ] = 165.0,
    everything: Annotated[bool, typer.Option("--all", help="Every pair, not only those.")] = False,
    form: Annotated[
        Literal["table", "json", "csv"] | None,
        typer.Option("--format", help="[default: table on a terminal, JSON in a pipe]", show_default=False),
    ] = None,
    data: options.LookAt = None,
    limit: options.Limit = 2000,
    as_json: options.Json = False,
) -> None:
    """Show the angles between hidden units, and which say the same.

    They come from the statistics in the checkpoint; no image is needed. The activation of a channel is its
    mean over the map.

    Counts are units that stand in at least one similar or complementary pair; insignificant units have a
    vector shorter, or vary less, than 1% of the layer's range.
    """
    from emoprune.evaluation import training_data
    from emoprune.io import files
    from emoprune.networks import checkpoint as checkpoints
    from emoprune.pruning.angles import survey
    from emoprune.pruning.methods import MASKING

    if as_json and form not in (None, "json"):
        raise UsageFault(f"--json and --format {form} name two formats", "give one of them")
    checkpoint = checkpoints.read(model)
    if data is not None and data != training_data.NO_DATA:
        with at(files.shown(model)):
            checkpoint = training_data.remeasured(checkpoint, data, limit=limit)
    else:
        training_data.note_stale_statistics(checkpoint, masking=MASKING)
    records = []
    for found in training_data.matching_layers(checkpoint, layer, place=files.shown(model)):
        surveyed = survey(
            checkpoint.statistics[found.name],
            center=center,
            activation=found.activation,
            below_deg=below,
            above_deg=above,
            everything=everything,
        )
        records.append({"schema": SCHEMA, "model": model, "layer": found.name} | dataclasses.asdict(surveyed))
    form = "json" if as_json else form
    if form == "csv":
        output.write(tables.to_csv(_all_pairs(records)))
    elif form == "table":
        output.show(_tables(records))
    else:
        output.emit(records, lambda: _tables(records), as_json=form == "json")


def _tables(records: list[dict[str, Any]]) -> Iterable[Table | str]:
    keys = ("units", "center", "similar", "complementary", "insignificant", "smallest_deg", "largest_deg")
    yield tables.table(
        "Angles between the units of a layer, in degrees",
        ["layer", "units", "center", "similar", "compl.", "insign.", "least", "most"],
        ([record["layer"], *(_short(record[key]) for key in keys)] for record in records),
    )
    count = sum(len(record["pairs"]) for record in records)
    if len(records) > 1 and count:
        yield f"  {events.counted(count, 'pair')}: --layer NAME shows those of a layer, --format csv all"
    elif count:
        yield from _pairs(*records)


def _short(value: object) -> object:
    """Angles to a thousandth of a degree, so that a table of long names fits."""
    return round(value, 3) if isinstance(value, float) else value


def _pairs(record: dict[str, Any]) -> Iterable[Table | str]:
    pairs = record["pairs"]
    yield tables.table(
        f"Pairs of {record['layer']}: {len(pairs):,}",
        ["unit i", "unit j", "angle (degrees)"],
        (list(pair.values()) for pair in pairs[:SHOWN_PAIRS]),
        left=0,
    )
    if len(pairs) > SHOWN_PAIRS:
        yield f"  ... and {len(pairs) - SHOWN_PAIRS:,} more: --format csv prints them all"


def _all_pairs(records: list[dict[str, Any]]) -> Table:
    rows = tuple((record["layer"], *pair.values()) for record in records for pair in record["pairs"])
    return Table("pairs", ("layer", "i", "j", "angle_deg"), rows)
