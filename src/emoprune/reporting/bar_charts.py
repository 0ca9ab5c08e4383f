"""Bar charts from records: accuracy before and after pruning."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from emoprune.evaluation.confidence import FRACTION, estimate
from emoprune.evaluation.types import Metrics
from emoprune.reporting.aggregate import IDENTITY, label_with, varying
from emoprune.reporting.types import BarChart, Runs

PRUNED = "pruned"
BEFORE, AFTER = "before", "after"

Place = tuple[str, tuple[object, ...]]
"""The name under a group of bars, and its settings that vary before pruning."""


def before_after(runs: Runs) -> list[BarChart]:
    """Accuracy before and after pruning, where labels or settings say which is which.

    A label ends in `, before` or `, after`, or the setting `pruned` is 0 or more; several amounts are several
    bars. Where `pruned` is 0 in one label only, that label is the baseline of all the others. Bars are
    grouped by label and by the settings that vary before pruning.
    """
    placed = list(_placed(runs.evaluations))
    unpruned = [run for run, _, bar, _ in placed if bar == BEFORE]
    keys = varying(unpruned, but=(*IDENTITY, PRUNED))
    groups: dict[Place, dict[str, list[float]]] = {}
    for run, name, bar, _ in placed:
        values = tuple(run.settings.get(key) for key in keys)
        groups.setdefault((name, values), {}).setdefault(bar, []).append(run.accuracy)
    _share_baseline(groups, {name for _, name, _, shared in placed if shared})
    pairs = {place: bars for place, bars in groups.items() if BEFORE in bars and len(bars) > 1}
    if not pairs:
        return []
    found = {bar for bars in pairs.values() for bar in bars}
    amounts = sorted(found - {BEFORE, AFTER}, key=lambda bar: float(bar.removeprefix(PRUNED)))
    series = (BEFORE, *({AFTER} & found), *amounts)
    names = {name: place for place, name in enumerate(dict.fromkeys(name for name, _ in pairs))}
    places = sorted(pairs, key=lambda place: (names[place[0]], *map(_by_size, place[1])))
    single = len(names) == 1
    return [
        BarChart(
            "before-after",
            keys[0] if single and len(keys) == 1 else "",
            "accuracy",
            tuple(_category(name, keys, values, single=single) for name, values in places),
            series,
            tuple(
                tuple(
                    estimate(pairs[place][bar], limits=FRACTION) if bar in pairs[place] else None
                    for place in places
                )
                for bar in series
            ),
        )
    ]


def _placed(found: Iterable[Metrics]) -> Iterator[tuple[Metrics, str, str, bool]]:
    """Runs, each with the name under its bars and which of the bars it belongs to.

    Last, whether a run before pruning may be the baseline of other names too.
    """
    for run in found:
        said = re.fullmatch(rf"(.+), ({BEFORE}|{AFTER})", run.name, re.DOTALL)
        amount = run.number(PRUNED)
        if said:
            yield run, said[1], said[2], False
        elif amount is not None:
            yield run, run.name, f"{PRUNED} {amount:g}" if amount else BEFORE, True


def _share_baseline(groups: Mapping[Place, dict[str, list[float]]], shared: set[str]) -> None:
    """Give the bars of the only name that is never pruned to those without a bar before pruning."""
    pruned = {name for (name, _), bars in groups.items() if set(bars) != {BEFORE}}
    unpruned = shared - pruned
    if len(unpruned) != 1:
        return
    (baseline,) = unpruned
    for (name, values), bars in groups.items():
        if name in pruned & shared and BEFORE not in bars and (baseline, values) in groups:
            bars[BEFORE] = groups[baseline, values][BEFORE]


def _by_size(value: object) -> tuple[int, float]:
    """Sorts numbers by size, before texts, which stay in order of appearance."""
    return (0, value) if isinstance(value, int | float) else (1, 0)


def _category(name: str, keys: Sequence[str], values: Sequence[object], *, single: bool) -> str:
    if single and len(keys) == 1:
        return str(values[0])
    made = {key: value for key, value in zip(keys, values, strict=True) if value is not None}
    return label_with("" if single and made else name, made)
