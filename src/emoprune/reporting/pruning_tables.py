"""Steps of prunings as tables, flat rows and records; the predicted errors of a pruning as tables."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any

from emoprune import events
from emoprune.choices import StepMeasure
from emoprune.pruning.methods import METHODS
from emoprune.pruning.types import PruningCurve
from emoprune.reporting import aggregate
from emoprune.reporting.aggregate import STEP_KEYS, StepGroup, View
from emoprune.reporting.tables import (
    DECIMALS,
    PERCENT,
    Format,
    Table,
    as_record,
    cell,
    flat_estimate,
    flat_printed,
    from_rows,
    table,
)
from emoprune.reporting.types import PaperValue

FORMATS: dict[StepMeasure, Format] = {
    "loss": DECIMALS,
    "accuracy": PERCENT,
    "smallest angle": Format(".2f", suffix="°"),
    "least importance": Format(".3g"),
}


@dataclass(frozen=True)
class Steps(View[StepGroup]):
    """Groups of steps; not `by_label`, each is of one of the `prunings`."""

    prunings: Sequence[PruningCurve] = ()

    @cached_property
    def measures(self) -> list[StepMeasure]:
        """What some run measured or the paper prints."""
        return [
            measure
            for measure in STEP_KEYS
            if self.has(measure) or any(group.measured(measure) for group in self.groups)
        ]


def one_by_one(prunings: Sequence[PruningCurve]) -> Steps:
    """The steps of every pruning by itself."""
    groups = [
        replace(step, label=group.label)
        for group in aggregate.one_by_one(prunings)
        for step in aggregate.by_units(group.runs)
    ]
    return Steps(groups, by_label=False, prunings=prunings)


def gathered(found: Sequence[StepGroup], printed: Sequence[PaperValue] = ()) -> Steps:
    """Steps over the runs of each label, beside what a paper prints."""
    return Steps(aggregate.with_paper(found, printed), printed)


def steps_table(view: Steps) -> Table:
    """One row per group; of several runs means and half the widths of their 95% intervals."""
    columns = ["label", "units", *(["runs"] if view.by_label else [])]
    for measure in view.measures:
        columns += [measure, *(["paper"] if view.has(measure) else [])]
    columns += ["where"] if _has_places(view) else []
    title = "Steps by label (± 95% interval over runs)" if view.by_label else "Step by step"
    return table(title, columns, (_cells(view, group) for group in view.groups))


def _cells(view: Steps, group: StepGroup) -> Iterator[object]:
    yield group.label
    yield group.units
    if view.by_label:
        yield len(group.runs) or None
    for measure in view.measures:
        yield FORMATS[measure].estimate(group.measured(measure))
        if view.has(measure):
            entry = view.paper(group, measure)
            yield FORMATS[measure].text(entry.value) if entry else None
    if _has_places(view):
        found = [view.paper(group, measure) for measure in view.measures]
        yield ", ".join(dict.fromkeys(entry.where for entry in found if entry and entry.where)) or None


def _has_places(view: Steps) -> bool:
    return any(entry.where for entry in view.printed)


def flat(view: Steps) -> Table:
    """Raw values: by label one row per group, else one row per step as it was measured."""
    rows = _group_rows(view) if view.by_label else _step_rows(view)
    return from_rows("steps", rows)


def _group_rows(view: Steps) -> list[dict[str, Any]]:
    rows = []
    for group in view.groups:
        row: dict[str, Any] = {"label": group.label, "units": group.units, "runs": len(group.runs)}
        for measure in view.measures:
            key = STEP_KEYS[measure]
            row |= flat_estimate(key, group.measured(measure))
            if view.has(measure):
                row |= flat_printed(key, view.paper(group, measure))
        rows.append(row)
    return rows


def _step_rows(view: Steps) -> list[dict[str, Any]]:
    """Every step under what it is of; `pruning` counts the prunings from 1."""
    every = [step for pruning in view.prunings for step in pruning.steps]
    keys = [key for key in STEP_KEYS.values() if any(getattr(step, key) is not None for step in every)]
    return [
        {
            **{"pruning": number, "model": pruning.model, "method": pruning.method, "label": pruning.label},
            **{key: getattr(step, key) for key in ("units", *keys)},
        }
        for number, pruning in enumerate(view.prunings, start=1)
        for step in pruning.steps
    ]


def to_records(view: Steps) -> list[dict[str, Any]]:
    """One JSON object per group with means, intervals and the paper's numbers; else one per pruning."""
    if not view.by_label:
        return [asdict(pruning) for pruning in view.prunings]
    return [_record(view, group) for group in view.groups]


def _record(view: Steps, group: StepGroup) -> dict[str, Any]:
    printed = [entry for measure in STEP_KEYS if (entry := view.paper(group, measure))]
    return {
        **{"label": group.label, "units": group.units, "runs": len(group.runs)},
        **{key: as_record(group.measured(measure)) for measure, key in STEP_KEYS.items()},
        "paper": [{key: getattr(entry, key) for key in ("measure", "value", "where")} for entry in printed],
    }


REASONS = {"similar": "similar", "complementary": "compl.", "insignificant": "insign."}
ERRORS = {"error_sum": "error: sum", "error_lstsq": "lstsq"}
FINEST = 1e-4
"""The least error that is written as a number, with as many decimals as the others."""


def error_tables(summary: Mapping[str, Any]) -> Iterable[Table | str]:
    """The predicted error of every layer and the change of the whole network, from a summary of prune."""
    yield from _layers(summary)
    yield table("", ["", "before", "after", "change"], _totals(summary))
    if not METHODS[summary["method"]].weights:
        yield from _obstacles(summary["frozen"])


def _layers(summary: Mapping[str, Any]) -> Iterable[Table | str]:
    """What every layer loses; all that lose nothing in one line."""
    ((name, value),) = summary["amount"].items()
    masks = METHODS[summary["method"]].weights
    made = (summary["method"], f"{name.replace('_', ' ')} {value:g}", *([] if masks else [summary["merge"]]))
    losing = [entry for entry in summary["layers"] if _loses(entry, masks=masks)]
    whole = len(summary["layers"]) - len(losing)
    reasons = {key: text for key, text in REASONS.items() if any(entry[key] for entry in losing)}
    errors = {key: text for key, text in ERRORS.items() if any(entry[key] is not None for entry in losing)}
    if len(errors) == 1:
        errors = dict.fromkeys(errors, "error")
    title = f"Predicted error ({', '.join(made)})"
    yield (
        table(
            title,
            ["layer", "units", *reasons.values(), *errors.values()],
            (
                [
                    entry["layer"],
                    f"{entry['before']:,} > {entry['after']:,}",
                    *(entry[key] for key in reasons),
                    *(_error(entry[key]) for key in errors),
                ]
                for entry in losing
            ),
        )
        if losing
        else title
    )
    if whole:
        more = "more " if losing else ""
        layers, lose = ("layer", "loses") if whole == 1 else ("layers", "lose")
        yield f"  {whole:,} {more}{layers} {lose} nothing"
    if summary["resolved_on"] and losing:
        images = events.counted(summary["resolved_on"], "image")
        yield f"  predicted without images; with weights refit on {images}, errors are smaller"


def _loses(entry: Mapping[str, Any], *, masks: bool) -> bool:
    """Whether the layer loses units or, of single weights, changes its consumers or may do so."""
    return entry["before"] > entry["after"] or (masks and entry["error_sum"] != 0)


def _error(error: float | None) -> str:
    if error is not None and 0 < error < FINEST:
        return f"<{FINEST:.4f}"
    return cell(error if error is None else round(error, 4))


def _totals(summary: Mapping[str, Any]) -> Iterable[tuple[object, ...]]:
    for name in ("units", "parameters", "nonzero_parameters", "macs", "bytes"):
        counts = summary[name]
        if name != "nonzero_parameters" or counts != summary["parameters"]:
            yield name.replace("_", " "), counts["before"], counts["after"], _change(counts)
    if "accuracy" in summary:
        part, accuracy, loss = summary["judged_on"]["part"], summary["accuracy"], summary["loss"]
        before, after = accuracy["before"], accuracy["after"]
        if before is not None:
            yield (
                f"accuracy ({part})",
                f"{before:.1%}",
                f"{after:.1%}",
                f"{100 * (after - before):+.1f} points",
            )
        change = "-" if None in loss.values() else f"{loss['after'] - loss['before']:+.4f}"
        yield f"loss ({part})", loss["before"], loss["after"], change


def _change(counts: Mapping[str, int]) -> str:
    return f"{counts['after'] / counts['before'] - 1:+.1%}" if counts["before"] else "-"


def _obstacles(frozen: list[dict[str, Any]]) -> Iterable[str]:
    """The channels that no method removes, and the operations that prevent it."""
    if frozen:
        channels = events.counted(sum(obstacle["channels"] for obstacle in frozen), "channel")
        layers = events.counted(len({obstacle["layer"] for obstacle in frozen}), "layer")
        operations = ", ".join(sorted({obstacle["operation"] for obstacle in frozen}))
        yield f"  never removed: {channels} of {layers}, which the network ties"
        yield f"  or rearranges, so that none can be removed without the others ({operations})"
