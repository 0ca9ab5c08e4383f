"""What a network answers for each sample, as a CSV with a row per sample, which pandas reads as it is."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from emoprune.errors import BadData, InvalidRecord, at
from emoprune.io import csv_text, files
from emoprune.io.csv_text import LABEL, NAME
from emoprune.io.file_kinds import check_kind

OF_RUN, PREDICTED = ("run", "model_fingerprint", "data_fingerprint"), "predicted"
TITLES = (*OF_RUN, NAME, "group", LABEL, PREDICTED)
CLASS = "p_"
"""What the title of a class begins with, so that a class may be called as another column is."""

HOW = "give what emoprune eval `predictions` wrote"
REMEDY = "correct the line"
ROUNDED = 0.01
"""What probabilities may lack of a sum of 1, in a file that somebody has rounded."""


@dataclass(frozen=True, eq=False)
class Predictions:
    """The answers of one network for samples of one data set.

    `run` is its label, else its model. `names` and, where they are known, `groups` are of the n samples, each
    name once. `labels` and `predicted` (n,) int64 are indices into `classes`, `probabilities` (n, classes)
    float64. Raises InvalidRecord for arrays that contradict one another.
    """

    run: str
    model_fingerprint: str
    data_fingerprint: str
    classes: tuple[str, ...]
    names: tuple[str, ...]
    groups: tuple[str, ...] | None
    labels: NDArray[np.int64]
    predicted: NDArray[np.int64]
    probabilities: NDArray[np.float64]

    def __post_init__(self) -> None:
        check_names(self.names)
        n, width = len(self.names), len(self.classes)
        shapes = (self.labels.shape, self.predicted.shape, self.probabilities.shape)
        if not n or shapes != ((n,), (n,), (n, width)) or (self.groups and len(self.groups) != n):
            raise InvalidRecord(f"{n} names of samples, and other numbers of answers", HOW)
        if len(set(self.classes)) < width or (self.groups is not None and not any(self.groups)):
            raise InvalidRecord("classes of one name, or groups without names", HOW)
        indices = np.concatenate([self.labels, self.predicted])
        if indices.min() < 0 or indices.max() >= width:
            raise InvalidRecord(f"an answer or a label outside the {width} classes", HOW)
        if not ((self.probabilities >= 0) & (self.probabilities <= 1)).all():
            raise InvalidRecord("a probability is not from 0 to 1", HOW)

    @property
    def accuracy(self) -> float:
        """The fraction of right answers."""
        return float((self.labels == self.predicted).mean())

    def to_bytes(self) -> bytes:
        """As CSV; the same numbers are read again. Empty cells of the group say that nobody knows it."""
        titles = [*TITLES, *(CLASS + name for name in self.classes)]
        of_run = (self.run, self.model_fingerprint, self.data_fingerprint)
        groups = self.groups or [""] * len(self.names)
        named = ([self.classes[index] for index in side.tolist()] for side in (self.labels, self.predicted))
        columns = zip(self.names, groups, *named, self.probabilities.tolist(), strict=True)
        rows = ([*of_run, *cells, *chances] for *cells, chances in columns)
        return csv_text.to_bytes([titles, *rows])

    def write(self, path: str | Path, *, force: bool = False) -> None:
        """Write them to a file, or to standard output for "-"; OutputFault as `write_bytes` raises it."""
        files.write_bytes(path, self.to_bytes(), force=force)


def check_names(names: Sequence[str], *, place: str = "") -> None:
    """Raise InvalidRecord for samples of one name, which predictions could not tell apart."""
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        fact = f"{twice[0]} is the name of several samples, and predictions are told apart by name"
        raise InvalidRecord(fact, "give each a name of its own", place=place)


def read(path: str | Path) -> tuple[Predictions, ...]:
    """The predictions of every run in a file, "-" for standard input, in the order of their first rows.

    The file may be several, one behind the other, with the titles of each; more columns are passed over.
    Raises BadData, with the line and the column, for a file that is damaged or another.
    """
    return parse(files.read_bytes(str(path)), place=files.shown(str(path)))


def read_one(path: str | Path) -> Predictions:
    """The predictions in a file of one run; BadData for several runs, and as `read` raises it."""
    run, *more = read(path)
    if more:
        fact = f"has {len(more) + 1} runs: {', '.join(each.run for each in (run, *more[:3]))}"
        raise BadData(fact, "give a file of one run", place=files.shown(str(path)))
    return run


def parse(data: bytes, *, place: str) -> tuple[Predictions, ...]:
    """The predictions of every run in the bytes of a file, as `read` gives them."""
    with at(place):
        check_kind(data, "predictions", remedy=HOW)
        runs: dict[tuple[str, ...], _Run] = {}
        for line, row in _rows(data):
            classes = tuple(title.removeprefix(CLASS) for title in row if title.startswith(CLASS))
            key = (*(row[title] for title in OF_RUN), *classes)
            runs.setdefault(key, _Run(classes)).add(line, row)
        if not runs:
            raise BadData("has no rows", HOW)
        return tuple(run.made(*key[: len(OF_RUN)]) for key, run in runs.items())


def _rows(data: bytes) -> Iterator[tuple[int, dict[str, str]]]:
    """The rows that are not titles, by title, each with its line."""
    titles = list[str]()
    for line, cells in csv_text.parse(data):
        # no sample has all of them in its cells
        if cells and (not titles or set(TITLES) <= set(cells)):
            titles = cells
            lacking = [title for title in TITLES if title not in titles]
            if lacking or not any(title.startswith(CLASS) for title in titles):
                fact = f"line {line} has no column {', '.join(lacking) or f'{CLASS}CLASS'}"
                raise BadData(fact, HOW)
            twice = [title for title, count in Counter(titles).items() if count > 1]
            if twice:
                raise BadData(f"line {line} has the column {twice[0]} twice", "keep one of them")
        elif len(cells) not in (0, len(titles)):
            raise BadData(f"line {line} has {len(cells)} cells, not {len(titles)}", REMEDY)
        elif cells:
            yield line, dict(zip(titles, cells, strict=True))


class _Run:
    """The rows of one run, as far as they are read."""

    def __init__(self, classes: tuple[str, ...]) -> None:
        self._classes = classes
        self._indices = {name: index for index, name in enumerate(classes)}
        self._groups: dict[str, str] = {}
        self._answers = list[list[int]]()
        self._chances = list[list[float]]()

    def add(self, line: int, row: Mapping[str, str]) -> None:
        """One row; BadData for one that is damaged, or of a sample that is there already."""
        if row[NAME] in self._groups:
            raise BadData(
                f"line {line}: {NAME} {row[NAME]} is there again, of the same run", "remove one line"
            )
        self._groups[row[NAME]] = row["group"]
        self._answers.append([self._class(row, title, line) for title in (LABEL, PREDICTED)])
        chances = [_fraction(row, CLASS + name, line) for name in self._classes]
        total = math.fsum(chances)
        if abs(total - 1) > ROUNDED:
            columns = f"{CLASS}{self._classes[0]} to {CLASS}{self._classes[-1]}"
            raise BadData(f"line {line}: {columns} add up to {total:g}, not 1", REMEDY)
        self._chances.append(chances)

    def _class(self, row: Mapping[str, str], title: str, line: int) -> int:
        if row[title] not in self._indices:
            fact = f"line {line}: {title} is {row[title][:40]!r}, not one of {', '.join(self._classes)}"
            raise BadData(fact, REMEDY)
        return self._indices[row[title]]

    def made(self, run: str, model_fingerprint: str, data_fingerprint: str) -> Predictions:
        """All of them."""
        groups = tuple(self._groups.values())
        labels, predicted = np.array(self._answers, dtype=np.int64).T
        return Predictions(
            run,
            model_fingerprint,
            data_fingerprint,
            classes=self._classes,
            names=tuple(self._groups),
            groups=groups if any(groups) else None,
            labels=labels,
            predicted=predicted,
            probabilities=np.array(self._chances),
        )


def _fraction(row: Mapping[str, str], title: str, line: int) -> float:
    with suppress(ValueError):
        value = float(row[title])
        if 0 <= value <= 1:
            return value
    raise BadData(f"line {line}: {title} is {row[title][:40]!r}, not a number from 0 to 1", REMEDY)
