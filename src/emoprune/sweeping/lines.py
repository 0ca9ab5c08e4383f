"""The file of a sweep: a line of metrics for each network, from which an interrupted sweep goes on."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from emoprune import events
from emoprune.errors import BadMetrics, InvalidRecord, OutputFault, UsageFault, at
from emoprune.evaluation.types import Metrics
from emoprune.io import files, json_records
from emoprune.reporting import records_io

SCHEMA = "emoprune.sweep/1"
WHOLE = "whole"
"""The name of the line of the network before pruning, which is the first."""
KEY = "sweep"
LARGEST = 2**28
"""Bytes of the file."""
NOT_A_SWEEP = "not a line of a sweep"
NAME_ANOTHER = "name another `output`, or give `force=True` to replace it"


@dataclass(frozen=True)
class Mark:
    """What a line of metrics says of its sweep (schema emoprune.sweep/1): the `name` of its combination.

    That of the whole network says also what the sweep is `of`, and which combinations were `unmet`, with the
    reason.
    """

    name: str
    schema: str = SCHEMA
    of: Mapping[str, str] = field(default_factory=dict)
    unmet: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.schema != SCHEMA:
            raise InvalidRecord(NOT_A_SWEEP, "name another `output`")


@dataclass(frozen=True)
class _Line:
    """A line, without the metrics that it also has."""

    sweep: Mark


@dataclass
class Lines:
    """The metrics of a sweep by the name of their combination, and the reasons of those that were unmet.

    They are of the sweep that `of` says. Each change is written to the file `path`, where there is one.
    """

    path: str | None
    of: Mapping[str, str]
    metrics: dict[str, Metrics] = field(default_factory=dict)
    unmet: dict[str, str] = field(default_factory=dict)

    def add(self, metrics: Mapping[str, Metrics], unmet: Mapping[str, str]) -> None:
        """Keep what became of combinations; raises OutputFault where the file cannot be written."""
        self.metrics |= metrics
        self.unmet |= unmet
        if self.path is not None:
            # whole, not appended: an interruption leaves no half line
            text = "".join(f"{json.dumps(record, allow_nan=False)}\n" for record in self._records())
            files.write_bytes(self.path, text.encode(), force=True)

    def _records(self) -> list[dict[str, Any]]:
        first = {WHOLE: Mark(WHOLE, of=self.of, unmet=self.unmet)}
        marks = {name: Mark(name) for name in self.metrics} | first
        return [
            {**records_io.to_record(found), KEY: asdict(marks[name])} for name, found in self.metrics.items()
        ]


def check(path: str, *, resume: bool, force: bool) -> None:
    """Raise OutputFault for a file that could not be written, or that would be lost."""
    if path == files.STANDARD or (os.path.lexists(path) and not os.path.isfile(path)):
        raise OutputFault("is not a file that a sweep can come back to", "name a file", place=path)
    if os.path.isfile(path) and not (resume or force):
        remedy = "give `resume=True` to go on with it, or `force=True` to replace it"
        raise OutputFault("exists already", remedy, place=path)
    files.check_output(path, force=True)


def read(path: str, of: Mapping[str, str], *, model: str, data: str) -> Lines:
    """The lines of an interrupted sweep; none where there is no file.

    A last line that was cut short is dropped, with a note. Raises BadMetrics for a file of something else,
    and UsageFault for a sweep of another `model`, other `data` or other settings.
    """
    if not os.path.exists(path):
        events.note(f"{path}: not there, so that the sweep begins")
        return Lines(path, of)
    found = Lines(path, of)
    texts = [text for text in files.read_bytes(path, most=LARGEST).splitlines() if text.strip()]
    for number, text in enumerate(texts, 1):
        with at(f"{path}, line {number}"):
            value = _value(text)
            if value is None and number == len(texts) > 1:
                events.note(f"{path}: its last line was cut short, and is dropped")
                break
            metrics, mark = _decoded(value)
            if (mark.name == WHOLE) != (number == 1):
                raise BadMetrics("the lines of a sweep begin with its whole network", NAME_ANOTHER)
            if number == 1:
                with at(path):
                    _check_same(mark.of, of, metrics, model=model, data=data)
                found.unmet |= mark.unmet
            found.metrics[mark.name] = metrics
    events.note(f"{path}: goes on from {events.counted(len(found.metrics), 'line')}")
    return found


def _value(text: bytes) -> object:
    """A JSON value; None for a text that is none."""
    try:
        return json_records.loads(text.decode())
    except (ValueError, RecursionError):
        return None


def _decoded(value: object) -> tuple[Metrics, Mark]:
    if not isinstance(value, dict) or KEY not in value or value.get("schema") != records_io.SCHEMA:
        raise BadMetrics(NOT_A_SWEEP, NAME_ANOTHER)
    return json_records.decode(Metrics, value), json_records.decode(_Line, value).sweep


def _check_same(
    theirs: Mapping[str, str], ours: Mapping[str, str], whole: Metrics, *, model: str, data: str
) -> None:
    """Raise UsageFault where a file is of another sweep."""
    names = {"model": (whole.model, model), "data": (whole.data, data)}
    for key, value in ours.items():
        other = theirs.get(key, "nothing")
        if other == value:
            continue
        if key in names:
            before, now = names[key]
            rest = ", which has changed since" if before == now else f", not of {now}"
            fact = f"is a sweep of {before}{rest}"
        elif key == "version":
            fact = f"is a sweep of emoprune {other}, not {value}"
        else:
            fact = f"is a sweep with `{key}={other}`, not {value}"
        raise UsageFault(fact, NAME_ANOTHER)
