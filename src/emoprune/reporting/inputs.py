"""What a report is given: JSON lines, predictions, and folders of both, told apart by what they hold."""

from __future__ import annotations

import io
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import PurePath
from typing import IO, TYPE_CHECKING, Any

from emoprune import events
from emoprune.errors import BadData, BadMetrics, at
from emoprune.evaluation.confidence import by_key
from emoprune.evaluation.types import Metrics
from emoprune.io import files
from emoprune.io.file_kinds import check_kind
from emoprune.reporting import records_io
from emoprune.reporting.records_io import HOW, KINDS, Foreign
from emoprune.reporting.types import Run, Runs

if TYPE_CHECKING:
    from emoprune.evaluation.predictions import Predictions

SUFFIXES = (".json", ".jsonl", ".csv")
"""Of the files that are read of a folder."""
HEAD = 2**16
"""Bytes from the beginning of a file that say what it is."""


def read(places: Iterable[str]) -> Runs:
    """The records and the predictions of all files, "-" for standard input, in order.

    Of a folder the files in it with SUFFIXES are read, by name; a note counts what is passed over, and
    evaluations that stand more than once. Raises BadMetrics or BadData for what is damaged, or neither.
    """
    records: dict[type[Any], list[Any]] = {kind: [] for kind in KINDS.values()}
    answers: list[Predictions] = []
    for place in places:
        for found in _in_folder(place) if os.path.isdir(place) else _in_place(place):
            records.get(type(found), answers).append(found)
    evaluations, curves, prunings, pruned, angles = map(tuple, records.values())
    return Runs(apart(once(evaluations)), curves, prunings, tuple(answers), pruned, angles)


def once(found: Sequence[Metrics]) -> list[Metrics]:
    """Evaluations without those that stand there again, which would count as further runs."""
    first: dict[tuple[object, ...], Metrics] = {}
    kept = []
    for run in found:
        key = (run.name, run.model_fingerprint, run.data_fingerprint, run.split, *run.settings.items())
        if first.setdefault(key, run) is run or run != first[key]:
            kept.append(run)
    if len(kept) < len(found):
        again = events.counted(len(found) - len(kept), "evaluation")
        events.note(f"{again} given more than once: each counts once")
    return kept


def apart(found: Sequence[Metrics]) -> tuple[Metrics, ...]:
    """Evaluations, those of one label on different images with a label of their own each.

    A mean over different images would say nothing.
    """
    places = by_key((run.name, (run.data_fingerprint, run.split)) for run in found)
    mixed = {name for name, each in places.items() if len({*each}) > 1}
    names = by_key(((run.name, _where(run)), run.data_fingerprint) for run in found)

    def label(run: Metrics) -> str | None:
        if run.name not in mixed:
            return run.label
        alike = len({*names[run.name, _where(run)]}) > 1
        return f"{run.name} ({_where(run)}{f', {run.data_fingerprint[:8]}' if alike else ''})"

    return tuple(replace(run, label=label(run)) for run in found)


def _where(run: Metrics) -> str:
    return f"{PurePath(run.data).name or run.data}, {run.split}"


def _in_place(place: str) -> Iterator[Run | Predictions]:
    """What a file holds; a note counts records of emoprune that a report does not show."""
    first, passed_over, shown = None, 0, 0
    for found in _in_file(place):
        if not isinstance(found, Foreign):
            shown += 1
            yield found
        elif not found.ours:
            raise found
        else:
            first = first or found
            passed_over += 1
    if first and not shown:
        raise first
    if passed_over:
        records = events.counted(passed_over, "record")
        events.note(f"{files.shown(place)}: {records} of other content passed over")


def _in_file(place: str) -> Iterator[Run | Predictions | Foreign]:
    """What a file holds; a Foreign for each record of another kind."""
    with files.reading(place) as stream:
        head = stream.read(HEAD)
        if _is_predictions(head):
            # it needs numpy, which takes as long as the rest of a report
            from emoprune.evaluation import predictions

            rest = files.read_stream(stream, place)
            yield from predictions.parse(head + rest, place=files.shown(place))
        else:
            whole = io.BufferedReader(_Continued(head, stream))
            if head:
                with at(files.shown(place)):
                    check_kind(head, "measurements", remedy=HOW, fault=BadMetrics)
            # a mark of the byte order is no part of the text
            text = io.TextIOWrapper(whole, encoding="utf-8-sig", errors="replace", newline="\n")
            yield from records_io.parse(text, place=files.shown(place))


def _is_predictions(head: bytes) -> bool:
    """Whether a file begins as predictions do: with the titles of a table, not as JSON does."""
    title = b"data_fingerprint" in head and b"model_fingerprint" in head
    return title and not head.removeprefix(b"\xef\xbb\xbf").lstrip().startswith((b"{", b"["))


def _in_folder(folder: str) -> Iterator[Run | Predictions]:
    """What the files in a folder hold, by name; a note counts what is passed over."""
    try:
        names = sorted(name for name in os.listdir(folder) if not name.startswith("."))
    except OSError as error:
        fact = f"cannot be read ({error.strerror})"
        raise BadData(fact, "check its permissions", place=folder) from error
    passed_over, ours = Counter[str](), 0
    for name in names:
        place = os.path.join(folder, name)
        if not (name.lower().endswith(SUFFIXES) and os.path.isfile(place) and _is_ours(place)):
            passed_over["folder" if os.path.isdir(place) else "file"] += 1
            continue
        ours += 1
        for found in _in_file(place):
            if isinstance(found, Foreign):
                passed_over["record"] += 1
            else:
                yield found
    if not ours:
        raise BadMetrics("no file in it is of networks that a report shows", HOW, place=folder)
    if passed_over:
        counts = " and ".join(events.counted(count, noun) for noun, count in sorted(passed_over.items()))
        events.note(f"{folder}: {counts} of other content passed over")


def _is_ours(place: str) -> bool:
    """Whether a file begins as those of emoprune do."""
    with files.reading(place) as stream:
        head = stream.read(HEAD)
    return _is_predictions(head) or b'"emoprune.' in head


class _Continued(io.RawIOBase):
    """The bytes that were read of a stream, then the rest of it, which it does not close."""

    def __init__(self, head: bytes, rest: IO[bytes]) -> None:
        self._head, self._rest = head, rest

    def readable(self) -> bool:
        """It is only read."""
        return True

    def readinto(self, buffer: Any) -> int:
        """As any stream does."""
        room = memoryview(buffer)
        piece, self._head = self._head[: len(room)], self._head[len(room) :]
        piece = piece or self._rest.read(len(room))
        room[: len(piece)] = piece
        return len(piece)
