"""Bar charts from records: accuracy before and after pruning."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from emoprune.evaluation.types import Metrics
from emoprune.reporting.aggregate import IDENTITY, label_with, varying
from emoprune.reporting.confidence import estimate
from emoprune.reporting.types import BarChart, Runs

PRUNED = "pruned"
BEFORE, AFTER = "before", "after"


@dataclass(frozen=True)
class _Placed:
    """A run, the name under its bars, and which of the bars it belongs to.

    `shared`: before pruning, it may be the baseline of other names too.
    """

    run: Metrics
    name: str
    bar: str
    shared: bool


def before_after(runs: Runs) -> list[BarChart]:
    """Accuracy before and after pruning, where labels or settings say which is which.

    A label ends in `, before` or `, after`, or the setting `pruned` is 0 or more; several amounts are several
    bars. Where `pruned` is 0 in one label only, that label is the baseline of all the others. Bars are
    grouped by label and by the settings that vary before pruning.
    """
    placed = _placed(runs.evaluations)
    unpruned = [entry.run for entry in placed if entry.bar == BEFORE]
    keys = varying(unpruned, but=(*IDENTITY, PRUNED))
    groups: dict[tuple[str, tuple[object, ...]], dict[str, list[float]]] = {}
    for entry in placed:
        values = tuple(entry.run.settings.get(key) for key in keys)
        bars = groups.setdefault((entry.name, values), {})
        bars.setdefault(entry.bar, []).append(entry.run.accuracy)
    _share_baseline(groups, {entry.name for entry in placed if entry.shared})
    pairs = {place: bars for place, bars in groups.items() if BEFORE in bars and len(bars) > 1}
    if not pairs:
        return []
    series = _in_order({bar for bars in pairs.values() for bar in bars})
    places = sorted(pairs, key=lambda place: _rank(place, list(pairs)))
    single = len({name for name, _ in places}) == 1
    return [
        BarChart(
            "before-after",
            keys[0] if single and len(keys) == 1 else "",
            "accuracy",
            tuple(_category(name, keys, values, single=single) for name, values in places),
            tuple(series),
            tuple(
                tuple(estimate(pairs[place][bar]) if bar in pairs[place] else None for place in places)
                for bar in series
            ),
        )
    ]


def _placed(found: Iterable[Metrics]) -> list[_Placed]:
    placed = []
    for run in found:
        said = re.fullmatch(rf"(.+), ({BEFORE}|{AFTER})", run.name, re.DOTALL)
        amount = run.number(PRUNED)
        if said:
            placed.append(_Placed(run, said[1], said[2], shared=False))
        elif amount is not None:
            bar = f"{PRUNED} {amount:g}" if amount else BEFORE
            placed.append(_Placed(run, run.name, bar, shared=True))
    return placed


def _share_baseline(
    groups: Mapping[tuple[str, tuple[object, ...]], dict[str, list[float]]], shared: set[str]
) -> None:
    """Give the bars of the only name that is never pruned to those without a bar before pruning."""
    pruned = {name for (name, _), bars in groups.items() if set(bars) != {BEFORE}}
    unpruned = shared - pruned
    if len(unpruned) != 1:
        return
    (baseline,) = unpruned
    for (name, values), bars in groups.items():
        if name in pruned & shared and BEFORE not in bars and (baseline, values) in groups:
            bars[BEFORE] = groups[baseline, values][BEFORE]


def _in_order(bars: set[str]) -> list[str]:
    amounts = sorted(bars - {BEFORE, AFTER}, key=lambda bar: float(bar.removeprefix(PRUNED)))
    return [BEFORE, *([AFTER] if AFTER in bars else []), *amounts]


def _rank(
    place: tuple[str, tuple[object, ...]], places: Sequence[tuple[str, tuple[object, ...]]]
) -> tuple[object, ...]:
    """Names in order of appearance; within a name numbers by size, then texts in order of appearance."""
    names = list(dict.fromkeys(name for name, _ in places))
    numbers = [(0, value) if isinstance(value, int | float) else (1, 0) for value in place[1]]
    return (names.index(place[0]), *numbers, places.index(place))


def _category(name: str, keys: Sequence[str], values: Sequence[object], *, single: bool) -> str:
    if single and len(keys) == 1:
        return str(values[0])
    made = {key: value for key, value in zip(keys, values, strict=True) if value is not None}
    return label_with("" if single and made else name, made)
