"""Metrics as JSON lines (schema emoprune.metrics/1)."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

from emoprune.errors import BadMetrics, at
from emoprune.records import Metrics
from emoprune.store.decoding import decode, refuse_constant

SCHEMA = "emoprune.metrics/1"
HOW = "give what emoprune eval printed"


def to_record(metrics: Metrics) -> dict[str, Any]:
    """The metrics as a JSON object with its schema first."""
    return {"schema": SCHEMA, **dataclasses.asdict(metrics)}


def parse(text: str, *, place: str) -> list[Metrics]:
    """Every metrics object of a stream: one per line, or spread over lines, one after the other.

    Raises BadMetrics naming the line where a value is not JSON or not metrics.
    """
    decoder = json.JSONDecoder(parse_constant=refuse_constant)
    found = []
    position = _skip_blank(text, 0)
    while position < len(text):
        line = text.count("\n", 0, position) + 1
        with at(f"{place}, line {line}"):
            try:
                record, position = decoder.raw_decode(text, position)
            except (ValueError, RecursionError):
                # ValueError also stands for a number of thousands of digits
                raise BadMetrics("not JSON", HOW) from None
            found.append(_metrics(record))
        position = _skip_blank(text, position)
    if not found:
        raise BadMetrics("no metrics", HOW, place=place)
    return found


def _metrics(record: object) -> Metrics:
    schema = record.get("schema") if isinstance(record, dict) else None
    if schema != SCHEMA:
        raise BadMetrics(f"schema {schema!r}, not {SCHEMA}", HOW)
    return decode(Metrics, record)


def _skip_blank(text: str, position: int) -> int:
    while position < len(text) and text[position].isspace():
        position += 1
    return position
