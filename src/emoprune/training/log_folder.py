"""The folder in which the figures of every epoch are kept while a training runs."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from emoprune import events
from emoprune.errors import OutputFault, at
from emoprune.io import csv_text, files
from emoprune.networks.types import Epoch

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

CURVE = "curve.csv"
EVENTS = "events.out.tfevents.*"
"""What TensorBoard calls its files."""
FIGURES = tuple(field.name for field in dataclasses.fields(Epoch))
TITLES = ("epoch", *FIGURES[1:], "rate", "seconds")


@dataclass(frozen=True)
class LogFolder:
    """A folder for `curve.csv`, a row for each epoch, and the same as TensorBoard's events where it is there.

    With `resume` a training goes on in the file that it began. That of another is replaced only with `force`.
    """

    path: str
    resume: bool = False
    force: bool = False

    @property
    def curve(self) -> str:
        """Its file of figures."""
        return str(Path(self.path) / CURVE)

    def check(self) -> None:
        """Raise OutputFault for a file that would be lost, and for a folder that cannot be."""
        files.check_files(self.path, [CURVE], force=self.force or self.resume)
        if not (self.force or os.path.exists(self.curve)) and any(Path(self.path).glob(EVENTS)):
            remedy = "name another folder, or give `force=True` to replace them"
            raise OutputFault("has the events of something else", remedy, place=self.path)

    @contextmanager
    def opened(self, known: Sequence[Epoch]) -> Iterator[LogWriter]:
        """Takes the epochs after those that are `known`, whose rows stay; OutputFault for rows of others."""
        rows, folder = self._rows(known), files.made_folder(self.path)
        files.write_bytes(self.curve, csv_text.to_bytes([TITLES, *rows]), force=True)
        if not known:
            # this file is new, or replaced, and they are of what it was before
            for old in folder.glob(EVENTS):
                old.unlink(missing_ok=True)
        board = _board(self.path, after=len(known))
        try:
            yield LogWriter(self.curve, board)
        finally:
            if board is not None:
                board.close()

    def _rows(self, known: Sequence[Epoch]) -> list[list[str]]:
        """The rows of the epochs that are known; what came after them is trained once more."""
        wanted = [_row(epoch) for epoch in known]
        found = self._found() if self.resume and os.path.exists(self.curve) else []
        there = found[: len(wanted)]
        figures = len(FIGURES)
        same = [row[:figures] for row in there] == [row[:figures] for row in wanted[: len(there)]]
        if not self.force and (not same or (found and not known)):
            remedy = "name another folder, or give `force=True`"
            raise OutputFault("has the curve of another training", remedy, place=self.curve)
        return [*there, *wanted[len(there) :]] if same else wanted

    def _found(self) -> list[list[str]]:
        """The rows of the file, without one that was not written whole."""
        with at(self.curve):
            rows = [row for _, row in csv_text.parse(files.read_bytes(self.curve))]
        return [row for row in rows[1:] if len(row) == len(TITLES)]


class LogWriter:
    """Adds epochs to the files of a log folder."""

    def __init__(self, curve: str, board: SummaryWriter | None) -> None:
        self._curve, self._board = curve, board

    def add(self, epoch: Epoch, *, rate: float, seconds: float) -> None:
        """Write what an epoch has come to, so that others can read it now; a full disk is a warning."""
        try:
            with files.explained(Path(self._curve)), open(self._curve, "ab") as stream:
                stream.write(csv_text.to_bytes([_row(epoch, rate, round(seconds, 3))]))
            if self._board is not None:
                with files.explained(Path(self._curve).parent):
                    self._add_scalars(self._board, epoch, rate)
        except OutputFault as fault:
            events.warn(f"{fault}; the training goes on without the figures of epoch {epoch.index}")

    def _add_scalars(self, board: SummaryWriter, epoch: Epoch, rate: float) -> None:
        for name in FIGURES[1:]:
            part, _, measure = name.partition("_")
            value = getattr(epoch, name)
            if value is not None:
                board.add_scalar(f"{measure}/{part}", value, epoch.index)
        board.add_scalar("rate", rate, epoch.index)
        board.flush()


def _row(epoch: Epoch, rate: float | None = None, seconds: float | None = None) -> list[str]:
    """The cells of an epoch; empty where it has no such figure."""
    values = (*(getattr(epoch, name) for name in FIGURES), rate, seconds)
    return ["" if value is None else repr(value) for value in values]


def _board(folder: str, *, after: int) -> SummaryWriter | None:
    """What writes TensorBoard's events, and takes back those of epochs that came `after`; None without it."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        remedy = "pip install 'emoprune[tensorboard]'"
        events.note(f"`log_dir` gets {CURVE} alone; for TensorBoard's events, {remedy}")
        return None
    return SummaryWriter(folder, purge_step=after + 1 if after else None)
