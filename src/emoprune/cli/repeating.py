"""Command lines that repeat what a report shows, as far as its records say them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from emoprune.cli.output import quoted, spelled
from emoprune.evaluation.types import Metrics
from emoprune.events import counted
from emoprune.reporting.aggregate import FOUND

MOST = 100
"""Evaluations that are listed."""


def of_evaluations(found: Sequence[Metrics]) -> Iterator[str]:
    """A line for each; those of a sweep do not say all that the sweep was asked for."""
    own = [run for run in found if not set(FOUND) & set(run.settings)]
    lines = dict.fromkeys(_eval(run) for run in own)
    yield from [*lines][:MOST]
    if len(lines) > MOST:
        yield f"# and {counted(len(lines) - MOST, 'more evaluation')}"
    if len(found) > len(own):
        yield f"# {counted(len(found) - len(own), 'network')} of a sweep, whose command is not in its lines"


def _eval(run: Metrics) -> str:
    words = ["emoprune", "eval", run.model, run.data, "--split", run.split]
    words += ["--label", run.label] if run.label else []
    words += [word for key, value in run.settings.items() for word in ("--set", f"{key}={value}")]
    return " ".join(map(quoted, words))


def of_report(places: Iterable[str], given: Mapping[str, Any]) -> str:
    """The report itself; `given` are its options by the names of their arguments, None where not given."""
    words = ["emoprune", "report", *places]
    for name, value in given.items():
        for each in value if isinstance(value, list | tuple) else (value,):
            if each is True:
                words.append(spelled(name))
            elif each not in (None, False):
                words += [spelled(name), f"{each:g}" if isinstance(each, float) else each]
    return " ".join(map(quoted, words))
