"""Evaluations, learning curves and steps of prunings as JSON lines."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable
from typing import Any

from emoprune.errors import BadMetrics, at
from emoprune.evaluation.types import Metrics
from emoprune.io import files
from emoprune.io.json_records import decode, decoder
from emoprune.pruning.types import STEPS_SCHEMA, PruningCurve
from emoprune.reporting.types import Run, Runs
from emoprune.training.types import TRAINING_SCHEMA, LearningCurve

SCHEMA = "emoprune.metrics/1"
KINDS: dict[str, type[Run]] = {SCHEMA: Metrics, TRAINING_SCHEMA: LearningCurve, STEPS_SCHEMA: PruningCurve}
INK = re.compile(r"\S")
HOW = "give what emoprune eval, prune `steps=True` or train `curve` made"


def to_record(metrics: Metrics) -> dict[str, Any]:
    """The metrics as a JSON object with its schema first."""
    return {"schema": SCHEMA, **dataclasses.asdict(metrics)}


def read(places: Iterable[str]) -> Runs:
    """The records of all files, "-" for standard input, in order."""
    found = Runs()
    for place in places:
        text = files.read_bytes(place).decode("utf-8", "replace")
        found += parse(text, place=files.shown(place))
    return found


def parse(text: str, *, place: str) -> Runs:
    """Every object of a text, of any KINDS: one per line, or one after the other over several lines.

    Raises BadMetrics with the line where a value is not JSON or of an unknown schema.
    """
    decodes = decoder()
    found = []
    position, counted, line = 0, 0, 1
    while begins := INK.search(text, position):
        line, counted = line + text.count("\n", counted, begins.start()), begins.start()
        with at(f"{place}, line {line}"):
            try:
                record, position = decodes.raw_decode(text, counted)
            except (ValueError, RecursionError):
                # ValueError also for a number of thousands of digits
                raise BadMetrics("not JSON", HOW) from None
            found.append(_decoded(record))
    if not found:
        raise BadMetrics("no metrics", HOW, place=place)
    return Runs(
        tuple(entry for entry in found if isinstance(entry, Metrics)),
        tuple(entry for entry in found if isinstance(entry, LearningCurve)),
        tuple(entry for entry in found if isinstance(entry, PruningCurve)),
    )


def _decoded(record: object) -> Run:
    schema = record.get("schema") if isinstance(record, dict) else None
    if not isinstance(schema, str) or schema not in KINDS:
        *others, last = KINDS
        raise BadMetrics(f"schema {schema!r}, not {', '.join(others)} or {last}", HOW)
    return decode(KINDS[schema], record)
