"""What emoprune says of networks as JSON lines: evaluations, learning curves, prunings, angles."""

from __future__ import annotations

import dataclasses
import json
import re
import reprlib
from collections.abc import Iterator
from typing import Any, TextIO

from emoprune.errors import BadMetrics, at
from emoprune.evaluation.types import Metrics
from emoprune.io.json_records import NotJson, decode, decoder
from emoprune.pruning.types import ANGLES_SCHEMA, PRUNE_SCHEMA, STEPS_SCHEMA, PruningCurve
from emoprune.reporting.types import LayerAngles, PruningSummary, Run
from emoprune.training.types import TRAINING_SCHEMA, LearningCurve

SCHEMA = "emoprune.metrics/1"
KINDS: dict[str, type[Run]] = {
    SCHEMA: Metrics,
    TRAINING_SCHEMA: LearningCurve,
    STEPS_SCHEMA: PruningCurve,
    PRUNE_SCHEMA: PruningSummary,
    ANGLES_SCHEMA: LayerAngles,
}
HOW = "give what emoprune eval, sweep, prune, angles or train `curve` made"

DECODER = decoder()
INK = re.compile(r"\S")
CHUNK, LONGEST = 2**20, 2**25
"""Characters that are read at a time, and those of the longest object."""


DERIVED = ("chance", "majority", "balanced_accuracy", "kappa", "matthews_correlation")
"""What metrics say besides their fields. It is written for other programs, and not read again."""


def to_record(metrics: Metrics) -> dict[str, Any]:
    """The metrics as a JSON object with its schema first."""
    derived = {name: getattr(metrics, name) for name in DERIVED}
    return {"schema": SCHEMA, **dataclasses.asdict(metrics), **derived}


class Foreign(BadMetrics):
    """JSON that is not of KINDS; `ours` where it is another record of emoprune."""

    ours: bool = False


def parse(text: TextIO, *, place: str) -> Iterator[Run | Foreign]:
    """Every object of a text, of any KINDS: one per line, or one after the other over several lines.

    In place of a value of an unknown schema the error that it is. Raises BadMetrics with the line where a
    value is not JSON, too long or damaged.
    """
    line = 0
    for line, value in _values(text, place):
        found: Run | Foreign
        try:
            with at(f"{place}, line {line}"):
                found = _decoded(value)
        except Foreign as error:
            found = error
        yield found
    if not line:
        raise BadMetrics("no metrics", HOW, place=place)


def _values(text: TextIO, place: str) -> Iterator[tuple[int, object]]:
    """The JSON values of a text, each with the number of the line where it begins."""
    rest, line = "", 1
    # twice as much each time, so that an object over many lines is not read again for each of them; and to
    # the end of a line, so that numbers and texts are whole
    while more := text.read(max(CHUNK, len(rest))):
        rest += more + text.readline(LONGEST)
        position, ends = 0, len(rest.rstrip())
        while begins := INK.search(rest, position):
            line, position = line + rest.count("\n", position, begins.start()), begins.start()
            with at(f"{place}, line {line}"):
                value, after = _first(rest, position, ends)
            if after is None:
                break
            yield line, value
            line, position = line + rest.count("\n", position, after), after
        else:
            line, position = line + rest.count("\n", position), len(rest)
        rest = rest[position:]
    if rest:
        raise BadMetrics("not JSON, or cut short", HOW, place=f"{place}, line {line}")


def _first(text: str, begins: int, ends: int) -> tuple[object, int | None]:
    """The value that begins there and where it ends; None where it goes on after the text, which `ends`."""
    try:
        return DECODER.raw_decode(text, begins)
    except json.JSONDecodeError as error:
        if len(text) - begins > LONGEST:
            raise BadMetrics(f"longer than {LONGEST:,} characters", HOW) from None
        if error.pos >= ends:
            return None, None
    except NotJson as error:
        raise BadMetrics(str(error), HOW) from None
    except (ValueError, RecursionError):
        # a number of thousands of digits, or brackets in brackets
        pass
    raise BadMetrics("not JSON", HOW)


def _decoded(record: object) -> Run:
    schema = record.get("schema") if isinstance(record, dict) else None
    if isinstance(schema, str):
        if schema in KINDS:
            return decode(KINDS[schema], record)
        if schema.rpartition("/")[0] in {known.rpartition("/")[0] for known in KINDS}:
            raise BadMetrics(f"schema {schema!r} is of another version", "use the emoprune that wrote it")
    *others, last = KINDS
    foreign = Foreign(f"schema {reprlib.repr(schema)}, not {', '.join(others)} or {last}", HOW)
    foreign.ours = isinstance(schema, str) and schema.startswith("emoprune.")
    raise foreign
