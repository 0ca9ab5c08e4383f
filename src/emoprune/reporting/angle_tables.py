"""What angles reports: each layer at a glance, and its pairs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from emoprune import events
from emoprune.pruning.types import Survey
from emoprune.reporting.tables import Table, table

SHOWN_PAIRS = 40


def angle_tables(surveys: Mapping[str, Survey]) -> Iterable[Table | str]:
    """A row for every layer and, of one layer alone, a row for each pair."""
    keys = ("units", "center", "similar", "complementary", "insignificant", "smallest_deg", "largest_deg")
    yield table(
        "Angles between the units of a layer, in degrees",
        ["layer", "units", "center", "similar", "compl.", "insign.", "least", "most"],
        ([name, *(_short(getattr(survey, key)) for key in keys)] for name, survey in surveys.items()),
    )
    count = sum(len(survey.pairs) for survey in surveys.values())
    if len(surveys) > 1 and count:
        yield f"  {events.counted(count, 'pair')}: --layer NAME shows those of a layer, --format csv all"
    elif count:
        yield from _pairs(*surveys.items())


def _short(value: object) -> object:
    """Angles to a thousandth of a degree, so that a table of long names fits."""
    return round(value, 3) if isinstance(value, float) else value


def _pairs(layer: tuple[str, Survey]) -> Iterable[Table | str]:
    name, survey = layer
    pairs = survey.pairs
    yield table(
        f"Pairs of {name}: {len(pairs):,}",
        ["unit i", "unit j", "angle (degrees)"],
        ((pair.i, pair.j, pair.angle_deg) for pair in pairs[:SHOWN_PAIRS]),
        left=0,
    )
    if len(pairs) > SHOWN_PAIRS:
        yield f"  ... and {len(pairs) - SHOWN_PAIRS:,} more: --format csv prints them all"


def pairs_table(surveys: Mapping[str, Survey]) -> Table:
    """All pairs of all layers, as raw values."""
    rows = (
        (name, pair.i, pair.j, pair.angle_deg) for name, survey in surveys.items() for pair in survey.pairs
    )
    return table("pairs", ("layer", "i", "j", "angle_deg"), rows)
