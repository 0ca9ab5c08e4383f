"""What prune and angles report: predicted errors, a sensitivity sweep, a pruning step by step, angles."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from emoprune import events
from emoprune.choices import Merge
from emoprune.io.number_text import number_text
from emoprune.pruning.methods import METHODS
from emoprune.pruning.types import (
    Change,
    ErrorEstimate,
    PruneOutcome,
    PruningCurve,
    Survey,
    SweptLayer,
)
from emoprune.reporting.aggregate import STEP_KEYS
from emoprune.reporting.tables import WEIGHTS, Table, cell, table

if TYPE_CHECKING:
    from emoprune.networks.graph.types import Obstacle

REASONS = {"similar": "similar", "complementary": "compl.", "insignificant": "insign."}
ERRORS = {"error_sum": "error: sum", "error_lstsq": "lstsq"}
FINEST = 1e-4
"""The smallest error that is written as a number."""
SHOWN_PAIRS = 40


def error_tables(settings: Mapping[str, Any], outcome: PruneOutcome) -> Iterable[Table | str]:
    """What each layer loses and the predicted error of it; then the totals of the network."""
    masks = METHODS[settings["method"]].weights
    layers = layers_table(settings, outcome.layers)
    if layers.rows:
        yield layers
    else:
        yield layers.title
        yield from (f"  {note}" for note in layers.notes)
    yield table("", ["", "before", "after", "change"], _totals(outcome))
    if outcome.answers:
        yield from (f"  {line}" for line in str(outcome.answers).split("; "))
    if not masks:
        yield from _obstacles(outcome.frozen)


def layers_table(settings: Mapping[str, Any], layers: Sequence[ErrorEstimate], of: str = "") -> Table:
    """A row for every layer that loses something; a note counts those that lose nothing."""
    ((name, value),) = settings["amount"].items()
    masks = METHODS[settings["method"]].weights
    merge = "" if masks else f", {settings['merge']}"
    # of single weights, those count whose next layers compute something else or nobody knows what
    losing = [layer for layer in layers if layer.before > layer.after or (masks and layer.error_sum != 0)]
    reasons = [key for key in REASONS if any(getattr(layer, key) for layer in losing)]
    errors = [key for key in ERRORS if any(getattr(layer, key) is not None for layer in losing)]
    headings = [ERRORS[key] for key in errors] if len(errors) > 1 else ["error"] * len(errors)
    rows = (
        [
            *(layer.layer, f"{layer.before:,} > {layer.after:,}"),
            *(getattr(layer, key) for key in reasons),
            *(_error(getattr(layer, key)) for key in errors),
        ]
        for layer in losing
    )
    notes = []
    if whole := len(layers) - len(losing):
        more, lose = "more " if losing else "", "loses" if whole == 1 else "lose"
        notes.append(f"{events.counted(whole, f'{more}layer')} {lose} nothing")
    if settings["refitted_on"] and losing:
        images = events.counted(settings["refitted_on"], "drawn face" if settings["drawn"] else "image")
        notes.append(f"errors are predicted without images; refitted on {images}, the network is better")
    how = f"{settings['method']}, {name.replace('_', ' ')} {value:g}{merge}"
    return table(
        f"Predicted error of {of} ({how})" if of else f"Predicted error ({how})",
        ["layer", "units", *(REASONS[key] for key in reasons), *headings],
        rows,
        notes=tuple(notes),
    )


def _error(error: float | None) -> str:
    if error is not None and 0 < error < FINEST:
        return f"<{FINEST:.4f}"
    return cell(error if error is None else round(error, 4))


def _totals(outcome: PruneOutcome) -> Iterable[tuple[object, ...]]:
    for name in ("units", "parameters", "nonzero_parameters", "macs", "bytes"):
        counts: Change = getattr(outcome, name)
        if name != "nonzero_parameters" or counts != outcome.parameters:
            change = number_text((counts.after or 0) / counts.before - 1, "+.1%") if counts.before else "-"
            yield WEIGHTS if name == "bytes" else name.replace("_", " "), counts.before, counts.after, change
    if outcome.speed is not None:
        speed = outcome.speed
        both = (f"{ms or 0:.4g}" for ms in (speed.latency_ms.before, speed.latency_ms.after))
        threads = events.counted(speed.threads, "thread")
        yield f"latency (ms, {threads})", *both, f"{speed.speedup:.2f} times as fast"
    accuracy, loss = outcome.accuracy, outcome.loss
    if accuracy is None or loss is None or outcome.evaluated_on is None:
        return
    part = outcome.evaluated_on.part
    if accuracy.before is not None and accuracy.after is not None:
        points = f"{number_text(100 * (accuracy.after - accuracy.before), '+.1f')} points"
        yield f"accuracy ({part})", f"{accuracy.before:.1%}", f"{accuracy.after:.1%}", points
    grown = (
        "-"
        if None in (loss.before, loss.after)
        else number_text((loss.after or 0) - (loss.before or 0), "+.4f")
    )
    yield f"loss ({part})", loss.before, loss.after, grown


def _obstacles(frozen: Sequence[Obstacle]) -> Iterable[str]:
    """What no method can remove, and which operations of the network prevent it."""
    if frozen:
        channels = events.counted(sum(obstacle.channels for obstacle in frozen), "channel")
        layers = events.counted(len({obstacle.layer for obstacle in frozen}), "layer")
        operations = ", ".join(sorted({obstacle.operation for obstacle in frozen}))
        yield f"  never removed: {channels} of {layers}, which the network ties"
        yield f"  or rearranges, so that one cannot go without the others ({operations})"


def sensitivity_tables(
    layers: Sequence[SweptLayer],
    amounts: Sequence[float],
    *,
    method: str,
    merge: Merge,
) -> Iterable[Table | str]:
    """Each layer's sensitivity, and its predicted error by the fraction of units that it alone loses."""

    def row(each: SweptLayer) -> Iterable[object]:
        # a fraction that is out of reach has none
        found = (getattr(each.estimates.get(amount), f"error_{merge}", None) for amount in amounts)
        nats = each.sensitivity_nats
        sensitivity = nats if nats is None else f"{nats:.2g}".removeprefix("0")
        return each.layer, each.units, sensitivity, *map(_short, found)

    yield table(
        f"Error at the next layer by fraction of units removed ({method}, {merge})",
        ["layer", "units", "nats", *(f"{amount:g}".lstrip("0") for amount in amounts)],
        map(row, layers),
    )
    if any(each.sensitivity_nats is not None for each in layers):
        yield "  nats: divergence of the answers if a layer's units stood still at their mean"


def _short(error: float | None) -> str:
    """An error in three characters, so that nine fit beside the name of a layer."""
    if error is None or error == 0:
        return cell(error)
    digits = 2 if error < 0.995 else 1 if error < 9.95 else 0
    return f"{error:.{digits}f}".removeprefix("0")


def curve_table(curve: PruningCurve, *, merge: Merge) -> Table:
    """What was measured of one pruning, a row a step."""
    headings = {"units": "units", **{key: measure for measure, key in STEP_KEYS.items()}}
    present = [key for key in headings if any(getattr(step, key) is not None for step in curve.steps)]
    return table(
        f"Step by step ({curve.method}, {merge})",
        [headings[key] for key in present],
        ([_measure(key, getattr(step, key)) for key in present] for step in curve.steps),
        left=0,
    )


def _measure(key: str, value: float | None) -> object:
    return f"{value:.1%}" if key == "accuracy" and value is not None else value


def angle_tables(surveys: Mapping[str, Survey]) -> Iterable[Table | str]:
    """A row for every layer and, of one layer alone, a row for each pair."""
    yield surveys_table(surveys)
    count = sum(len(survey.pairs) for survey in surveys.values())
    if len(surveys) > 1 and count:
        yield f"  {events.counted(count, 'pair')}: `layer=NAME` shows those of a layer, `format=csv` all"
    elif count:
        ((name, survey),) = surveys.items()
        rows = ((pair.i, pair.j, pair.angle_deg) for pair in survey.pairs[:SHOWN_PAIRS])
        yield table(f"Pairs of {name}: {count:,}", ["unit i", "unit j", "angle (degrees)"], rows, left=0)
        if count > SHOWN_PAIRS:
            yield f"  ... and {count - SHOWN_PAIRS:,} more: `format=csv` prints them all"


def surveys_table(surveys: Mapping[str, Survey], of: str = "") -> Table:
    """A row for every layer."""
    keys = ("units", "center", "similar", "complementary", "insignificant", "smallest_deg", "largest_deg")
    return table(
        f"Angles between the units of a layer{f' of {of}' if of else ''}, in degrees",
        ["layer", "units", "center", "similar", "compl.", "insign.", "least", "most"],
        ([name, *(_degrees(getattr(survey, key)) for key in keys)] for name, survey in surveys.items()),
    )


def _degrees(value: object) -> object:
    """Angles to a thousandth of a degree, so that a table of long names fits."""
    return round(value, 3) if isinstance(value, float) else value


def pairs_table(surveys: Mapping[str, Survey]) -> Table:
    """All pairs of all layers, as raw values."""
    rows = (
        (name, pair.i, pair.j, pair.angle_deg) for name, survey in surveys.items() for pair in survey.pairs
    )
    return table("pairs", ("layer", "i", "j", "angle_deg"), rows)
