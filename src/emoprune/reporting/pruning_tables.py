"""The steps of prunings as a sheet of text, as flat rows and as records, with a paper's numbers beside."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any

from emoprune import events
from emoprune.choices import StepMeasure
from emoprune.pruning.methods import METHODS
from emoprune.pruning.types import PruningCurve
from emoprune.reporting.steps import KEYS, StepGroup, by_units, with_printed
from emoprune.reporting.tables import (
    DECIMALS,
    SHARE,
    Table,
    Unit,
    bounds,
    cell,
    flat_printed,
    from_rows,
    table,
    told_apart,
)
from emoprune.reporting.types import Printed

UNITS: dict[StepMeasure, Unit] = {
    "loss": DECIMALS,
    "accuracy": SHARE,
    "smallest angle": Unit(".2f", sign="°"),
    "least importance": Unit(".3g"),
}


@dataclass(frozen=True)
class Steps:
    """Stages in order, and what a paper prints of them; not `together`, each group is of one pruning."""

    groups: Sequence[StepGroup]
    printed: Sequence[Printed] = ()
    together: bool = True

    @cached_property
    def _by_key(self) -> dict[tuple[tuple[str, int] | None, str], Printed]:
        return {(entry.step, entry.measure): entry for entry in self.printed}

    def paper(self, group: StepGroup, measure: StepMeasure) -> Printed | None:
        """What the paper prints, if it does."""
        return self._by_key.get(((group.label, group.units), measure))

    def has(self, measure: StepMeasure) -> bool:
        """Whether the paper prints the measure of any group."""
        return any(entry.measure == measure for entry in self.printed)

    @cached_property
    def measures(self) -> list[StepMeasure]:
        """What some run measured or the paper prints."""
        return [measure for measure in KEYS if self.has(measure) or any(s.mean(measure) for s in self.groups)]


def gathered(found: Sequence[StepGroup], printed: Sequence[Printed] = ()) -> Steps:
    """Stages over the runs of each label, beside what a paper prints."""
    return Steps(with_printed(found, printed), printed)


def one_by_one(prunings: Sequence[PruningCurve]) -> Steps:
    """The groups of every pruning for itself."""
    names = told_apart(pruning.name for pruning in prunings)
    return Steps(
        [
            replace(group, label=name)
            for pruning, name in zip(prunings, names, strict=True)
            for group in by_units([pruning])
        ],
        together=False,
    )


def sheet(view: Steps) -> Table:
    """One row per group; of several runs means, with how far their 95% intervals reach either side."""
    columns = ["label", "units", *(["runs"] if view.together else [])]
    for measure in view.measures:
        columns += [measure, *(["paper"] if view.has(measure) else [])]
    columns += ["where"] if _has_places(view) else []
    title = "Steps by label (± 95% interval over runs)" if view.together else "Step by step"
    return Table(title, tuple(columns), tuple(tuple(_cells(view, group)) for group in view.groups))


def _cells(view: Steps, group: StepGroup) -> Iterator[object]:
    yield group.label
    yield group.units
    if view.together:
        yield len(group.steps) or None
    for measure in view.measures:
        yield UNITS[measure].estimate(group.mean(measure))
        if view.has(measure):
            entry = view.paper(group, measure)
            yield UNITS[measure].text(entry.value) if entry else None
    if _has_places(view):
        found = [view.paper(group, measure) for measure in view.measures]
        yield ", ".join(dict.fromkeys(entry.where for entry in found if entry and entry.where)) or None


def _has_places(view: Steps) -> bool:
    return any(entry.where for entry in view.printed)


def flat(view: Steps) -> Table:
    """Means over runs, their intervals and the paper's numbers as raw values, one row per group."""
    rows = []
    for group in view.groups:
        row: dict[str, object] = {"label": group.label, "units": group.units, "runs": len(group.steps)}
        for measure in view.measures:
            found = group.mean(measure)
            row[KEYS[measure]] = found.mean if found else None
            row |= bounds(KEYS[measure], found)
            if view.has(measure):
                row |= flat_printed(KEYS[measure], view.paper(group, measure))
        rows.append(row)
    return from_rows("steps", rows)


def flat_prunings(prunings: Sequence[PruningCurve]) -> Table:
    """Every step as it was measured, under what it is of; `pruning` counts the prunings from 1."""
    present = [
        key
        for key in KEYS.values()
        if any(getattr(step, key) is not None for pruning in prunings for step in pruning.steps)
    ]
    rows = [
        {
            **{"pruning": number, "model": pruning.model, "method": pruning.method, "label": pruning.label},
            **{key: getattr(step, key) for key in ("units", *present)},
        }
        for number, pruning in enumerate(prunings, start=1)
        for step in pruning.steps
    ]
    return from_rows("steps", rows)


def to_records(view: Steps) -> list[dict[str, Any]]:
    """One JSON object per group: means with intervals, and the paper's numbers."""
    return [_record(view, group) for group in view.groups]


def _record(view: Steps, group: StepGroup) -> dict[str, Any]:
    means = {key: group.mean(measure) for measure, key in KEYS.items()}
    printed = [entry for measure in KEYS if (entry := view.paper(group, measure))]
    return {
        **{"label": group.label, "units": group.units, "runs": len(group.steps)},
        **{key: vars(mean) if mean else None for key, mean in means.items()},
        "paper": [{key: getattr(entry, key) for key in ("measure", "value", "where")} for entry in printed],
    }


def prunings_to_records(prunings: Sequence[PruningCurve]) -> list[dict[str, Any]]:
    """One JSON object per pruning with all of its steps."""
    return [asdict(pruning) for pruning in prunings]


REASONS = {"similar": "similar", "complementary": "compl.", "insignificant": "insign."}
ERRORS = {"error_sum": "error: sum", "error_lstsq": "lstsq"}
FINEST = 1e-4
"""The least error that is told as a number, with as many decimals as any."""


def error_tables(summary: Mapping[str, Any]) -> Iterable[Table | str]:
    """The certificate and what it comes to, from the keys of the summary."""
    yield from _layers(summary)
    yield table("", ["", "before", "after", "change"], _totals(summary))
    if not METHODS[summary["method"]].weights:
        yield from _obstacles(summary["frozen"])


def _layers(summary: Mapping[str, Any]) -> Iterable[Table | str]:
    """What every layer loses; those that lose nothing in one line."""
    ((name, value),) = summary["amount"].items()
    masks = METHODS[summary["method"]].weights
    made = (summary["method"], f"{name.replace('_', ' ')} {value:g}", *([] if masks else [summary["merge"]]))
    losing = [entry for entry in summary["layers"] if _loses(entry, masks=masks)]
    whole = len(summary["layers"]) - len(losing)
    reasons = {key: text for key, text in REASONS.items() if any(entry[key] for entry in losing)}
    errors = {key: text for key, text in ERRORS.items() if any(entry[key] is not None for entry in losing)}
    if len(errors) == 1:
        errors = dict.fromkeys(errors, "error")
    title = f"Certificate ({', '.join(made)})"
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
        yield f"  errors are told without images; re-solved on {images}, the network is better"


def _loses(entry: Mapping[str, Any], *, masks: bool) -> bool:
    """Whether units go or, of single weights, what a next layer computes is changed or not known."""
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
    """What no method takes, and what of the network is in the way."""
    if frozen:
        channels = events.counted(sum(obstacle["channels"] for obstacle in frozen), "channel")
        layers = events.counted(len({obstacle["layer"] for obstacle in frozen}), "layer")
        operations = ", ".join(sorted({obstacle["operation"] for obstacle in frozen}))
        yield f"  never taken: {channels} of {layers}, which the network ties"
        yield f"  or rearranges, so that one cannot go without the others ({operations})"
