"""The few sentences that a reader needs first, made from the data of a report."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePath
from statistics import fmean

from emoprune.evaluation.confidence import Estimate, by_key
from emoprune.evaluation.types import KNOWN, MARGIN, Metrics
from emoprune.events import counted, listed
from emoprune.io.visible_text import isolated
from emoprune.reporting import aggregate, curve_tables
from emoprune.reporting.aggregate import STEP_KEYS
from emoprune.reporting.model_tables import comparable
from emoprune.reporting.pruning_tables import FORMATS
from emoprune.reporting.tables import PERCENT
from emoprune.reporting.types import Runs
from emoprune.reporting.verdict_tables import Verdict, Verdicts

MOST = 3
"""Sentences."""
ALIKE = 1.05
"""Costs whose ratio is smaller are alike: methods do not meet a budget to the unit."""
NAMED = 3
"""Runs that one sentence names."""
COSTS: dict[str, Callable[[Metrics], float]] = {
    "MACs": lambda run: run.macs,
    "parameters": lambda run: run.parameters,
    "non-zero parameters": lambda run: run.nonzero_parameters,
}
"""What networks cost: the first that differs among them counts."""
PARTS: tuple[curve_tables.LearningPart, ...] = ("val", "train")
"""The parts of a training, the more telling first."""


@dataclass(frozen=True)
class Headline:
    """A sentence with its names isolated; one that `warns` says what flatters the numbers."""

    text: str
    warns: bool = False


@dataclass(frozen=True)
class Network:
    """The runs of one network, most often one, or several seeds."""

    name: str
    runs: tuple[Metrics, ...]

    @cached_property
    def measured(self) -> Estimate:
        """The accuracy with its interval, of several runs their mean."""
        return aggregate.accuracy(self.runs)

    @property
    def accuracy(self) -> float:
        """Its mean over the runs."""
        return self.measured.mean

    @property
    def majority(self) -> float:
        """The accuracy of always answering the most frequent class."""
        return max(run.majority or 0 for run in self.runs)

    def cost(self, measure: str) -> float:
        """Its mean over the runs."""
        return fmean(map(COSTS[measure], self.runs))


def headlines(runs: Runs, verdicts: Verdicts) -> tuple[Headline, ...]:
    """At most three sentences: what pruning costs, which network to take, what flatters the numbers."""
    said = [Headline(text) for text in _said(runs, verdicts)]
    warnings = [Headline(text, warns=True) for text in _warnings(_networks(runs.evaluations))]
    return (*said[: MOST - min(1, len(warnings))], *warnings)[:MOST]


def _said(runs: Runs, verdicts: Verdicts) -> Iterator[str]:
    if verdicts.found:
        yield _verdicts(verdicts)
    networks = _networks(runs.evaluations)
    if networks and comparable(runs.evaluations):
        yield from _of_networks(networks, tested=bool(verdicts.found))
    elif not networks and verdicts.listed and not verdicts.found:
        best = max(verdicts.listed, key=lambda each: each.accuracy)
        right = f"{PERCENT.text(best.accuracy)} of {counted(best.images, 'image')}"
        among = f", the most of {len(verdicts.listed):,} runs" if len(verdicts.listed) > 1 else ""
        yield f"{isolated(best.run)} has {right} right{among}; {NOT_TESTED}."
    yield from _of_steps(runs)
    yield from _of_curves(runs)


NOT_TESTED = "whether a difference is chance was not tested (give predictions and a baseline)"


def _verdicts(view: Verdicts) -> str:
    """The verdict on each run, or of many the runs of each verdict."""
    against = f"Against {isolated(view.baseline or '')}"
    if len(view.found) <= NAMED:
        return f"{against}, {'; '.join(_verdict(view, verdict) for verdict in view.found)}."
    from emoprune.evaluation.significance.sentences import kind

    margin = view.margin_points
    kinds = by_key((kind(each.comparison.accuracy, margin_points=margin), each.run) for each in view.found)
    return f"{against}, {'; '.join(f'{said}: {_listed(names)}' for said, names in kinds.items())}."


def _verdict(view: Verdicts, verdict: Verdict) -> str:
    from emoprune.evaluation.significance import sentences

    change, margin = verdict.comparison.accuracy, view.margin_points
    said = sentences.verdict(change, margin_points=margin)
    name = isolated(verdict.run)
    if why := sentences.why_none(change, margin_points=margin):
        return f"there is {sentences.kind(change, margin_points=margin)} for {name} ({why})"
    said = f"{name} is {said}"
    paid = verdict.comparison.payers
    return f"{said}, with lower recall of {_listed(paid)}" if paid else said


def _networks(found: Sequence[Metrics]) -> list[Network]:
    return [
        Network(each.runs[0].label or PurePath(each.label).name, each.runs)
        for each in aggregate.networks(found)
    ]


def _of_networks(networks: Sequence[Network], *, tested: bool) -> Iterator[str]:
    """What the smallest network costs against the first, and which is the smallest that costs little."""
    first, *others = networks
    measure = next((name for name in COSTS if len({each.cost(name) for each in networks}) > 1), None)
    smaller = [each for each in others if measure and each.cost(measure) < first.cost(measure)]
    if measure is None or not smaller:
        yield from _of_equals(networks)
        return

    def at(each: Network) -> str:
        return f"{_fraction(each.cost(measure) / first.cost(measure))} of the {measure}"

    smallest = _smallest(smaller, measure)
    text = f"At {at(smallest)}, {isolated(smallest.name)} has {_right(smallest)} of the images right"
    yield f"{text}, {isolated(first.name)} {_right(first)}{f'; {NOT_TESTED}' * (not tested)}."
    if len(smaller) == 1:
        return
    within = [each for each in smaller if each.accuracy >= first.accuracy - MARGIN / 100]
    if not within:
        best = max(smaller, key=lambda each: each.accuracy)
        nearest = f"the nearest is {isolated(best.name)} at {at(best)}, with {_right(best)}"
        yield f"No smaller network is within {MARGIN:g} point of {isolated(first.name)}; {nearest}."
        return
    best = _smallest(within, measure)
    text = f"The smallest within {MARGIN:g} point of {isolated(first.name)} is {isolated(best.name)}"
    yield f"{text} at {at(best)}, with {_right(best)}."


def _smallest(networks: Sequence[Network], measure: str) -> Network:
    """The most accurate of those that cost about as little as the cheapest."""
    least = min(each.cost(measure) for each in networks)
    alike = [each for each in networks if each.cost(measure) <= ALIKE * least]
    return max(alike, key=lambda each: (each.accuracy, -each.cost(measure)))


def _of_equals(networks: Sequence[Network]) -> Iterator[str]:
    """The first network alone, or the most accurate of those of which none is smaller than the first."""
    best = max(networks, key=lambda each: each.accuracy)
    runs, many = best.runs, len(networks) > 1
    among = f", the most of {len(networks):,} networks" if many else ""
    of_mean = f" of the mean of {len(runs):,} runs" * (len(runs) > 1)
    interval = f"95% interval{of_mean} {PERCENT.interval(best.measured.low, best.measured.high)}"
    images = counted(runs[0].n, "image")
    yield f"{isolated(best.name)} has {_right(best)} of {images} right ({interval}){among}."


def _right(network: Network) -> str:
    return PERCENT.text(network.accuracy)


def _fraction(value: float) -> str:
    """A part of a whole in percent, of two digits."""
    return f"{100 * value:.0f}%" if value >= 0.0995 else f"{100 * value:.2g}%"


def _warnings(networks: Sequence[Network]) -> Iterator[str]:
    """What flatters the numbers, the worst first."""
    chance = [each for each in networks if (each.measured.low or 0) <= each.majority]
    if chance:
        usual = PERCENT.text(max(each.majority for each in chance))
        better = f"better than always answering the most frequent class ({usual})"
        if len(chance) == len(networks) > 1:
            yield f"No network is shown to be {better}."
        else:
            yield f"Not shown to be {better}: {_listed(each.name for each in chance)}."
    runs = [run for each in networks for run in each.runs]
    seen = max((run.seen or 0 for run in runs if run.split not in KNOWN), default=0)
    if seen:
        yield f"Up to {counted(seen, 'image')} measured here were trained on, so that accuracy is flattered."
    looks = max((run.test_looks or 0 for run in runs), default=0)
    if looks:
        times = counted(looks, "time")
        chosen = "what was chosen by it looks better than it is"
        yield f"The test part was looked at before, up to {times}: {chosen}."
    elif len(networks) > 2 and comparable(runs):
        yield (
            f"{len(networks):,} networks were compared on the same part ({runs[0].split}): the best of them "
            "looks better than it is, until it is measured on images that chose nothing."
        )


def _listed(found: Iterable[str]) -> str:
    return listed(dict.fromkeys(map(isolated, found)), NAMED)


def _of_steps(runs: Runs) -> Iterator[str]:
    """How far each label was pruned, and what of it was measured first and last."""
    by_label = by_key((group.label, group) for group in aggregate.by_units(runs.prunings))
    for label, groups in [*by_label.items()][:MOST]:
        measured = next((name for name in STEP_KEYS if groups[0].measured(name)), None)
        first, last = groups[0], groups[-1]
        ends = [each.measured(measured) for each in (first, last)] if measured else [None]
        text = f"{isolated(label)} was pruned from {counted(first.units, 'unit')} to {last.units:,}"
        if measured and None not in ends:
            texts = [FORMATS[measured].text(each.mean) for each in ends if each]
            text += f", and its {measured} went from {texts[0]} to {texts[-1]}"
        yield f"{text}."


def _of_curves(runs: Runs) -> Iterator[str]:
    """How the training that ended best has ended."""
    for part in PARTS:
        ends = {
            group.label: found.mean
            for group in aggregate.by_label(runs.curves)
            if (found := curve_tables.accuracy(group, part, "last"))
        }
        if ends:
            best = max(ends, key=lambda label: ends[label])
            among = f", the most of {len(ends):,} trainings" if len(ends) > 1 else ""
            right = f"{PERCENT.text(ends[best])} of the {part} part right"
            yield f"{isolated(best)} ends its training with {right}{among}."
            return
